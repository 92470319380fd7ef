use std::arch::x86_64::*;
use std::ops::Range;

use super::{load, save};
use crate::kernels::attention::PAGE;
use crate::kernels::attention::softmax::Seen;
use crate::kernels::vectors::LANES;
use crate::kernels::vectors::x86::{exp, tanh};

/// Vectors in a row of a page.
const VECTORS: usize = PAGE / LANES;

/// Turns the `scores` of each row and page into shares; `visible` are the positions that the row may see.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(in crate::kernels::attention) fn shares(
    scores: &mut [f32; PAGE],
    visible: Range<usize>,
    softcap: Option<f32>,
    seen: &mut Seen,
) -> f32 {
    let lanes = scores.as_chunks_mut().0;
    let mut row: [__m256; VECTORS] = [load(&lanes[0]), load(&lanes[1]), load(&lanes[2]), load(&lanes[3])];
    if let Some(cap) = softcap {
        let (cap, inverse) = (_mm256_set1_ps(cap), _mm256_set1_ps(cap.recip()));
        for x in &mut row {
            *x = _mm256_mul_ps(cap, tanh(_mm256_mul_ps(*x, inverse)));
        }
    }
    if visible != (0..PAGE) {
        hide(&mut row, visible);
    }
    let pairs = [_mm256_max_ps(row[0], row[1]), _mm256_max_ps(row[2], row[3])];
    let largest = across(_mm256_max_ps(pairs[0], pairs[1]), |a, b| _mm256_max_ps(a, b));
    let largest = _mm256_max_ps(largest, _mm256_set1_ps(seen.largest));
    for i in 0..VECTORS {
        row[i] = exp(_mm256_sub_ps(row[i], largest));
        save(&mut lanes[i], row[i]);
    }
    let sum = _mm256_add_ps(_mm256_add_ps(row[0], row[1]), _mm256_add_ps(row[2], row[3]));
    let sum = across(sum, |a, b| _mm256_add_ps(a, b));
    let fade = exp(_mm256_sub_ps(_mm256_set1_ps(seen.largest), largest));
    let sum = _mm256_fmadd_ps(_mm256_set1_ps(seen.sum), fade, sum);
    *seen = Seen { largest: _mm256_cvtss_f32(largest), sum: _mm256_cvtss_f32(sum) };
    _mm256_cvtss_f32(fade)
}

/// Minus infinity where the positions are not `visible`.
#[inline]
#[target_feature(enable = "avx2")]
fn hide(row: &mut [__m256; VECTORS], visible: Range<usize>) {
    let (start, end) = (_mm256_set1_epi32(visible.start as i32), _mm256_set1_epi32(visible.end as i32));
    for (i, scores) in row.iter_mut().enumerate() {
        let first = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let position = _mm256_add_epi32(first, _mm256_set1_epi32((i * LANES) as i32));
        let before = _mm256_cmpgt_epi32(start, position);
        let within = _mm256_andnot_si256(before, _mm256_cmpgt_epi32(end, position));
        let nothing = _mm256_set1_ps(f32::NEG_INFINITY);
        *scores = _mm256_blendv_ps(nothing, *scores, _mm256_castsi256_ps(within));
    }
}

/// All lanes joined, in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn across(vector: __m256, join: impl Fn(__m256, __m256) -> __m256) -> __m256 {
    let halves = join(vector, _mm256_permute2f128_ps::<1>(vector, vector));
    let pairs = join(halves, _mm256_permute_ps::<0b01_00_11_10>(halves));
    join(pairs, _mm256_permute_ps::<0b10_11_00_01>(pairs))
}
