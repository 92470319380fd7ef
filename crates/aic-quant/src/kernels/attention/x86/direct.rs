#![expect(clippy::needless_range_loop, reason = "the loops say which registers there are")]
//! For few rows, as when a single token is added, making a tile would cost more than using it: numbers go from what is kept
//! into the products at once, and the next page is fetched meanwhile.
use std::arch::x86_64::*;
use std::array;

use super::{load, load_bytes, load_halves, load_nibbles, load_pairs, save};
use crate::kernels::attention::cache_type::BLOCK;
use crate::kernels::attention::source::Shares;
use crate::kernels::attention::tile::{self, Halves};
use crate::kernels::attention::{CacheType, PAGE};
use crate::kernels::vectors::LANES;

/// Rows at a time: their sums, two vectors each, and what these meet are nearly all registers there are.
const ROWS: usize = 4;

/// Numbers in two vectors; sizes of heads have to be multiples of it.
pub(in crate::kernels::attention) const WIDTH: usize = 2 * LANES;

/// One head's keys or values in a page, and what will be needed next.
struct Kept<'a> {
    codes: &'a [u8],
    scales: &'a Halves,
    next: &'a [u8],
    size: usize,
}

impl<'a> Kept<'a> {
    fn new(kind: CacheType, [part, next]: [&'a [u8]; 2], size: usize) -> Self {
        assert_eq!(part.len(), kind.bytes(PAGE * size), "a part for heads of {size} numbers");
        assert!(size.is_multiple_of(WIDTH), "heads of {size} numbers");
        let (codes, scales) = tile::split(kind, part, size);
        Self { codes, scales, next, size }
    }

    /// The `N` bytes from `at` on.
    ///
    /// # Safety
    /// They have to be among the codes.
    #[inline(always)]
    unsafe fn bytes<const N: usize>(&self, at: usize) -> &[u8; N] {
        debug_assert!(at + N <= self.codes.len(), "{at} of {}", self.codes.len());
        // SAFETY: the caller answers for it.
        unsafe { &*self.codes.as_ptr().add(at).cast() }
    }

    /// Fetches a `step` of what will be needed next.
    #[inline]
    #[target_feature(enable = "sse")]
    fn fetch(&self, index: usize, step: usize) {
        // It may point anywhere, as nothing is read.
        _mm_prefetch::<_MM_HINT_T0>(self.next.as_ptr().wrapping_add(index * step).cast());
    }
}

/// The scores of all rows of `queries`, `[rows, size]`, and the keys in the first of `parts`; fetches the second.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels::attention) fn scores(
    kind: CacheType,
    parts: [&[u8]; 2],
    queries: &[f32],
    size: usize,
    scores: &mut [f32],
) {
    let keys = Kept::new(kind, parts, size);
    for (queries, scores) in queries.chunks(ROWS * size).zip(scores.as_chunks_mut().0.chunks_mut(ROWS)) {
        match scores.len() {
            4 => scores_of::<4>(kind, &keys, queries, scores),
            3 => scores_of::<3>(kind, &keys, queries, scores),
            2 => scores_of::<2>(kind, &keys, queries, scores),
            _ => scores_of::<1>(kind, &keys, queries, scores),
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scores_of<const ROWS: usize>(
    kind: CacheType,
    keys: &Kept<'_>,
    queries: &[f32],
    scores: &mut [[f32; PAGE]],
) {
    let row = |number: usize, half: usize| number * PAGE + half * WIDTH;
    match kind {
        CacheType::F16 => dots::<ROWS>(keys, keys.size, queries, scores, |number, half| {
            [number, number + 1].map(|number| {
                // SAFETY: halves of rows that there are.
                let halves: &[[[u8; 2]; LANES]; 2] =
                    unsafe { &*keys.bytes::<{ 4 * LANES }>(2 * row(number, half)).as_ptr().cast() };
                [load_halves(&halves[0]), load_halves(&halves[1])]
            })
        }),
        CacheType::Q8_0 => dots::<ROWS>(keys, BLOCK, queries, scores, |number, half| {
            [number, number + 1].map(|number| {
                // SAFETY: a half of a row that there is.
                let bytes = unsafe { keys.bytes::<WIDTH>(row(number, half)) }.as_chunks().0;
                [load_bytes(&bytes[0]), load_bytes(&bytes[1])]
            })
        }),
        CacheType::Q4_0 => dots::<ROWS>(keys, BLOCK, queries, scores, |number, half| {
            // SAFETY: a half of a row that there is; two numbers share one.
            let bytes = unsafe { keys.bytes::<WIDTH>(row(number / 2, half)) }.as_chunks().0;
            let ([a, b], [c, d]) = (load_nibbles(&bytes[0]), load_nibbles(&bytes[1]));
            [[a, c], [b, d]]
        }),
    }
}

/// The products of `ROWS` rows of queries with all keys, which `key` returns for two numbers and half of the positions; those
/// of each `block` of numbers are multiplied with their scales, if there are any.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dots<const ROWS: usize>(
    keys: &Kept<'_>,
    block: usize,
    queries: &[f32],
    scores: &mut [[f32; PAGE]],
    key: impl Fn(usize, usize) -> [[__m256; 2]; 2],
) {
    let (size, step) = (keys.size, keys.next.len() / keys.size);
    assert_eq!((queries.len(), scores.len()), (ROWS * size, ROWS), "queries of {size} numbers");
    for half in 0..2 {
        let mut totals = [[_mm256_setzero_ps(); 2]; ROWS];
        for first in (0..size).step_by(block) {
            let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
            for number in (first..first + block).step_by(2) {
                keys.fetch((half * size + number) / 2, step);
                let key = key(number, half);
                for row in 0..ROWS {
                    for i in 0..2 {
                        // SAFETY: there are `ROWS` rows of `size` queries, and `block` and `size` are even.
                        let query = unsafe { *queries.get_unchecked(row * size + number + i) };
                        let query = _mm256_set1_ps(query);
                        sums[row] = array::from_fn(|j| _mm256_fmadd_ps(query, key[i][j], sums[row][j]));
                    }
                }
            }
            let scales = keys.scales.get(first / BLOCK * PAGE + half * WIDTH..).map(<[_]>::as_chunks);
            match scales {
                Some(([low, high, ..], _)) => {
                    let scales = [load_halves(low), load_halves(high)];
                    for row in 0..ROWS {
                        totals[row] =
                            array::from_fn(|j| _mm256_fmadd_ps(sums[row][j], scales[j], totals[row][j]));
                    }
                }
                _ => totals = sums,
            }
        }
        for row in 0..ROWS {
            let lanes = scores[row][half * WIDTH..].as_chunks_mut().0;
            for i in 0..2 {
                save(&mut lanes[i], totals[row][i]);
            }
        }
    }
}

/// Adds the first `count` values in the first of `parts`, each times its share, to `mixed`, once this has been multiplied with
/// `fade`; fetches the second.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels::attention) fn mix(
    kind: CacheType,
    parts: [&[u8]; 2],
    shares: Shares<'_>,
    size: usize,
    mixed: &mut [f32],
) {
    let Shares { shares, count, fade, .. } = shares;
    let values = Kept::new(kind, parts, size);
    let rows = shares.as_chunks().0.chunks(ROWS).zip(fade.chunks(ROWS)).zip(mixed.chunks_mut(ROWS * size));
    for ((shares, fade), mixed) in rows {
        match fade.len() {
            4 => mix_rows::<4>(kind, &values, shares, count, fade, mixed),
            3 => mix_rows::<3>(kind, &values, shares, count, fade, mixed),
            2 => mix_rows::<2>(kind, &values, shares, count, fade, mixed),
            _ => mix_rows::<1>(kind, &values, shares, count, fade, mixed),
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn mix_rows<const ROWS: usize>(
    kind: CacheType,
    values: &Kept<'_>,
    shares: &[[f32; PAGE]],
    count: usize,
    fade: &[f32],
    mixed: &mut [f32],
) {
    let at = |position: usize, column: usize| position * values.size + column;
    match kind {
        CacheType::F16 => sums::<ROWS>(values, shares, count, fade, mixed, |position, column| {
            // SAFETY: halves of a row that there is.
            let halves: &[[[u8; 2]; LANES]; 2] =
                unsafe { &*values.bytes::<{ 4 * LANES }>(2 * at(position, column)).as_ptr().cast() };
            [load_halves(&halves[0]), load_halves(&halves[1])]
        }),
        CacheType::Q8_0 => sums::<ROWS>(values, shares, count, fade, mixed, |position, column| {
            // SAFETY: a part of a row that there is.
            let bytes = unsafe { values.bytes::<WIDTH>(at(position, column)) }.as_chunks().0;
            [load_bytes(&bytes[0]), load_bytes(&bytes[1])]
        }),
        CacheType::Q4_0 => sums::<ROWS>(values, shares, count, fade, mixed, |position, column| {
            // SAFETY: a part of a row that there is; two numbers share a byte.
            load_pairs(unsafe { values.bytes::<LANES>(at(position, column) / 2) })
        }),
    }
}

/// The sums over positions of `ROWS` rows; `value` returns those of one position from a column on, yet without their scale.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sums<const ROWS: usize>(
    values: &Kept<'_>,
    shares: &[[f32; PAGE]],
    count: usize,
    fade: &[f32],
    mixed: &mut [f32],
    value: impl Fn(usize, usize) -> [__m256; 2],
) {
    let (size, step) = (values.size, values.next.len() * WIDTH / (values.size * PAGE));
    assert_eq!((shares.len(), fade.len(), mixed.len()), (ROWS, ROWS, ROWS * size), "rows of {size} numbers");
    let mut scaled: [[f32; PAGE]; ROWS] = array::from_fn(|row| shares[row]);
    for column in (0..size).step_by(WIDTH) {
        if column.is_multiple_of(BLOCK) && !values.scales.is_empty() {
            scale(shares, &values.scales[column / BLOCK * PAGE..], &mut scaled);
        }
        let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
        for position in 0..count.min(PAGE) {
            values.fetch(column / WIDTH * PAGE + position, step);
            let value = value(position, column);
            for row in 0..ROWS {
                let share = _mm256_set1_ps(scaled[row][position]);
                sums[row] = array::from_fn(|j| _mm256_fmadd_ps(share, value[j], sums[row][j]));
            }
        }
        for row in 0..ROWS {
            let (lanes, fade) = (mixed[row * size + column..].as_chunks_mut().0, _mm256_set1_ps(fade[row]));
            for i in 0..2 {
                let sum = _mm256_fmadd_ps(load(&lanes[i]), fade, sums[row][i]);
                save(&mut lanes[i], sum);
            }
        }
    }
}

/// `scaled = shares · scales`, those of one block of numbers.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scale(shares: &[[f32; PAGE]], scales: &Halves, scaled: &mut [[f32; PAGE]]) {
    for (i, scales) in scales[..PAGE].as_chunks().0.iter().enumerate() {
        let scales = load_halves(scales);
        for (shares, scaled) in shares.iter().zip(&mut *scaled) {
            let share = load(&shares.as_chunks().0[i]);
            save(&mut scaled.as_chunks_mut().0[i], _mm256_mul_ps(share, scales));
        }
    }
}
