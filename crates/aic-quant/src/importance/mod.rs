//! Importance matrices: collecting them, and the files they are kept in.
mod gguf_form;
mod legacy_form;

use std::collections::BTreeMap;
use std::path::Path;

use crate::gguf::{self, Bytes};
use crate::storage::Storage;
use crate::{Error, Result};

/// How much each input of each matrix matters: the mean square of the numbers that met it while the model read
/// calibration text. The field calls it an importance matrix, or imatrix.
///
/// Quantizing weighs the error of column `j` with the mean square of input `j`: what that error does to the layer's output.
///
/// A matrix of experts, shape `[experts, out_features, in_features]`, has the means of each expert, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Importance {
    entries: BTreeMap<String, Entry>,
    provenance: Provenance,
}

/// What an [`Importance`] was measured on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provenance {
    /// The names of the texts.
    pub datasets: Vec<String>,
    /// How many chunks of text the model read; `None` if nobody noted it.
    pub chunks: Option<u32>,
    /// How many tokens a chunk has; `None` if nobody noted it.
    pub chunk_tokens: Option<u32>,
}

/// What was seen of one matrix's inputs.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    /// The sum of squares of each input, expert by expert.
    sums: Vec<f64>,
    /// How many input vectors were seen: one number, or one of each expert. It divides the number of sums.
    counts: Vec<u64>,
}

impl Importance {
    /// Importance of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an importance matrix: llama.cpp's GGUF file of type `imatrix`, or the binary file it wrote before
    /// (`imatrix.dat`).
    ///
    /// The older form keeps means and says nothing of vectors: [`count`](Self::count) then counts chunks.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::Malformed`], [`Error::Metadata`] or [`Error::Tensor`] if it is no such
    /// file, or has a sum or count that is negative or not a number; [`Error::Empty`] if it is about no matrix.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(Storage::open(path.as_ref())?)
    }

    /// Reads an importance matrix that is already in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        Self::read(Storage::memory(bytes.into()))
    }

    fn read(storage: Storage) -> Result<Self> {
        let magic = storage.read(0, storage.size_bytes().min(4))?;
        let importance = match magic == gguf::MAGIC {
            true => gguf_form::read(&gguf::File::from_storage(storage)?)?,
            false => legacy_form::read(&storage)?,
        };
        match importance.entries.is_empty() {
            true => Err(Error::Empty { what: "importance matrix" }),
            false => Ok(importance),
        }
    }

    /// Writes the importance matrix as a GGUF file that llama.cpp reads too; what was at `path` is replaced when the new
    /// file is complete.
    ///
    /// Sums and counts are rounded to [`f32`].
    ///
    /// # Errors
    /// [`Error::Io`] from the file system; [`Error::Tensor`] if a sum is too large for the format, or a name too long.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        gguf_form::save(self, path.as_ref())
    }

    /// What the importance was measured on, as far as anybody noted it.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Notes what the importance was measured on: chunks of `chunk_tokens` tokens of the text called `dataset`.
    pub fn note(&mut self, dataset: impl Into<String>, chunks: u32, chunk_tokens: u32) {
        let datasets = vec![dataset.into()];
        self.provenance = Provenance { datasets, chunks: Some(chunks), chunk_tokens: Some(chunk_tokens) };
    }

    /// Adds `count` more input vectors of the matrix called `tensor`; `sums` has the sum of squares of each input.
    ///
    /// # Errors
    /// [`Error::Tensor`] if earlier inputs had another length or were those of experts, and for sums that are negative or
    /// not numbers.
    pub fn add(&mut self, tensor: &str, sums: &[f64], count: u64) -> Result<()> {
        check_sums(tensor, sums)?;
        let empty = || Entry { sums: vec![0.0; sums.len()], counts: vec![0] };
        let entry = self.entries.entry(tensor.to_owned()).or_insert_with(empty);
        if entry.sums.len() != sums.len() || entry.counts.len() != 1 {
            let problem = format!("has {} inputs here and had {} before", sums.len(), entry.sums.len());
            return Err(Error::tensor(tensor, problem));
        }
        entry.sums.iter_mut().zip(sums).for_each(|(sum, more)| *sum += more);
        entry.counts[0] += count;
        Ok(())
    }

    /// The mean square of each input of the matrix called `tensor`; `None` if none was seen.
    ///
    /// Of a matrix of experts, the means of each, one after the other. An expert that saw nothing while others did has ones:
    /// all its inputs matter alike.
    pub fn get(&self, tensor: &str) -> Option<Vec<f32>> {
        let entry = self.entries.get(tensor).filter(|entry| entry.total() > 0)?;
        let inputs = entry.sums.len() / entry.counts.len();
        let mean = |(at, sum): (usize, &f64)| match entry.counts[at / inputs] {
            0 => 1.0,
            count => (sum / count as f64) as f32,
        };
        Some(entry.sums.iter().enumerate().map(mean).collect())
    }

    /// The names of the matrices, in order.
    pub fn tensors(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// How many input vectors of the matrix called `tensor` were seen, by all its experts.
    pub fn count(&self, tensor: &str) -> u64 {
        self.entries.get(tensor).map_or(0, Entry::total)
    }

    /// Takes over an entry from a file; its name is new.
    fn insert(&mut self, tensor: String, sums: Vec<f64>, counts: Vec<u64>) -> Result<()> {
        check_sums(&tensor, &sums)?;
        if counts.is_empty() || sums.is_empty() || !sums.len().is_multiple_of(counts.len()) {
            let problem = format!("has {} sums for {} counts", sums.len(), counts.len());
            return Err(Error::tensor(tensor, problem));
        }
        match self.entries.insert(tensor.clone(), Entry { sums, counts }) {
            Some(_) => Err(Error::tensor(tensor, "appears twice")),
            None => Ok(()),
        }
    }
}

