//! Plain floats.
use half::{bf16, f16};

use crate::DType;

pub(super) fn encode(values: &[f32], dtype: DType, out: &mut [u8]) {
    match dtype {
        DType::F16 => put(values, out, |x| f16::from_f32(x).to_le_bytes()),
        DType::BF16 => put(values, out, |x| bf16::from_f32(x).to_le_bytes()),
        _ => put(values, out, f32::to_le_bytes),
    }
}

pub(super) fn decode(bytes: &[u8], dtype: DType, out: &mut [f32]) {
    match dtype {
        DType::F16 => take(bytes, out, |raw| f16::from_le_bytes(raw).to_f32()),
        DType::BF16 => take(bytes, out, |raw| bf16::from_le_bytes(raw).to_f32()),
        DType::F64 => take(bytes, out, |raw| f64::from_le_bytes(raw) as f32),
        _ => take(bytes, out, f32::from_le_bytes),
    }
}

fn put<const N: usize>(values: &[f32], out: &mut [u8], encode: impl Fn(f32) -> [u8; N]) {
    values.iter().zip(out.as_chunks_mut::<N>().0).for_each(|(x, raw)| *raw = encode(*x));
}

fn take<const N: usize>(bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    bytes.as_chunks::<N>().0.iter().zip(out).for_each(|(raw, x)| *x = decode(*raw));
}
