//! Super-blocks of 256: the K types.
//!
//! A super-block is 8 sub-blocks of 32 or 16 of 16. Each sub-block has a scale, and in Q2_K, Q4_K and Q5_K also a minimum, as
//! small whole numbers; the super-block has the half-precision numbers that these multiply. The layouts are those of ggml's
//! `ggml-common.h`, and decoding makes the same numbers as its `dequantize_row_*`, bit for bit.
//!
//! # What encoding minimises
//! The sum of squared errors, or with importance the sum of squared errors times importance, and nothing else. (ggml weighs
//! errors without an importance matrix by `x²`, in Q2_K by `|x|`, in Q4_K and Q5_K by `|x|` plus the root mean square; with
//! one, it multiplies the importance by `√(x² + σ²)` in all but Q6_K.)
//!
//! # How
//! 1. For each sub-block, several guesses at the scale (and minimum) give codes; a least-squares fit of scale and minimum to the
//!    codes says what the guess is worth ([`affine`], [`linear`]).
//! 2. The super-block's scales are those, of a few, under which whole numbers come closest to the fits.
//! 3. Now that only whole numbers are left to choose, those around the fits are tried, each with the codes it would get: what
//!    rounding the scales to 4, 6 or 8 bits costs is known when they are chosen. ggml rounds them afterwards.
//! 4. The super-block's scales are fitted to all codes by least squares, in half precision, and step 3 follows once more.
//!
//! Eight sub-blocks lie side by side in a vector ([`lanes`]), so nothing is summed across one but at the end, in order.
#![allow(clippy::needless_range_loop, reason = "several arrays are walked in step")]
mod affine;
mod group;
mod lanes;
mod linear;
pub(crate) mod planes;
mod q2_k;
mod q3_k;
mod q4_k;
mod q5_k;
mod q6_k;
pub(crate) mod six_bits;

use std::marker::PhantomData;

use half::f16;
use pulp::{Scalar256b, Simd, WithSimd};

use crate::DType;

/// How a K type stores a super-block.
trait SuperBlock {
    const BYTES: usize;

    /// Fills `out`, which is [`BYTES`](Self::BYTES) long. Weights are above zero and at most 1.
    fn encode<S: Simd>(simd: S, values: &[f32; 256], weights: Option<&[f32; 256]>, out: &mut [u8]);

    /// Turns [`BYTES`](Self::BYTES) bytes back into numbers.
    fn decode(bytes: &[u8], out: &mut [f32; 256]);
}

/// Turns whole rows into blocks; see [`encode_into`](super::encode_into).
pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, dtype: DType, out: &mut [u8]) {
    match dtype {
        DType::Q2_K => Encoding::<q2_k::Q2K>::run(values, importance, out),
        DType::Q3_K => Encoding::<q3_k::Q3K>::run(values, importance, out),
        DType::Q4_K => Encoding::<q4_k::Q4K>::run(values, importance, out),
        DType::Q5_K => Encoding::<q5_k::Q5K>::run(values, importance, out),
        _ => Encoding::<q6_k::Q6K>::run(values, importance, out),
    }
}

/// Turns whole blocks into numbers.
pub(super) fn decode(bytes: &[u8], dtype: DType, out: &mut [f32]) {
    match dtype {
        DType::Q2_K => Decoding::<q2_k::Q2K>::run(bytes, out),
        DType::Q3_K => Decoding::<q3_k::Q3K>::run(bytes, out),
        DType::Q4_K => Decoding::<q4_k::Q4K>::run(bytes, out),
        DType::Q5_K => Decoding::<q5_k::Q5K>::run(bytes, out),
        _ => Decoding::<q6_k::Q6K>::run(bytes, out),
    }
}

/// Runs `operation` with vectors of eight numbers.
///
/// Not with whatever vectors the processor has: eight is how many sub-blocks the searches put side by side.
fn dispatch(operation: impl WithSimd<Output = ()>) {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return Simd::vectorize(simd, operation);
    }
    Simd::vectorize(Scalar256b, operation);
}

/// Work that is compiled once for each kind of processor, and everything it calls with it.
struct Encoding<'a, T> {
    values: &'a [f32],
    importance: Option<&'a [f32]>,
    out: &'a mut [u8],
    layout: PhantomData<T>,
}

impl<'a, T: SuperBlock> Encoding<'a, T> {
    fn run(values: &'a [f32], importance: Option<&'a [f32]>, out: &'a mut [u8]) {
        dispatch(Self { values, importance, out, layout: PhantomData });
    }
}

impl<T: SuperBlock> WithSimd for Encoding<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let columns = self.importance.unwrap_or_default().as_chunks().0;
        let blocks = self.values.as_chunks().0.iter().zip(self.out.chunks_exact_mut(T::BYTES));
        for (index, (values, out)) in blocks.enumerate() {
            let importance = columns.get(index % columns.len().max(1));
            T::encode(simd, values, importance.map(weights).as_ref(), out);
        }
    }
}

struct Decoding<'a, T> {
    bytes: &'a [u8],
    out: &'a mut [f32],
    layout: PhantomData<T>,
}

impl<'a, T: SuperBlock> Decoding<'a, T> {
    fn run(bytes: &'a [u8], out: &'a mut [f32]) {
        dispatch(Self { bytes, out, layout: PhantomData });
    }
}

impl<T: SuperBlock> WithSimd for Decoding<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (bytes, out) in self.bytes.chunks_exact(T::BYTES).zip(self.out.as_chunks_mut().0) {
            T::decode(bytes, out);
        }
    }
}

/// Importance as weights of at most 1, all above zero: where nothing matters, the plain error decides.
#[inline(always)]
fn weights(importance: &[f32; 256]) -> [f32; 256] {
    const LEAST: f32 = 1e-6;
    let mut largest = 0.0;
    for weight in importance {
        largest = if *weight > largest && weight.is_finite() { *weight } else { largest };
    }
    let mut weights = [LEAST; 256];
    for (out, weight) in weights.iter_mut().zip(importance) {
        let part = *weight / largest;
        *out = if part > LEAST { part.min(1.0) } else { LEAST };
    }
    weights
}

/// The nearest half-precision number that is finite.
#[inline(always)]
fn half_nearest(value: f32) -> f16 {
    f16::from_f32(value.clamp(-65504.0, 65504.0))
}

/// The smallest half-precision number that is not smaller in size than `value`, or the largest there is.
///
/// Small scales have few bits in half precision. Rounded down, they would cut off the largest numbers; rounded up, they leave
/// the choice to the whole numbers that multiply them.
#[inline(always)]
fn half_above(value: f32) -> f16 {
    let nearest = half_nearest(value);
    let short = nearest.to_f32().abs() < value.abs() && nearest.to_bits() & 0x7FFF < f16::MAX.to_bits();
    f16::from_bits(nearest.to_bits() + u16::from(short))
}

#[cfg(test)]
mod tests;
