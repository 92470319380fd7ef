use std::collections::HashSet;
use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use super::cursor::Cursor;
use super::{
    ALIGNMENT_KEY, ALIGNMENT_LIMIT, Bytes, DEFAULT_ALIGNMENT, DIMENSION_LIMIT, KEY_LIMIT, MAGIC, Metadata,
    NAME_LIMIT, Reading, Value, Warning, align_up, is_alignment,
};
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
    warnings: Vec<Warning>,
}

impl File {
    /// Opens the file at `path` and reads its header.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be read, [`Error::Malformed`](crate::Error::Malformed) if it is not a sound GGUF file of version 2 or 3.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), Reading::Strict)
    }

    /// Opens the file at `path`, and reads it even where something is wrong that can be lived with.
    ///
    /// [`warnings`](Self::warnings) says what was. Meant for looking at files, and for repairing them: a tensor of an
    /// unknown type is left out, and one that the file does not hold to its end is there and cannot be read.
    ///
    /// # Errors
    /// As [`open`](Self::open), for what no reader can make sense of.
    pub fn open_lenient(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), Reading::Lenient)
    }

    /// Reads a GGUF file that is already in memory: `&'static [u8]`, `Arc<[u8]>` or `Vec<u8>`.
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::Error::Malformed) if it is not a sound GGUF file of version 2 or 3.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        Self::new(Storage::memory(bytes.into()), Reading::Strict)
    }

    /// Reads a file in memory as [`open_lenient`](Self::open_lenient) does.
    ///
    /// # Errors
    /// As [`open_lenient`](Self::open_lenient).
    pub fn from_bytes_lenient(bytes: impl Into<Bytes>) -> Result<Self> {
        Self::new(Storage::memory(bytes.into()), Reading::Lenient)
    }

    pub(super) fn open_with(path: &Path, reading: Reading) -> Result<Self> {
        Self::new(Storage::open(path)?, reading)
    }

    /// Reads a file that is open already.
    pub(crate) fn from_storage(storage: Storage) -> Result<Self> {
        Self::new(storage, Reading::Strict)
    }

    fn new(storage: Storage, reading: Reading) -> Result<Self> {
        let reader = BufReader::new(storage.reader());
        let header = Header::read(reader, &storage.label(), storage.size_bytes(), reading)?;
        Ok(Self { storage, header })
    }

    /// What was wrong and let pass; nothing for a file that was read strictly.
    pub fn warnings(&self) -> &[Warning] {
        &self.header.warnings
    }

    /// The file's format version, 2 or 3.
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// The size of the whole file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.storage.size_bytes()
    }

    /// Where the data section starts.
    #[cfg(feature = "compress")]
    pub(crate) fn data_offset(&self) -> u64 {
        self.header.data_offset
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

    /// What errors call the file.
    pub(crate) fn label(&self) -> String {
        self.storage.label()
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

    fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>> {
        self.read(tensor)
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
    fn read(reader: impl Read, label: &str, size: u64, reading: Reading) -> Result<Self> {
        let mut cursor = Cursor::new(reader, label, size, reading);
        let version = read_version(&mut cursor)?;
        let tensor_count = cursor.count("tensor count", SMALLEST_TENSOR)?;
        let entry_count = cursor.count("metadata count", SMALLEST_ENTRY)?;
        let metadata = read_metadata(&mut cursor, entry_count)?;
        let alignment = alignment(&mut cursor, &metadata)?;
        let tensors = read_tensors(&mut cursor, tensor_count, alignment)?;
        let Some(data_offset) = align_up(cursor.position(), alignment) else {
            return Err(cursor.malformed(format!("alignment {alignment} puts the data beyond 2^64")));
        };
        check_extents(&mut cursor, &tensors, size.saturating_sub(data_offset))?;
        check_order(&mut cursor, &tensors, alignment)?;
        Ok(Self { version, metadata, tensors, data_offset, warnings: cursor.into_warnings() })
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
        let value = cursor.value(&key)?;
        if metadata.contains(&key) {
            cursor.tolerate(Warning::DuplicateKey { key })?;
        } else {
            metadata.insert(key, value);
        }
    }
    Ok(metadata)
}

/// The alignment in `metadata`, checked.
fn alignment<R: Read>(cursor: &mut Cursor<'_, R>, metadata: &Metadata) -> Result<u64> {
    let Some(value) = metadata.get(ALIGNMENT_KEY) else { return Ok(DEFAULT_ALIGNMENT) };
    let type_name = value.type_name();
    let Some(alignment) = value.as_u64() else {
        return Err(cursor.malformed(format!("`{ALIGNMENT_KEY}` is {type_name}, expected u32")));
    };
    if !matches!(value, Value::U32(_)) {
        cursor.tolerate(Warning::AlignmentType { type_name })?;
    }
    if !is_alignment(alignment) {
        return Err(cursor.malformed(format!(
            "`{ALIGNMENT_KEY}` is {alignment}, expected a power of two up to {ALIGNMENT_LIMIT}"
        )));
    }
    Ok(alignment)
}

fn read_tensors<R: Read>(
    cursor: &mut Cursor<'_, R>,
    count: usize,
    alignment: u64,
) -> Result<Vec<TensorInfo>> {
    let mut names = HashSet::new();
    let mut tensors = Vec::new();
    for _ in 0..count {
        let name = read_name(cursor)?;
        if !names.insert(name.clone()) {
            return Err(cursor.malformed(format!("tensor `{name}` appears twice")));
        }
        tensors.extend(read_tensor(cursor, name, alignment)?);
    }
    Ok(tensors)
}

fn read_name<R: Read>(cursor: &mut Cursor<'_, R>) -> Result<String> {
    let name = cursor.string("tensor name", KEY_LIMIT)?;
    match name.len() {
        0 => return Err(cursor.malformed("a tensor name is empty")),
        1..=NAME_LIMIT => {}
        bytes => cursor.tolerate(Warning::LongName { tensor: name.clone(), bytes })?,
    }
    Ok(name)
}

/// The rest of a tensor's description; `None` if its type is unknown and that is let pass.
fn read_tensor<R: Read>(
    cursor: &mut Cursor<'_, R>,
    name: String,
    alignment: u64,
) -> Result<Option<TensorInfo>> {
    let shape = read_shape(cursor, &name)?;
    let code = cursor.u32("tensor type")?;
    let offset = cursor.u64("tensor offset")?;
    let Some(dtype) = DType::from_code(code) else {
        cursor.tolerate(Warning::UnknownType { tensor: name, code })?;
        return Ok(None);
    };
    if !offset.is_multiple_of(alignment) {
        cursor.tolerate(Warning::Unaligned { tensor: name.clone(), offset, alignment })?;
    }
    let tensor = TensorInfo::new(name, &shape, dtype).map_err(|error| cursor.malformed(error.to_string()))?;
    Ok(Some(TensorInfo { offset, ..tensor }))
}

/// The shape, turned so that the outermost dimension comes first.
fn read_shape<R: Read>(cursor: &mut Cursor<'_, R>, name: &str) -> Result<Vec<usize>> {
    let dimensions = cursor.u32("number of dimensions")? as usize;
    if dimensions > DIMENSION_LIMIT {
        return Err(cursor.malformed(format!(
            "tensor `{name}` has {dimensions} dimensions, expected 1 to {DIMENSION_LIMIT}"
        )));
    }
    if dimensions == 0 {
        cursor.tolerate(Warning::Scalar { tensor: name.to_owned() })?;
        return Ok(vec![1]);
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
fn check_extents<R: Read>(cursor: &mut Cursor<'_, R>, tensors: &[TensorInfo], available: u64) -> Result<()> {
    let mut by_offset: Vec<&TensorInfo> = tensors.iter().filter(|tensor| tensor.bytes > 0).collect();
    by_offset.sort_by_key(|tensor| tensor.offset);
    let mut previous: Option<(&TensorInfo, u64)> = None;
    for tensor in by_offset {
        let end = tensor.offset.checked_add(tensor.bytes);
        if end.is_none_or(|end| end > available) {
            cursor.tolerate(cut_short(tensor, available))?;
        }
        if let Some((other, _)) = previous.filter(|(_, taken)| *taken > tensor.offset) {
            return Err(cursor.malformed(format!("tensors `{}` and `{}` overlap", other.name, tensor.name)));
        }
        previous = Some((tensor, end.unwrap_or(u64::MAX)));
    }
    Ok(())
}

fn cut_short(tensor: &TensorInfo, available: u64) -> Warning {
    let (tensor, bytes, offset) = (tensor.name.clone(), tensor.bytes, tensor.offset);
    Warning::CutShort { tensor, bytes, offset, available }
}

/// Checks that the data follow one another in the order of the tensors, with no gap but the alignment.
fn check_order<R: Read>(cursor: &mut Cursor<'_, R>, tensors: &[TensorInfo], alignment: u64) -> Result<()> {
    let mut expected = 0;
    for tensor in tensors {
        if tensor.offset != expected {
            let (tensor, offset) = (tensor.name.clone(), tensor.offset);
            cursor.tolerate(Warning::Misplaced { tensor, offset, expected })?;
        }
        let end = tensor.offset.checked_add(tensor.bytes).and_then(|end| align_up(end, alignment));
        expected = end.unwrap_or(u64::MAX);
    }
    Ok(())
}
