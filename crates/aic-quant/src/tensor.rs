use serde::{Serialize, Serializer};

use crate::gguf::Metadata;
use crate::{DType, Error, Result};

/// One tensor of a model file: what it is called, how it is shaped and stored, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TensorInfo {
    /// The tensor's name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Dimensions, outermost first: `[out_features, in_features]` for a matrix. (GGUF files store the reverse.)
    pub shape: Vec<usize>,
    /// How the numbers are stored.
    #[serde(serialize_with = "name")]
    pub dtype: DType,
    /// Where the data starts, in bytes from the start of the file's data section.
    pub offset: u64,
    /// How many bytes the data takes.
    pub bytes: u64,
}

impl TensorInfo {
    /// A tensor at offset 0.
    ///
    /// # Errors
    /// [`Error::Tensor`] if rows do not divide into blocks of `dtype`, or the size overflows.
    pub(crate) fn new(name: impl Into<String>, shape: &[usize], dtype: DType) -> Result<Self> {
        let name = name.into();
        let Some(bytes) = dtype.bytes_of(shape) else {
            return Err(Error::tensor(
                name,
                format!("has shape {shape:?}, which {dtype} (blocks of {}) cannot hold", dtype.block_size()),
            ));
        };
        Ok(Self { name, shape: shape.to_vec(), dtype, offset: 0, bytes })
    }

    /// How many numbers the tensor has.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&dim| dim as u64).product()
    }

    /// How many rows there are, through all outer dimensions.
    pub(crate) fn rows(&self) -> usize {
        self.shape[..self.shape.len().saturating_sub(1)].iter().product()
    }

    /// How many matrices there are, one after the other: the experts of a mixture, or 1.
    pub(crate) fn experts(&self) -> usize {
        self.shape[..self.shape.len().saturating_sub(2)].iter().product()
    }

    /// How many bytes one row takes.
    pub(crate) fn row_bytes(&self) -> usize {
        self.row_length() / self.dtype.block_size() * self.dtype.block_bytes()
    }

    /// How many numbers one row has: the last dimension.
    pub fn row_length(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

pub(crate) fn name<S: Serializer>(dtype: &DType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(dtype.name())
}

/// A model on its way in: metadata and tensors by the names GGUF uses, wherever they come from.
///
/// [`gguf::File`](crate::gguf::File) is one; what quantizes and what runs a model asks for nothing more.
pub trait TensorSource: Send + Sync {
    /// The model's metadata.
    fn metadata(&self) -> &Metadata;

    /// The model's tensors, in file order.
    fn tensors(&self) -> &[TensorInfo];

    /// Fills `out` with the data of `tensor`, little-endian, from its byte `start` on.
    ///
    /// `tensor` is one of [`tensors`](Self::tensors), and `start` and the end of `out` lie between two of its rows.
    /// Several threads may read at once.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, or has become shorter.
    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()>;

    /// Reads all of `tensor`: [`TensorInfo::bytes`] bytes.
    ///
    /// # Errors
    /// As [`read_into`](Self::read_into).
    fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>> {
        let length = usize::try_from(tensor.bytes)
            .map_err(|_| Error::tensor(&tensor.name, "is too large for this machine"))?;
        let mut bytes = vec![0; length];
        self.read_into(tensor, 0, &mut bytes)?;
        Ok(bytes)
    }
}
