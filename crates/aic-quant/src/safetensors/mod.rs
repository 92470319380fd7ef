//! Reading safetensors files: the weights of a Hugging Face model.
//!
//! Stricter than the format asks where a doubt could be used: the tensors cover the data without holes, and no key appears twice.
mod folder;
mod unique;

use std::path::Path;

use ::safetensors::Dtype;
use ::safetensors::tensor::Metadata;
pub use folder::Folder;
use serde::de::IgnoredAny;
use unique::Unique;

use crate::gguf::Bytes;
use crate::storage::Storage;
use crate::{DType, Error, Result, TensorInfo};

/// Largest header the format allows, in bytes.
const HEADER_LIMIT: u64 = 100_000_000;

/// An open safetensors file with a checked header; tensor data is read on demand.
pub struct File {
    storage: Storage,
    tensors: Vec<TensorInfo>,
    data_offset: u64,
}

impl File {
    /// Opens the file at `path` and reads its header.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::Malformed`] if the header is wrong, or does not cover the data exactly;
    /// [`Error::Tensor`] for a tensor of a type that is not among [`DType`]s.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::new(Storage::open(path.as_ref())?)
    }

    /// Reads a file that is already in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        Self::new(Storage::memory(bytes.into()))
    }

    fn new(storage: Storage) -> Result<Self> {
        let length = header_length(&storage)?;
        let header = storage.read(8, length)?;
        let metadata = parse(&header).map_err(|problem| malformed(&storage, 8, problem))?;
        let data_offset = 8 + length;
        let data = storage.size_bytes() - data_offset;
        if metadata.data_len() as u64 != data {
            let problem =
                format!("tensors cover {} bytes, but the file has {data} of data", metadata.data_len());
            return Err(malformed(&storage, data_offset, problem));
        }
        Ok(Self { tensors: tensors(&metadata)?, storage, data_offset })
    }

    /// Where the data section starts.
    #[cfg(feature = "compress")]
    pub(crate) fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// The tensors, in the order of their data.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// What errors call the file.
    pub(crate) fn label(&self) -> String {
        self.storage.label()
    }

    /// The size of the whole file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.storage.size_bytes()
    }

    /// Reads the data of `tensor`, little-endian.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read or does not reach that far any more.
    pub fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>> {
        self.storage.read(self.data_offset.saturating_add(tensor.offset), tensor.bytes)
    }

    /// Fills `out` with the data of `tensor` from its byte `start` on.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        let offset = self.data_offset.saturating_add(tensor.offset).saturating_add(start);
        self.storage.read_into(offset, out)
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("tensors", &self.tensors.len()).finish_non_exhaustive()
    }
}

/// The length at the start of the file, compared with what the file has.
fn header_length(storage: &Storage) -> Result<u64> {
    let available = storage.size_bytes().saturating_sub(8);
    let bytes = storage.read(0, 8)?;
    let length = u64::from_le_bytes(bytes.try_into().expect("eight bytes were read"));
    if length > available.min(HEADER_LIMIT) {
        let problem = format!(
            "the header has {length} bytes, but at most {} are possible",
            available.min(HEADER_LIMIT)
        );
        return Err(malformed(storage, 0, problem));
    }
    Ok(length)
}

fn parse(header: &[u8]) -> Result<Metadata, String> {
    if header.first() != Some(&b'{') {
        return Err("the header does not start with `{`".to_owned());
    }
    serde_json::from_slice::<Unique<IgnoredAny>>(header).map_err(|error| error.to_string())?;
    serde_json::from_slice(header).map_err(|error| error.to_string())
}

fn tensors(metadata: &Metadata) -> Result<Vec<TensorInfo>> {
    let by_name = metadata.tensors();
    let tensor = |name: String| {
        let info = by_name[&name];
        let dtype = dtype(info.dtype).ok_or_else(|| {
            Error::tensor(&name, format!("has type {:?}, expected a float or a signed integer", info.dtype))
        })?;
        let offset = info.data_offsets.0 as u64;
        Ok(TensorInfo { offset, ..TensorInfo::new(name, &info.shape, dtype)? })
    };
    metadata.offset_keys().into_iter().map(tensor).collect()
}

fn dtype(dtype: Dtype) -> Option<DType> {
    match dtype {
        Dtype::F32 => Some(DType::F32),
        Dtype::F16 => Some(DType::F16),
        Dtype::BF16 => Some(DType::BF16),
        Dtype::F64 => Some(DType::F64),
        Dtype::I8 => Some(DType::I8),
        Dtype::I16 => Some(DType::I16),
        Dtype::I32 => Some(DType::I32),
        Dtype::I64 => Some(DType::I64),
        _ => None,
    }
}

