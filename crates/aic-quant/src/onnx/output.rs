//! Writing a model, and the file of its external data.
use std::path::{Path, PathBuf};

use prost::Message;

use super::external::{DataFiles, entries};
use super::file::PROTOBUF_LIMIT;
use super::proto::{EXTERNAL, ModelProto, TensorProto};
use crate::replacement::Replacement;
use crate::{Error, Result};

/// Tensors below this stay in the model file.
const SMALLEST_BYTES: usize = 1024;
/// Tensors start at multiples of a memory page, so that a runtime may map them.
const ALIGNMENT: u64 = 4096;

/// A file of external data that is being written.
///
/// Its name ends in a hash of its content: a model written over an older one never meets the other's data, whichever
/// of the two files a crash left behind.
pub(super) struct DataFile {
    file: Replacement,
    hasher: blake3::Hasher,
    target: PathBuf,
    bytes: u64,
}

impl DataFile {
    /// Starts the data file of the model that will be `model`.
    pub(super) fn create(model: &Path) -> Result<Self> {
        let file = Replacement::create(model)?;
        Ok(Self { file, hasher: blake3::Hasher::new(), target: model.to_owned(), bytes: 0 })
    }

    /// Moves a tensor's bytes here, unless they are few.
    pub(super) fn take(&mut self, tensor: &mut TensorProto) -> Result<()> {
        match tensor.raw_data.take_if(|raw| raw.len() >= SMALLEST_BYTES) {
            Some(raw) => self.place(tensor, raw.len() as u64, |file| file.write(&raw)),
            None => Ok(()),
        }
    }

    /// Copies an external tensor from where it was.
    pub(super) fn copy(&mut self, tensor: &mut TensorProto, from: &mut DataFiles) -> Result<()> {
        let old = tensor.clone();
        let bytes = old.bytes().unwrap_or(0);
        self.place(tensor, bytes, |file| from.copy(&old, |slab| file.write(slab)))
    }

    /// Syncs the file, gives it its name, and returns that and its size.
    pub(super) fn commit(self) -> Result<(String, u64)> {
        let Self { file, hasher, target, bytes } = self;
        let mut name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.push_str(&format!(".{}.data", &hasher.finalize().to_hex()[..16]));
        file.commit_as(&target.with_file_name(&name))?;
        Ok((name, bytes))
    }

    fn place(
        &mut self,
        tensor: &mut TensorProto,
        bytes: u64,
        write: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let padding = (self.bytes.next_multiple_of(ALIGNMENT) - self.bytes) as usize;
        self.write(&[0; ALIGNMENT as usize][..padding])?;
        tensor.external_data = entries(self.bytes, bytes);
        tensor.data_location = Some(EXTERNAL);
        write(self)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write(bytes)
    }
}

/// Writes the model file and returns its size.
pub(super) fn write_model(model: &ModelProto, output: &Path) -> Result<u64> {
    let bytes = model.encoded_len() as u64;
    if bytes > PROTOBUF_LIMIT {
        let problem = format!(
            "would have {bytes} bytes, more than the {PROTOBUF_LIMIT} of a protobuf message; \
                     save the input with external data"
        );
        return Err(Error::tensor(output.display().to_string(), problem));
    }
    let mut file = Replacement::create(output)?;
    file.write(&model.encode_to_vec())?;
    file.commit()?;
    Ok(bytes)
}
