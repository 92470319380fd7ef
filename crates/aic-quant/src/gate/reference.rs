use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::reference_file::{decode, encode};
use super::sketch::Sketch;
use crate::replacement::Replacement;
use crate::storage::Storage;
use crate::{Error, Result, TensorSource};

/// What a model's file holds, as a BLAKE3 hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(super) [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a model: of every tensor's name, shape, type and data, and of all metadata. Reads the whole file.
    ///
    /// # Errors
    /// As [`TensorSource::read_into`].
    pub fn new(source: &dyn TensorSource) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        for (key, value) in source.metadata().iter() {
            hasher.update(format!("{key}={value:?}\n").as_bytes());
        }
        for tensor in source.tensors() {
            hasher.update(format!("{} {:?} {}\n", tensor.name, tensor.shape, tensor.dtype).as_bytes());
            super::slabs::each(source, tensor, |bytes, _| {
                hasher.update(bytes);
                Ok(())
            })?;
        }
        Ok(Self(hasher.finalize().into()))
    }
}

/// In hexadecimal.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from(self.0).to_hex())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A reference model's predictions over a text, kept to judge many candidates without running it again.
///
/// [`Gate::reference`](super::Gate::reference) makes one. At each position scored it has the probabilities of the likeliest
/// tokens (64 unless the gate was told otherwise), the mass of all others, and 16 of these drawn by probability: 648 bytes,
/// where the whole distribution of a vocabulary of 128,000 takes 256 KB in 16 bits. The divergence of what is kept is exact, and
/// that of the tail an estimate without bias, cut off below at what merging the tail into one token gives, which is never
/// too much: any bias counts against the candidate.
#[derive(Clone, PartialEq)]
pub struct Reference {
    pub(super) model: Fingerprint,
    /// The hash of the text.
    pub(super) text_hash: [u8; 32],
    /// The hash of the tokens that the model's tokenizer made of it.
    pub(super) token_hash: [u8; 32],
    /// Tokens of one window.
    pub(super) window: usize,
    pub(super) vocabulary: usize,
    /// The positions scored in each window.
    pub(super) windows: Vec<Vec<Sketch>>,
}

impl Reference {
    /// The model it was made of.
    pub fn model(&self) -> Fingerprint {
        self.model
    }

    /// Positions scored.
    pub fn tokens(&self) -> usize {
        self.windows.iter().map(Vec::len).sum()
    }

    /// Writes it to `path`, which is replaced when the new file is complete.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut file = Replacement::create(path.as_ref())?;
        file.write(&encode(self))?;
        file.commit()
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Malformed`] for a file that is no reference, or not as it was written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let storage = Storage::open(path.as_ref())?;
        let bytes = storage.read(0, storage.size_bytes())?;
        decode(&bytes).map_err(|(offset, problem)| Error::Malformed {
            format: "reference",
            file: storage.label(),
            offset: offset as u64,
            problem,
        })
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reference")
            .field("model", &self.model)
            .field("window", &self.window)
            .field("tokens", &self.tokens())
            .finish_non_exhaustive()
    }
}
