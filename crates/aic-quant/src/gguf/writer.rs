use std::collections::HashSet;
use std::path::Path;

use super::split::{SPLIT_COUNT, SPLIT_NO, SPLIT_TENSORS, unsplit};
use super::{
    ALIGNMENT_KEY, ALIGNMENT_LIMIT, Array, DEFAULT_ALIGNMENT, DIMENSION_LIMIT, KEY_LIMIT, Layout, MAGIC,
    Metadata, NAME_LIMIT, VERSION, Value, align_up, is_alignment,
};
use crate::replacement::Replacement;
use crate::{DType, Error, Result, TensorInfo};

/// Writes a GGUF file of version 3: metadata and tensors in the order they were given.
///
/// Tensors are declared first, because the header needs their sizes; their data is asked for one tensor at a time,
/// so that only one is in memory. See the [module's example](super). Who writes the data in smaller pieces asks for the
/// [`layout`](Self::layout).
#[derive(Clone, Debug)]
pub struct Writer {
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    names: HashSet<String>,
}

impl Writer {
    /// A writer of a file with this metadata and no tensors yet.
    ///
    /// A `general.alignment` in `metadata` (a `u32`, power of two up to 2^20) is followed; otherwise tensors are aligned to 32.
    pub fn new(metadata: Metadata) -> Self {
        Self { metadata, tensors: Vec::new(), names: HashSet::new() }
    }

    /// Declares the next tensor; `shape` has the outermost dimension first, `[out_features, in_features]`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the name is taken, empty or longer than 63 bytes, if there are not 1 to 4 dimensions, or if
    /// rows do not divide into blocks of `dtype`.
    pub fn tensor(&mut self, name: impl Into<String>, shape: &[usize], dtype: DType) -> Result<()> {
        let tensor = TensorInfo::new(name, shape, dtype)?;
        if let Some(problem) = self.problem(&tensor) {
            return Err(Error::tensor(tensor.name, problem));
        }
        self.names.insert(tensor.name.clone());
        self.tensors.push(tensor);
        Ok(())
    }

    /// The tensors declared so far; [`layout`](Self::layout) sets their offsets.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Writes the file at `path` and returns its size; `data` is asked for each tensor's bytes in turn.
    ///
    /// The file is written under a temporary name, synced, and renamed: whatever fails, `path` holds the old file or
    /// the complete new one.
    ///
    /// # Errors
    /// [`Error::Io`] from the file system, whatever `data` fails with, [`Error::Tensor`] if it returns the wrong number
    /// of bytes, [`Error::Metadata`] if the metadata cannot be written.
    pub fn save(
        &self,
        path: impl AsRef<Path>,
        data: impl FnMut(&TensorInfo) -> Result<Vec<u8>>,
    ) -> Result<u64> {
        let layout = self.layout()?;
        let mut file = Replacement::create(path.as_ref())?;
        layout.write(|bytes| file.write(bytes), data)?;
        file.commit()?;
        Ok(layout.file_bytes)
    }

    /// Writes the file to memory.
    ///
    /// # Errors
    /// As [`save`](Self::save), without the file system.
    pub fn to_vec(&self, data: impl FnMut(&TensorInfo) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        let sink = |bytes: &[u8]| {
            file.extend_from_slice(bytes);
            Ok(())
        };
        self.layout()?.write(sink, data)?;
        Ok(file)
    }

    /// The file's header and the place of every tensor, for who writes the data in pieces.
    ///
    /// # Errors
    /// [`Error::Metadata`] if the metadata cannot be written, [`Error::Tensor`] if the file would have over 2^64 bytes.
    pub fn layout(&self) -> Result<Layout> {
        let alignment = self.alignment()?;
        let (tensors, data_bytes) = placed(&self.tensors, alignment)?;
        let mut header = self.header(&tensors)?;
        pad(&mut header, alignment);
        let data_offset = header.len() as u64;
        let Some(file_bytes) = data_offset.checked_add(data_bytes) else {
            return Err(too_large(&self.tensors[0]));
        };
        Ok(Layout { header, tensors, data_offset, file_bytes, alignment })
    }

    /// The same model in shards with at most `shard_bytes` of data each; a larger tensor has a shard of its own.
    ///
    /// They belong at the paths that [`shard_path`](super::shard_path) names, and are read as one by
    /// [`Split`](super::Split). All metadata is in the first.
    ///
    /// # Errors
    /// [`Error::Option`] if more shards than 65,535 would be needed, the format's limit.
    pub fn split(&self, shard_bytes: u64) -> Result<Vec<Self>> {
        let shards = chunks(&self.tensors, shard_bytes);
        let count = u16::try_from(shards.len()).map_err(|_| Error::Option {
            option: "shard_bytes",
            value: shard_bytes.to_string(),
            expected: "so many that 65535 shards are enough",
        })?;
        let total = i32::try_from(self.tensors.len()).map_err(|_| {
            Error::metadata(SPLIT_TENSORS, format!("would be {}, expected under 2^31", self.tensors.len()))
        })?;
        let shard = |(tensors, number): (&[TensorInfo], u16)| {
            let mut metadata = if number == 0 { unsplit(&self.metadata) } else { Metadata::new() };
            if let Some(alignment) = self.metadata.get(ALIGNMENT_KEY) {
                metadata.insert(ALIGNMENT_KEY, alignment.clone());
            }
            metadata.insert(SPLIT_NO, number);
            metadata.insert(SPLIT_COUNT, count);
            metadata.insert(SPLIT_TENSORS, total);
            let names = tensors.iter().map(|tensor| tensor.name.clone()).collect();
            Self { metadata, tensors: tensors.to_vec(), names }
        };
        Ok(shards.into_iter().zip(0..).map(shard).collect())
    }

