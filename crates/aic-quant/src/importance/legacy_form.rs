//! The form before GGUF: for each matrix its name, a number of chunks, and as many times the mean of each input.
//!
//! All numbers are little-endian and of 32 bits. Source: `save_imatrix_legacy` in llama.cpp's `imatrix.cpp`.
use super::Importance;
use crate::storage::Storage;
use crate::{Error, Result};

pub(super) fn read(storage: &Storage) -> Result<Importance> {
    let mut cursor = Cursor { storage, position: 0 };
    let mut importance = Importance::new();
    for _ in 0..cursor.positive("number of matrices")? {
        let name = cursor.text("name of a matrix")?;
        let chunks = cursor.positive("number of chunks")?;
        let sums = cursor.floats("values")?;
        importance.insert(name, sums, vec![chunks])?;
    }
    // What follows is optional.
    if cursor.remaining() >= 4 {
        importance.provenance.chunks = Some(cursor.positive("number of all chunks")? as u32);
    }
    if cursor.remaining() > 4 {
        importance.provenance.datasets.push(cursor.text("name of the text")?);
    }
    Ok(importance)
}

/// A place in the file, which knows how many bytes are left.
struct Cursor<'a> {
    storage: &'a Storage,
    position: u64,
}

impl Cursor<'_> {
    fn remaining(&self) -> u64 {
        self.storage.size_bytes() - self.position
    }

    /// A number from 1 to 2^31 - 1.
    fn positive(&mut self, what: &str) -> Result<u64> {
        let bytes = self.bytes(what, 4)?;
        let number = i32::from_le_bytes(bytes.try_into().expect("four bytes were read"));
        let wrong = || self.malformed(format!("{what} is {number}, expected at least 1"));
        u64::try_from(number).ok().filter(|number| *number > 0).ok_or_else(wrong)
    }

    fn text(&mut self, what: &str) -> Result<String> {
        let length = self.positive(what)?;
        let bytes = self.bytes(what, length)?;
        String::from_utf8(bytes).map_err(|_| self.malformed(format!("{what} is not UTF-8")))
    }

    fn floats(&mut self, what: &str) -> Result<Vec<f64>> {
        let count = self.positive(what)?;
        let bytes = self.bytes(what, 4 * count)?;
        let (numbers, _) = bytes.as_chunks::<4>();
        Ok(numbers.iter().map(|number| f32::from_le_bytes(*number).into()).collect())
    }

    fn bytes(&mut self, what: &str, length: u64) -> Result<Vec<u8>> {
        if length > self.remaining() {
            let left = self.remaining();
            return Err(
                self.malformed(format!("file ends within {what}: {length} bytes needed, {left} left"))
            );
        }
        let bytes = self.storage.read(self.position, length)?;
        self.position += length;
        Ok(bytes)
    }

    fn malformed(&self, problem: String) -> Error {
        let file = self.storage.label();
        Error::Malformed { format: "importance matrix", file, offset: self.position, problem }
    }
}
