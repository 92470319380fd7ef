//! Super-blocks of 256: the K types.
#[cfg(feature = "candle")]
use candle_core::quantized::QTensor;
#[cfg(feature = "candle")]
use candle_core::{Device, Tensor};

use crate::DType;

#[cfg(feature = "candle")]
pub(super) fn encode(values: &[f32], _importance: Option<&[f32]>, dtype: DType, out: &mut [u8]) {
    let ggml = crate::engine::ggml(dtype).expect("a type of this family");
    let tensor = Tensor::from_slice(values, values.len(), &Device::Cpu).expect("a vector");
    let quantized = QTensor::quantize(&tensor, ggml).expect("whole blocks");
    out.copy_from_slice(&quantized.data().expect("on the processor"));
}

#[cfg(feature = "candle")]
pub(super) fn decode(bytes: &[u8], dtype: DType, out: &mut [f32]) {
    let tensor = crate::engine::qtensor(bytes, dtype, &[out.len()], &Device::Cpu).expect("whole blocks");
    let values = tensor.dequantize(&Device::Cpu).and_then(|tensor| tensor.to_vec1()).expect("a vector");
    out.copy_from_slice(&values);
}

#[cfg(not(feature = "candle"))]
pub(super) fn encode(_values: &[f32], _importance: Option<&[f32]>, _dtype: DType, _out: &mut [u8]) {}

#[cfg(not(feature = "candle"))]
pub(super) fn decode(_bytes: &[u8], _dtype: DType, _out: &mut [f32]) {}
