use std::collections::HashSet;
use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use super::cursor::Cursor;
use super::{Bytes, DIMENSION_LIMIT, KEY_LIMIT, MAGIC, Metadata, NAME_LIMIT, align_up, alignment};
use crate::storage::Storage;
use crate::{DType, Result, TensorInfo, TensorSource};

/// Fewest bytes of one metadata entry: key length, one character, value type, one byte.
const SMALLEST_ENTRY: u64 = 8 + 1 + 4 + 1;
/// Fewest bytes of one tensor's description: name length, one character, dimensions, one dimension, type, offset.
const SMALLEST_TENSOR: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// An open GGUF file with a checked header; tensor data is read on demand.
///
/// Nothing is mapped into memory: a file that is cut short while it is open gives [`Error::Io`](crate::Error::Io), not a crash.
pub struct File {
    storage: Storage,
    header: Header,
}

/// Everything before the data.
struct Header {
    version: u32,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    data_offset: u64,
}

impl File {
    /// Opens the file at `path` and reads its header.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be read, [`Error::Malformed`](crate::Error::Malformed) if it is not a sound GGUF file of version 2 or 3.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(Storage::open(path.as_ref())?)
    }

    /// Reads a GGUF file that is already in memory: `&'static [u8]`, `Arc<[u8]>` or `Vec<u8>`.
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::Error::Malformed) if it is not a sound GGUF file of version 2 or 3.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        Self::new(Storage::memory(bytes.into()))
    }

    fn new(storage: Storage) -> Result<Self> {
        let header = Header::read(BufReader::new(storage.reader()), &storage.label(), storage.size_bytes())?;
        Ok(Self { storage, header })
    }

    /// The file's format version, 2 or 3.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// The size of the whole file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.storage.size_bytes()
    }

    /// The metadata, in file order.
    pub fn metadata(&self) -> &Metadata {
        &self.header.metadata
    }

    /// The tensors, in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.header.tensors
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.header.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// Reads the data of `tensor`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be read or does not reach that far any more.
    pub fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>> {
        let start = self.header.data_offset.saturating_add(tensor.offset);
        self.storage.read(start, tensor.bytes)
    }
}

impl TensorSource for File {
    fn metadata(&self) -> &Metadata {
        self.metadata()
    }

    fn tensors(&self) -> &[TensorInfo] {
        self.tensors()
    }

    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        let offset = self.header.data_offset.saturating_add(tensor.offset).saturating_add(start);
        self.storage.read_into(offset, out)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("version", &self.header.version)
            .field("size_bytes", &self.size_bytes())
            .field("metadata", &self.header.metadata.len())
            .field("tensors", &self.header.tensors.len())
            .finish_non_exhaustive()
    }
}

impl Header {
    fn read(reader: impl Read, label: &str, size: u64) -> Result<Self> {
        let mut cursor = Cursor::new(reader, label, size);
        let version = read_version(&mut cursor)?;
        let tensor_count = cursor.count("tensor count", SMALLEST_TENSOR)?;
        let entry_count = cursor.count("metadata count", SMALLEST_ENTRY)?;
        let metadata = read_metadata(&mut cursor, entry_count)?;
        let alignment = alignment(&metadata).map_err(|problem| cursor.malformed(problem))?;
        let tensors = read_tensors(&mut cursor, tensor_count, alignment)?;
        let Some(data_offset) = align_up(cursor.position(), alignment) else {
            return Err(cursor.malformed(format!("alignment {alignment} puts the data beyond 2^64")));
        };
        check_extents(&cursor, &tensors, size.saturating_sub(data_offset))?;
        Ok(Self { version, metadata, tensors, data_offset })
    }
}

fn read_version<R: Read>(cursor: &mut Cursor<'_, R>) -> Result<u32> {
    let magic: [u8; 4] = cursor.array("the magic number")?;
    if magic != MAGIC {
        return Err(cursor.malformed(format!("starts with {magic:02x?}, expected `GGUF`")));
    }
    let version = cursor.u32("the version")?;
    match version {
        2 | 3 => Ok(version),
        1 => Err(cursor.malformed("version 1 is obsolete; convert the model again")),
        _ if (1..=0xffff).contains(&version.swap_bytes()) => {
            Err(cursor.malformed("big-endian files are not supported"))
        }
        _ => Err(cursor.malformed(format!("version {version}, expected 2 or 3"))),
    }
}

