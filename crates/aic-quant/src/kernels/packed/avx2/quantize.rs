//! Input in 8 bits: what [`Quantized::new`](super::super::activations::Quantized) does, bit for bit.
use std::arch::x86_64::{
    __m256, __m256i, _mm_cvtsi128_si32, _mm_max_epi32, _mm_shuffle_epi32, _mm256_add_epi16, _mm256_and_si256,
    _mm256_castps_si256, _mm256_castsi256_si128, _mm256_cvtps_epi32, _mm256_extracti128_si256,
    _mm256_loadu_ps, _mm256_maddubs_epi16, _mm256_max_epi32, _mm256_mul_ps, _mm256_packs_epi16,
    _mm256_packs_epi32, _mm256_permutevar8x32_epi32, _mm256_set1_epi8, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setr_epi32, _mm256_setzero_si256, _mm256_shuffle_epi32, _mm256_storeu_si256,
};

use super::super::activations::{Chunk, Quantized, quantize_row_with, scale_of};
use super::Avx2;

/// Quantizes a row of the input into chunks.
pub(in super::super) fn quantize_row<'a>(_: Avx2, numbers: &[f32], chunk: impl Fn(usize) -> &'a mut Chunk) {
    // SAFETY: an `Avx2` is the proof that the processor has the instructions.
    unsafe { with_avx2(numbers, chunk) }
}

#[target_feature(enable = "avx2")]
fn with_avx2<'a>(numbers: &[f32], chunk: impl Fn(usize) -> &'a mut Chunk) {
    quantize_row_with(
        numbers,
        chunk,
        #[inline(always)]
        |numbers| block(numbers),
    );
}

#[inline]
#[target_feature(enable = "avx2")]
fn block(numbers: &[f32; 32]) -> Quantized {
    let numbers = load(numbers);
    let scale = scale_of(largest(numbers));
    let codes = if scale >= f32::MIN_POSITIVE { codes(numbers, 1.0 / scale) } else { _mm256_setzero_si256() };
    let mut out = Quantized { scale, codes: [0; 32], pairs: pairs(codes) };
    // SAFETY: there is room for 32 bytes.
    unsafe { _mm256_storeu_si256(out.codes.as_mut_ptr().cast(), codes) };
    out
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(numbers: &[f32; 32]) -> [__m256; 4] {
    let start = numbers.as_ptr();
    // SAFETY: there are four times eight numbers.
    unsafe { [0, 8, 16, 24].map(|at| _mm256_loadu_ps(start.add(at))) }
}

/// The bits of the largest number without its sign.
#[inline]
#[target_feature(enable = "avx2")]
fn largest(numbers: [__m256; 4]) -> u32 {
    let sizes =
        numbers.map(|numbers| _mm256_and_si256(_mm256_castps_si256(numbers), _mm256_set1_epi32(0x7fff_ffff)));
    let largest =
        _mm256_max_epi32(_mm256_max_epi32(sizes[0], sizes[1]), _mm256_max_epi32(sizes[2], sizes[3]));
    let largest = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256::<1>(largest));
    let largest = _mm_max_epi32(largest, _mm_shuffle_epi32::<0b0100_1110>(largest));
    _mm_cvtsi128_si32(_mm_max_epi32(largest, _mm_shuffle_epi32::<0b1011_0001>(largest))) as u32
}

/// Rounded to the nearest whole numbers, ties to even, as all rounding is unless a program changes it.
#[inline]
#[target_feature(enable = "avx2")]
fn codes(numbers: [__m256; 4], inverse: f32) -> __m256i {
    let whole = numbers.map(|numbers| _mm256_cvtps_epi32(_mm256_mul_ps(numbers, _mm256_set1_ps(inverse))));
    // Packing goes by halves of vectors, so runs of four come out of order.
    let packed =
        _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]), _mm256_packs_epi32(whole[2], whole[3]));
    _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

#[inline]
#[target_feature(enable = "avx2")]
fn pairs(codes: __m256i) -> [[i16; 2]; 2] {
    let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
    let pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32::<0b0100_1110>(pairs));
    let pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32::<0b1011_0001>(pairs));
    [_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs)].map(|pairs| {
        let lane = _mm_cvtsi128_si32(pairs);
        [lane as i16, (lane >> 16) as i16]
    })
}