impl Entry {
    fn total(&self) -> u64 {
        self.counts.iter().fold(0, |total, count| total.saturating_add(*count))
    }
}

/// Checks that sums of squares are some.
fn check_sums(tensor: &str, sums: &[f64]) -> Result<()> {
    match sums.iter().position(|sum| !(sum.is_finite() && *sum >= 0.0)) {
        Some(at) => Err(Error::tensor(tensor, format!("has the sum of squares {} at {at}", sums[at]))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn importance_is_the_mean_over_all_inputs_seen() {
        let mut importance = Importance::new();
        importance.add("blk.0.ffn_up.weight", &[2.0, 8.0], 2).unwrap();
        importance.add("blk.0.ffn_up.weight", &[4.0, 0.0], 1).unwrap();

        assert_eq!(importance.get("blk.0.ffn_up.weight").unwrap(), [2.0, 8.0 / 3.0]);
        assert_eq!(importance.count("blk.0.ffn_up.weight"), 3);
        assert_eq!(importance.get("output.weight"), None);
        assert!(importance.add("blk.0.ffn_up.weight", &[1.0], 1).is_err());
    }

    #[test]
    fn sums_that_cannot_be_are_refused_and_change_nothing() {
        let mut importance = Importance::new();
        importance.add("w", &[1.0], 1).unwrap();
        for sum in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(importance.add("w", &[sum], 1).is_err());
        }
        assert_eq!(importance.get("w").unwrap(), [1.0]);
    }

    #[test]
    fn experts_have_their_own_means_and_unseen_ones_weigh_all_alike() {
        let mut importance = Importance::new();
        importance.insert("w".to_owned(), vec![2.0, 4.0, 0.0, 0.0, 9.0, 3.0], vec![2, 0, 3]).unwrap();
        importance.insert("unseen".to_owned(), vec![0.0; 2], vec![0]).unwrap();

        assert_eq!(importance.get("w").unwrap(), [1.0, 2.0, 1.0, 1.0, 3.0, 1.0]);
        assert_eq!(importance.count("w"), 5);
        assert_eq!(importance.get("unseen"), None);
        assert!(importance.add("w", &[1.0; 6], 1).is_err());
    }
}
