//! Quantized tensors as candle holds them.
use std::borrow::Cow;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};

use crate::{DType, Error, Result};

const SUPPORTED: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K";

/// The tensor library's name of a type that it can compute with.
pub(crate) fn ggml(dtype: DType) -> Option<GgmlDType> {
    match dtype {
        DType::F32 => Some(GgmlDType::F32),
        DType::F16 => Some(GgmlDType::F16),
        DType::BF16 => Some(GgmlDType::BF16),
        DType::Q4_0 => Some(GgmlDType::Q4_0),
        DType::Q4_1 => Some(GgmlDType::Q4_1),
        DType::Q5_0 => Some(GgmlDType::Q5_0),
        DType::Q5_1 => Some(GgmlDType::Q5_1),
        DType::Q8_0 => Some(GgmlDType::Q8_0),
        DType::Q2_K => Some(GgmlDType::Q2K),
        DType::Q3_K => Some(GgmlDType::Q3K),
        DType::Q4_K => Some(GgmlDType::Q4K),
        DType::Q5_K => Some(GgmlDType::Q5K),
        DType::Q6_K => Some(GgmlDType::Q6K),
        _ => None,
    }
}

/// Whether the tensor library multiplies with a matrix of this type as it is, given the length of its rows; otherwise it is
/// held in full. Some of its kernels take blocks in pairs only.
pub(crate) fn multiplies(dtype: DType, row_length: usize) -> bool {
    let in_pairs = matches!(dtype, DType::Q4_1 | DType::Q5_0 | DType::Q5_1);
    let blocks = row_length / dtype.block_size();
    dtype.is_quantized() && ggml(dtype).is_some() && (!in_pairs || blocks.is_multiple_of(2))
}

/// The bytes of a tensor as the tensor library holds them; their number must match shape and type.
pub(crate) fn qtensor(bytes: &[u8], dtype: DType, shape: &[usize], device: &Device) -> Result<QTensor> {
    let ggml = supported(dtype, "decoded")?;
    let aligned = Aligned::copy(bytes);
    let storage = QStorage::from_data(Cow::Borrowed(aligned.as_slice()), device, ggml);
    storage.and_then(|storage| QTensor::new(storage, shape)).map_err(compute("loading a tensor"))
}

fn supported(dtype: DType, action: &'static str) -> Result<GgmlDType> {
    ggml(dtype).ok_or(Error::UnsupportedDType { dtype, action, supported: SUPPORTED })
}

pub(crate) fn compute(during: &'static str) -> impl FnOnce(candle_core::Error) -> Error {
    move |error| Error::Compute { during, source: error.into() }
}

/// A copy of some bytes at an address that suits every block type: the tensor library insists on it.
struct Aligned {
    buffer: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    const ALIGNMENT: usize = 8;

    fn copy(bytes: &[u8]) -> Self {
        let mut buffer = vec![0; bytes.len() + Self::ALIGNMENT];
        let start = buffer.as_ptr().align_offset(Self::ALIGNMENT);
        buffer[start..start + bytes.len()].copy_from_slice(bytes);
        Self { buffer, start, length: bytes.len() }
    }

    fn as_slice(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.length]
    }
}