fn malformed(storage: &Storage, offset: u64, problem: String) -> Error {
    Error::Malformed { format: "safetensors", file: storage.label(), offset, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 1);
        bytes
    }

    const GOOD: &str = r#"{"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#;

    #[test]
    fn tensors_come_in_the_order_of_their_data() {
        let file = File::from_bytes(file(GOOD, 16)).unwrap();

        assert_eq!(file.tensors()[0].shape, [2, 3]);
        assert_eq!(file.tensors()[1].dtype, DType::F32);
        assert_eq!(file.read(&file.tensors()[1]).unwrap(), [1; 4]);
    }

    /// A header with one tensor.
    fn one(dtype: &str, shape: &str, begin: u64, end: u64) -> String {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}}}"#)
    }

    #[test]
    fn bad_headers_are_typed_errors() {
        let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        let next = r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#;
        let shifted = r#"{"dtype":"F32","shape":[1],"data_offsets":[2,6]}"#;
        let bad = [
            ("too little data", file(GOOD, 15)),
            ("too much data", file(GOOD, 17)),
            ("half an object", file("{", 0)),
            ("no object", file("[]", 0)),
            ("space before the object", file(&format!(" {}", one("F32", "[1]", 0, 4)), 4)),
            ("hole before the data", file(&one("F32", "[1]", 4, 8), 8)),
            (
                "hole between",
                file(
                    &format!(r#"{{"a":{entry},"b":{{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}}}"#),
                    12,
                ),
            ),
            ("overlap", file(&format!(r#"{{"a":{entry},"b":{shifted}}}"#), 6)),
            ("same data twice", file(&format!(r#"{{"a":{entry},"b":{entry}}}"#), 4)),
            ("end before begin", file(&one("F32", "[1]", 4, 0), 4)),
            ("size unlike the shape", file(&one("F32", "[2]", 0, 4), 4)),
            ("type without a DType", file(&one("U8", "[4]", 0, 4), 4)),
            ("type of nobody", file(&one("F33", "[1]", 0, 4), 4)),
            ("elements that wrap", file(&one("F32", "[4294967296,4294967296]", 0, 0), 0)),
            ("negative dimension", file(&one("F32", "[-1]", 0, 4), 4)),
            (
                "offset of 2^64",
                file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551616]}}"#, 4),
            ),
            ("tensor twice", file(&format!(r#"{{"a":{entry},"a":{entry}}}"#), 4)),
            ("tensor twice, once escaped", file(&format!(r#"{{"a":{entry},"\u0061":{next}}}"#), 8)),
            (
                "field twice",
                file(r#"{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}"#, 4),
            ),
            (
                "metadata twice",
                file(&format!(r#"{{"__metadata__":{{}},"__metadata__":{{}},"a":{entry}}}"#), 4),
            ),
            ("metadata that is no text", file(&format!(r#"{{"__metadata__":{{"x":1}},"a":{entry}}}"#), 4)),
            ("deep JSON", file(&format!(r#"{{"a":{}"#, "[".repeat(100_000)), 0)),
            ("length 2^64 - 1", u64::MAX.to_le_bytes().to_vec()),
            ("length beyond the file", 200_u64.to_le_bytes().to_vec()),
        ];
        for (case, bytes) in bad {
            let error = File::from_bytes(bytes).map(|_| ()).expect_err(case);
            assert!(matches!(error, Error::Malformed { .. } | Error::Tensor { .. }), "{case}: {error:?}");
        }
    }

    #[test]
    fn header_over_the_limit_is_refused_whatever_the_file_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, (HEADER_LIMIT + 1).to_le_bytes()).unwrap();
        // Sparse: nothing of it is written.
        std::fs::File::options().write(true).open(&path).unwrap().set_len(2 * HEADER_LIMIT).unwrap();

        let error = File::open(&path).unwrap_err();

        assert!(error.to_string().contains("100000000"), "{error}");
    }

    #[test]
    fn padded_header_and_metadata_are_fine() {
        let header = format!(r#"{{"__metadata__":{{"format":"pt"}},{}   "#, &one("F32", "[1]", 0, 4)[1..]);
        assert_eq!(File::from_bytes(file(&header, 4)).unwrap().tensors().len(), 1);
    }

    #[test]
    fn file_cut_anywhere_is_an_error() {
        let whole = file(GOOD, 16);
        for length in 0..whole.len() {
            assert!(File::from_bytes(whole[..length].to_vec()).is_err(), "cut at {length}");
        }
    }
}
