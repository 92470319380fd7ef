//! How tensors are held once they are loaded.
use crate::kernels::Packed;
use crate::recipe::choose;
use crate::{DType, TensorInfo};

/// The type a tensor of the model is held in.
pub(super) fn held(tensor: &TensorInfo, dtype: Option<DType>) -> DType {
    dtype.map_or(tensor.dtype, |wanted| choose(tensor, wanted).dtype)
}

/// Bytes of a tensor as this crate's kernels hold it.
pub(super) fn host_bytes(tensor: &TensorInfo, dtype: Option<DType>) -> u64 {
    let full = tensor.elements().saturating_mul(4);
    if tensor.shape.len() < 2 {
        return full;
    }
    Packed::bytes_of(held(tensor, dtype), tensor.rows(), tensor.row_length()).unwrap_or(full)
}

/// Bytes of a tensor as a device holds it.
pub(super) fn device_bytes(tensor: &TensorInfo, dtype: Option<DType>) -> u64 {
    let held = held(tensor, dtype);
    if tensor.shape.len() > 1 && multiplies(held, tensor.row_length()) {
        return held.bytes_of(&tensor.shape).unwrap_or(u64::MAX);
    }
    tensor.elements().saturating_mul(4)
}

#[cfg(feature = "candle")]
fn multiplies(dtype: DType, row_length: usize) -> bool {
    super::candle::multiplies(dtype, row_length)
}

/// Nothing is loaded to a device without the feature; this is for estimates only.
#[cfg(not(feature = "candle"))]
fn multiplies(dtype: DType, _row_length: usize) -> bool {
    dtype.is_quantized()
}