    fn alignment(&self) -> Result<u64> {
        let wrong = |problem| Error::metadata(ALIGNMENT_KEY, problem);
        match self.metadata.get(ALIGNMENT_KEY) {
            None => Ok(DEFAULT_ALIGNMENT),
            Some(Value::U32(n)) if is_alignment((*n).into()) => Ok(u64::from(*n)),
            Some(Value::U32(n)) => {
                Err(wrong(format!("is {n}, expected a power of two up to {ALIGNMENT_LIMIT}")))
            }
            Some(other) => Err(wrong(format!("is {}, expected u32", other.type_name()))),
        }
    }

    fn problem(&self, tensor: &TensorInfo) -> Option<String> {
        if self.names.contains(&tensor.name) {
            Some("is already declared".to_owned())
        } else if !(1..=NAME_LIMIT).contains(&tensor.name.len()) {
            Some(format!("has a name of {} bytes, expected 1 to {NAME_LIMIT}", tensor.name.len()))
        } else if !(1..=DIMENSION_LIMIT).contains(&tensor.shape.len()) {
            Some(format!("has {} dimensions, expected 1 to {DIMENSION_LIMIT}", tensor.shape.len()))
        } else {
            None
        }
    }

    fn header(&self, tensors: &[TensorInfo]) -> Result<Vec<u8>> {
        let mut out = MAGIC.to_vec();
        out.extend(VERSION.to_le_bytes());
        out.extend((tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            check_key(key)?;
            put_string(&mut out, key);
            out.extend(value.code().to_le_bytes());
            put_value(&mut out, value);
        }
        for tensor in tensors {
            put_tensor(&mut out, tensor);
        }
        Ok(out)
    }
}

/// The tensors with their offsets, one after the other and each aligned, and where the last one ends.
fn placed(tensors: &[TensorInfo], alignment: u64) -> Result<(Vec<TensorInfo>, u64)> {
    let mut end = 0_u64;
    let place = |tensor: &TensorInfo| {
        let offset = end;
        end = offset
            .checked_add(tensor.bytes)
            .and_then(|end| align_up(end, alignment))
            .ok_or_else(|| too_large(tensor))?;
        Ok(TensorInfo { offset, ..tensor.clone() })
    };
    let placed = tensors.iter().map(place).collect::<Result<_>>()?;
    Ok((placed, end))
}

/// Consecutive tensors with at most `limit` bytes together, or one larger tensor.
fn chunks(tensors: &[TensorInfo], limit: u64) -> Vec<&[TensorInfo]> {
    let Some(first) = tensors.first() else { return vec![tensors] };
    let mut sum = first.bytes;
    let fits = |_: &TensorInfo, next: &TensorInfo| {
        let together = sum.saturating_add(next.bytes);
        sum = if together <= limit { together } else { next.bytes };
        together <= limit
    };
    tensors.chunk_by(fits).collect()
}

fn too_large(tensor: &TensorInfo) -> Error {
    Error::tensor(&tensor.name, "makes the file larger than 2^64 bytes")
}

fn check_key(key: &str) -> Result<()> {
    if (1..=KEY_LIMIT).contains(&key.len()) {
        return Ok(());
    }
    let start: String = key.chars().take(40).collect();
    Err(Error::metadata(start, format!("has {} bytes, expected 1 to {KEY_LIMIT}", key.len())))
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(n) => out.extend(n.to_le_bytes()),
        Value::I8(n) => out.extend(n.to_le_bytes()),
        Value::U16(n) => out.extend(n.to_le_bytes()),
        Value::I16(n) => out.extend(n.to_le_bytes()),
        Value::U32(n) => out.extend(n.to_le_bytes()),
        Value::I32(n) => out.extend(n.to_le_bytes()),
        Value::F32(x) => out.extend(x.to_le_bytes()),
        Value::Bool(flag) => out.push((*flag).into()),
        Value::String(text) => put_string(out, text),
        Value::Array(array) => put_array(out, array),
        Value::U64(n) => out.extend(n.to_le_bytes()),
        Value::I64(n) => out.extend(n.to_le_bytes()),
        Value::F64(x) => out.extend(x.to_le_bytes()),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend(array.code().to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::U8(items) => out.extend(items),
        Array::I8(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::U16(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::I16(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::U32(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::I32(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::F32(items) => out.extend(items.iter().flat_map(|x| x.to_le_bytes())),
        Array::Bool(items) => out.extend(items.iter().map(|&flag| u8::from(flag))),
        Array::String(items) => items.iter().for_each(|text| put_string(out, text)),
        Array::U64(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::I64(items) => out.extend(items.iter().flat_map(|n| n.to_le_bytes())),
        Array::F64(items) => out.extend(items.iter().flat_map(|x| x.to_le_bytes())),
    }
}

fn put_tensor(out: &mut Vec<u8>, tensor: &TensorInfo) {
    put_string(out, &tensor.name);
    out.extend((tensor.shape.len() as u32).to_le_bytes());
    out.extend(tensor.shape.iter().rev().flat_map(|&dim| (dim as u64).to_le_bytes()));
    out.extend(tensor.dtype.code().to_le_bytes());
    out.extend(tensor.offset.to_le_bytes());
}

fn pad(bytes: &mut Vec<u8>, alignment: u64) {
    let alignment = usize::try_from(alignment).expect("an alignment is a u32");
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}
