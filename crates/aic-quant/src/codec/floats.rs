//! Plain numbers.
//!
//! Rows of 16-bit floats go through `half`, compiled for processors with the instructions for them. The scale of a block is a
//! single 16-bit float: for those the conversions are written out, since a call in the middle of a search costs more.
use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::Arch;

use crate::DType;

/// 16-bit floats converted at a time.
const CHUNK: usize = 64;

#[cfg(target_arch = "x86_64")]
pulp::simd_type! {
    /// The instructions for 16-bit floats, which none of the levels in pulp has.
    struct Halves {
        avx: "avx",
        f16c: "f16c",
    }
}

pub(super) fn encode(values: &[f32], dtype: DType, out: &mut [u8]) {
    match dtype {
        DType::F16 => with_halves(
            #[inline(always)]
            || narrow(values, out),
        ),
        DType::BF16 => put(values, out, |x| f32_to_bf16(x).to_le_bytes()),
        _ => put(values, out, f32::to_le_bytes),
    }
}

pub(super) fn decode(bytes: &[u8], dtype: DType, out: &mut [f32]) {
    match dtype {
        DType::F16 => with_halves(
            #[inline(always)]
            || widen(bytes, out),
        ),
        DType::BF16 => take(bytes, out, |raw| f32::from_bits(u32::from(u16::from_le_bytes(raw)) << 16)),
        DType::F64 => take(bytes, out, |raw| f64::from_le_bytes(raw) as f32),
        DType::I8 => take(bytes, out, |raw| f32::from(i8::from_le_bytes(raw))),
        DType::I16 => take(bytes, out, |raw| f32::from(i16::from_le_bytes(raw))),
        DType::I32 => take(bytes, out, |raw| i32::from_le_bytes(raw) as f32),
        DType::I64 => take(bytes, out, |raw| i64::from_le_bytes(raw) as f32),
        _ => take(bytes, out, f32::from_le_bytes),
    }
}

#[inline(always)]
fn put<const N: usize>(values: &[f32], out: &mut [u8], encode: impl Fn(f32) -> [u8; N]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (x, raw) in values.iter().zip(out.as_chunks_mut().0) {
                *raw = encode(*x);
            }
        },
    );
}

#[inline(always)]
fn take<const N: usize>(bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (raw, x) in bytes.as_chunks().0.iter().zip(out) {
                *x = decode(*raw);
            }
        },
    );
}

/// Runs `work` compiled for processors that convert 16-bit floats, where this is one.
#[inline(always)]
fn with_halves(work: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = Halves::try_new() {
        return simd.vectorize(work);
    }
    work();
}

#[inline(always)]
fn narrow(values: &[f32], out: &mut [u8]) {
    let (chunks, rest) = values.as_chunks::<CHUNK>();
    let (raw, raw_rest) = out.as_chunks_mut::<2>().0.split_at_mut(values.len() - rest.len());
    for (values, raw) in chunks.iter().zip(raw.as_chunks_mut::<CHUNK>().0) {
        let mut halves = [f16::ZERO; CHUNK];
        halves.convert_from_f32_slice(values);
        for (half, raw) in halves.iter().zip(raw) {
            *raw = half.to_le_bytes();
        }
    }
    for (x, raw) in rest.iter().zip(raw_rest) {
        *raw = f16::from_f32(*x).to_le_bytes();
    }
}

#[inline(always)]
fn widen(bytes: &[u8], out: &mut [f32]) {
    let (chunks, rest) = bytes.as_chunks::<2>().0.as_chunks::<CHUNK>();
    let (out, out_rest) = out.split_at_mut(chunks.len() * CHUNK);
    for (raw, out) in chunks.iter().zip(out.as_chunks_mut::<CHUNK>().0) {
        raw.map(f16::from_le_bytes).convert_to_f32_slice(out);
    }
    for (raw, x) in rest.iter().zip(out_rest) {
        *x = f16::from_le_bytes(*raw).to_f32();
    }
}

