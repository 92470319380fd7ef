//! The kernels for processors with AVX2, FMA and F16C. What they do is said by their twins in the modules of the same names;
//! [`direct`] does in one go what a tile and a product do.
pub(super) mod direct;
pub(super) mod product;
pub(super) mod softmax;
pub(super) mod tile;

use std::arch::x86_64::*;

use crate::kernels::vectors::LANES;

#[inline]
#[target_feature(enable = "avx")]
fn load(lanes: &[f32; LANES]) -> __m256 {
    // SAFETY: the lanes are those of a whole vector.
    unsafe { _mm256_loadu_ps(lanes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx")]
fn save(lanes: &mut [f32; LANES], vector: __m256) {
    // SAFETY: the lanes are those of a whole vector.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), vector) }
}

#[inline]
#[target_feature(enable = "avx,f16c")]
fn load_halves(halves: &[[u8; 2]; LANES]) -> __m256 {
    // SAFETY: eight halves are the 16 bytes of a vector.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(halves.as_ptr().cast()) })
}

/// Eight bytes with a sign, as numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8; LANES]) -> __m256 {
    let bytes = _mm_cvtsi64_si128(i64::from_le_bytes(*bytes));
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
}

/// The numbers in the lower and in the upper halves of eight bytes, −8 to 7.
#[inline]
#[target_feature(enable = "avx2")]
fn load_nibbles(bytes: &[u8; LANES]) -> [__m256; 2] {
    let bytes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*bytes)));
    let halves = [_mm256_and_si256(bytes, _mm256_set1_epi32(0xf)), _mm256_srli_epi32::<4>(bytes)];
    halves.map(|codes| _mm256_cvtepi32_ps(_mm256_sub_epi32(codes, _mm256_set1_epi32(8))))
}

/// Sixteen numbers of eight bytes, in the order of the numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn load_pairs(bytes: &[u8; LANES]) -> [__m256; 2] {
    let [even, odd] = load_nibbles(bytes);
    let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
    [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
}
