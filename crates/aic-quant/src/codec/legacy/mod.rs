//! Blocks of 32 with one scale, and with one scale and minimum.
//!
//! | type | codes | block, little-endian |
//! |---|---|---|
//! | Q8_0 | −127 to 127 | scale, 32 codes |
//! | Q4_0 | −8 to 7, stored from 0 | scale, nibbles |
//! | Q5_0 | −16 to 15, stored from 0 | scale, fifth bits, nibbles |
//! | Q4_1 | 0 to 15 | scale, minimum, nibbles |
//! | Q5_1 | 0 to 31 | scale, minimum, fifth bits, nibbles |
mod affine;
mod q8_0;
mod symmetric;

use crate::DType;

pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, dtype: DType, out: &mut [u8]) {
    match dtype {
        DType::Q8_0 => q8_0::encode(values, out),
        DType::Q4_0 | DType::Q5_0 => symmetric::encode(values, importance, dtype, out),
        _ => affine::encode(values, importance, dtype, out),
    }
}

pub(super) fn decode(bytes: &[u8], dtype: DType, out: &mut [f32]) {
    match dtype {
        DType::Q8_0 => q8_0::decode(bytes, out),
        DType::Q4_0 | DType::Q5_0 => symmetric::decode(bytes, dtype, out),
        _ => affine::decode(bytes, dtype, out),
    }
}