fn read_metadata<R: Read>(cursor: &mut Cursor<'_, R>, count: usize) -> Result<Metadata> {
    let mut metadata = Metadata::new();
    for _ in 0..count {
        let key = cursor.string("metadata key", KEY_LIMIT)?;
        if key.is_empty() {
            return Err(cursor.malformed("a metadata key is empty"));
        }
        if metadata.contains(&key) {
            return Err(cursor.malformed(format!("metadata key `{key}` appears twice")));
        }
        let value = cursor.value(&key)?;
        metadata.insert(key, value);
    }
    Ok(metadata)
}

fn read_tensors<R: Read>(
    cursor: &mut Cursor<'_, R>,
    count: usize,
    alignment: u64,
) -> Result<Vec<TensorInfo>> {
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for _ in 0..count {
        let tensor = read_tensor(cursor, alignment)?;
        if !names.insert(tensor.name.clone()) {
            return Err(cursor.malformed(format!("tensor `{}` appears twice", tensor.name)));
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn read_tensor<R: Read>(cursor: &mut Cursor<'_, R>, alignment: u64) -> Result<TensorInfo> {
    let name = cursor.string("tensor name", NAME_LIMIT)?;
    if name.is_empty() {
        return Err(cursor.malformed("a tensor name is empty"));
    }
    let shape = read_shape(cursor, &name)?;
    let code = cursor.u32("tensor type")?;
    let Some(dtype) = DType::from_code(code) else {
        return Err(cursor.malformed(format!("tensor `{name}` has the unknown type {code}")));
    };
    let offset = cursor.u64("tensor offset")?;
    if !offset.is_multiple_of(alignment) {
        return Err(cursor.malformed(format!(
            "tensor `{name}` starts at {offset}, which is not a multiple of the alignment {alignment}"
        )));
    }
    let tensor = TensorInfo::new(name, &shape, dtype).map_err(|error| cursor.malformed(error.to_string()))?;
    Ok(TensorInfo { offset, ..tensor })
}

/// The shape, turned so that the outermost dimension comes first.
fn read_shape<R: Read>(cursor: &mut Cursor<'_, R>, name: &str) -> Result<Vec<usize>> {
    let dimensions = cursor.u32("number of dimensions")? as usize;
    if !(1..=DIMENSION_LIMIT).contains(&dimensions) {
        return Err(cursor.malformed(format!(
            "tensor `{name}` has {dimensions} dimensions, expected 1 to {DIMENSION_LIMIT}"
        )));
    }
    let mut shape = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        let size = cursor.u64("dimension")?;
        let size = usize::try_from(size)
            .ok()
            .filter(|size| isize::try_from(*size).is_ok())
            .ok_or_else(|| cursor.malformed(format!("tensor `{name}` has a dimension of {size}")))?;
        shape.push(size);
    }
    shape.reverse();
    Ok(shape)
}

/// Checks that every tensor lies within the `available` bytes of data and on no other tensor.
fn check_extents<R: Read>(cursor: &Cursor<'_, R>, tensors: &[TensorInfo], available: u64) -> Result<()> {
    let mut by_offset: Vec<&TensorInfo> = tensors.iter().filter(|tensor| tensor.bytes > 0).collect();
    by_offset.sort_by_key(|tensor| tensor.offset);
    let mut previous: Option<(&TensorInfo, u64)> = None;
    for tensor in by_offset {
        let end = tensor.offset.checked_add(tensor.bytes).filter(|end| *end <= available);
        let Some(end) = end else {
            return Err(cursor.malformed(format!(
                "tensor `{}` needs {} bytes at {}, but the data section has {available}; the file may be cut short",
                tensor.name, tensor.bytes, tensor.offset
            )));
        };
        if let Some((other, _)) = previous.filter(|(_, taken)| *taken > tensor.offset) {
            return Err(cursor.malformed(format!("tensors `{}` and `{}` overlap", other.name, tensor.name)));
        }
        previous = Some((tensor, end));
    }
    Ok(())
}
