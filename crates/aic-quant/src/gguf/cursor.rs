use std::io::Read;

use super::{Array, Reading, Value, Warning};
use crate::{Error, Result};

/// Reads a header from its start and knows how many bytes are left, so that no length is believed before it is
/// compared with them.
pub(super) struct Cursor<'a, R> {
    reader: R,
    label: &'a str,
    position: u64,
    end: u64,
    reading: Reading,
    warnings: Vec<Warning>,
}

impl<'a, R: Read> Cursor<'a, R> {
    /// A cursor at the start of `reader`, which holds `end` bytes and is called `label` in errors.
    pub(super) fn new(reader: R, label: &'a str, end: u64, reading: Reading) -> Self {
        Self { reader, label, position: 0, end, reading, warnings: Vec::new() }
    }

    /// Lets something wrong pass with a warning, or refuses it where nothing may be wrong.
    ///
    /// One warning in a row is enough: an array of a million odd flags is told once.
    pub(super) fn tolerate(&mut self, warning: Warning) -> Result<()> {
        if self.reading == Reading::Strict {
            return Err(self.malformed(warning.to_string()));
        }
        if self.warnings.last() != Some(&warning) {
            self.warnings.push(warning);
        }
        Ok(())
    }

    /// What was let pass.
    pub(super) fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn remaining(&self) -> u64 {
        self.end - self.position
    }

    /// An error at the current position.
    pub(super) fn malformed(&self, problem: impl Into<String>) -> Error {
        Error::Malformed {
            format: "GGUF",
            file: self.label.to_owned(),
            offset: self.position,
            problem: problem.into(),
        }
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// The number of items that follow, each at least `smallest` bytes.
    pub(super) fn count(&mut self, what: &str, smallest: u64) -> Result<usize> {
        let count = self.u64(what)?;
        let possible = self.remaining() / smallest;
        if count > possible {
            return Err(self.malformed(format!("{what} is {count}, but at most {possible} fit the file")));
        }
        usize::try_from(count)
            .map_err(|_| self.malformed(format!("{what} is {count}, too many for this machine")))
    }

    pub(super) fn string(&mut self, what: &str, limit: usize) -> Result<String> {
        let length = self.u64(what)?;
        let possible = self.remaining().min(limit as u64);
        if length > possible {
            return Err(
                self.malformed(format!("{what} has {length} bytes, but at most {possible} are possible"))
            );
        }
        let bytes = self.bytes(what, length as usize)?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(error) => {
                self.tolerate(Warning::NotUtf8 { what: what.to_owned() })?;
                Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
            }
        }
    }

    pub(super) fn value(&mut self, key: &str) -> Result<Value> {
        let code = self.u32("value type")?;
        Ok(match code {
            0 => Value::U8(self.array::<1>(key)?[0]),
            1 => Value::I8(i8::from_le_bytes(self.array(key)?)),
            2 => Value::U16(u16::from_le_bytes(self.array(key)?)),
            3 => Value::I16(i16::from_le_bytes(self.array(key)?)),
            4 => Value::U32(self.u32(key)?),
            5 => Value::I32(i32::from_le_bytes(self.array(key)?)),
            6 => Value::F32(f32::from_le_bytes(self.array(key)?)),
            7 => Value::Bool(self.bool(key)?),
            8 => Value::String(self.string(key, usize::MAX)?),
            9 => Value::Array(self.values(key)?),
            10 => Value::U64(self.u64(key)?),
            11 => Value::I64(i64::from_le_bytes(self.array(key)?)),
            12 => Value::F64(f64::from_le_bytes(self.array(key)?)),
            _ => return Err(self.malformed(format!("`{key}` has value type {code}, expected 0 to 12"))),
        })
    }

    fn values(&mut self, key: &str) -> Result<Array> {
        let code = self.u32("element type")?;
        Ok(match code {
            0 => Array::U8(self.numbers(key, u8::from_le_bytes)?),
            1 => Array::I8(self.numbers(key, i8::from_le_bytes)?),
            2 => Array::U16(self.numbers(key, u16::from_le_bytes)?),
            3 => Array::I16(self.numbers(key, i16::from_le_bytes)?),
            4 => Array::U32(self.numbers(key, u32::from_le_bytes)?),
            5 => Array::I32(self.numbers(key, i32::from_le_bytes)?),
            6 => Array::F32(self.numbers(key, f32::from_le_bytes)?),
            7 => Array::Bool(self.items(key, 1, |cursor| cursor.bool(key))?),
            8 => Array::String(self.items(key, 8, |cursor| cursor.string(key, usize::MAX))?),
            10 => Array::U64(self.numbers(key, u64::from_le_bytes)?),
            11 => Array::I64(self.numbers(key, i64::from_le_bytes)?),
            12 => Array::F64(self.numbers(key, f64::from_le_bytes)?),
            9 => return Err(self.malformed(format!("`{key}` is an array of arrays, which is not supported"))),
            _ => return Err(self.malformed(format!("`{key}` has element type {code}, expected 0 to 12"))),
        })
    }

    fn numbers<T, const N: usize>(&mut self, key: &str, decode: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
        self.items(key, N as u64, |cursor| cursor.array(key).map(&decode))
    }

    fn items<T>(
        &mut self,
        key: &str,
        smallest: u64,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.count(&format!("length of `{key}`"), smallest)?;
        (0..count).map(|_| read(self)).collect()
    }

    fn bool(&mut self, key: &str) -> Result<bool> {
        let [flag] = self.array(key)?;
        if flag > 1 {
            self.tolerate(Warning::OddBool { key: key.to_owned() })?;
        }
        Ok(flag != 0)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, what: &str, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, what: &str, bytes: &mut [u8]) -> Result<()> {
        if bytes.len() as u64 > self.remaining() {
            return Err(self.malformed(format!(
                "file ends within {what}: {} bytes needed, {} left",
                bytes.len(),
                self.remaining()
            )));
        }
        self.reader.read_exact(bytes).map_err(Error::io("read", self.label))?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}