/// The bits of infinity in a 32-bit float.
const INFINITY: u32 = 0xff << 23;
/// What the exponents of 32-bit and 16-bit floats differ by, in place.
const REBIAS: u32 = (127 - 15) << 23;

/// Exact; a NaN stays one, quiet or not.
#[inline(always)]
pub(super) fn f16_to_f32(half: u16) -> f32 {
    let magnitude = u32::from(half & 0x7fff) << 13;
    let sign = u32::from(half & 0x8000) << 16;
    let normal = magnitude + REBIAS;
    let special = magnitude | INFINITY;
    // Without its hidden bit a subnormal is that much above the smallest normal number with it.
    let smallest = REBIAS + (1 << 23);
    let subnormal = (f32::from_bits(magnitude + smallest) - f32::from_bits(smallest)).to_bits();
    let finite = if magnitude < 1 << 23 { subnormal } else { normal };
    f32::from_bits(sign | if magnitude >= 0x1f << 23 { special } else { finite })
}

/// The nearest 16-bit float, ties to even; infinity from 65520 on.
#[inline(always)]
pub(super) fn f32_to_f16(x: f32) -> u16 {
    let magnitude = x.to_bits() & 0x7fff_ffff;
    let sign = (x.to_bits() >> 16) & 0x8000;
    let odd = (magnitude >> 13) & 1;
    let normal = magnitude.wrapping_sub(REBIAS).wrapping_add(0xfff + odd) >> 13;
    // One unit in the last place of a half is that of the smallest 16-bit floats, so the addition rounds to them.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5_f32.to_bits());
    let special = if magnitude > INFINITY { 0x7e00 } else { 0x7c00 };
    let finite = if magnitude < REBIAS + (1 << 23) { subnormal } else { normal };
    (sign | if magnitude >= 0x1f_u32.wrapping_shl(23) + REBIAS { special } else { finite }) as u16
}

/// The nearest bfloat16, ties to even.
#[inline(always)]
fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let odd = (bits >> 16) & 1;
    let rounded = bits.wrapping_add(0x7fff + odd);
    let quiet = bits | 1 << 22;
    let chosen = if bits & 0x7fff_ffff > INFINITY { quiet } else { rounded };
    (chosen >> 16) as u16
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;

    /// That our conversions agree with those of `half`; NaN need only stay NaN.
    fn check(x: f32) {
        let (ours, theirs) = (f32_to_f16(x), f16::from_f32(x));
        assert!(ours == theirs.to_bits() || x.is_nan() && f16::from_bits(ours).is_nan(), "{x:e}: {ours:#x}");
        let (ours, theirs) = (f32_to_bf16(x), bf16::from_f32(x));
        assert!(ours == theirs.to_bits() || x.is_nan() && bf16::from_bits(ours).is_nan(), "{x:e}: {ours:#x}");
    }

    #[test]
    fn every_16_bit_float_widens_as_half_says() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (f16_to_f32(bits), f16::from_bits(bits).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{bits:#x}");
        }
    }

    #[test]
    fn every_16_bit_float_and_its_neighbourhood_narrow_as_half_says() {
        for bits in 0..=u16::MAX {
            for value in [f16::from_bits(bits).to_f32(), bf16::from_bits(bits).to_f32()] {
                for offset in [0, 1, 0xfff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001] {
                    check(f32::from_bits(value.to_bits().wrapping_add(offset)));
                    check(f32::from_bits(value.to_bits().wrapping_sub(offset)));
                }
            }
        }
    }

    #[test]
    fn integers_become_the_nearest_float() {
        let mut out = [0.0; 2];
        decode(&[0x80, 0x7f], DType::I8, &mut out);
        assert_eq!(out, [-128.0, 127.0]);
        decode(&[(-2_i64).to_le_bytes(), 16_777_217_i64.to_le_bytes()].concat(), DType::I64, &mut out);
        assert_eq!(out, [-2.0, 16_777_216.0]);
    }

    proptest! {
        #[test]
        fn any_float_narrows_as_half_says(bits: u32) {
            check(f32::from_bits(bits));
        }
    }
}
