#![expect(clippy::needless_range_loop, reason = "the loops say which registers there are")]
use std::arch::x86_64::*;
use std::array;

use super::{load, save};
use crate::kernels::attention::PAGE;
use crate::kernels::attention::source::Shares;
use crate::kernels::vectors::LANES;

/// Vectors in a row of a page.
const VECTORS: usize = PAGE / LANES;

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernels::attention) fn scores(queries: &[f32], keys: &[f32], size: usize, scores: &mut [f32]) {
    let (mut queries, mut scores) = (queries, scores.as_chunks_mut::<PAGE>().0);
    while !scores.is_empty() {
        let rows = rows_together(scores.len());
        let (now, later) = queries.split_at(rows * size);
        let (out, rest) = scores.split_at_mut(rows);
        match rows {
            3 => scores_of::<3>(now, keys, size, out),
            2 => scores_of::<2>(now, keys, size, out),
            _ => scores_of::<1>(now, keys, size, out),
        }
        (queries, scores) = (later, rest);
    }
}

/// Of `left` rows, how many to take at once: three fill the registers; two and two are better than three and one.
fn rows_together(left: usize) -> usize {
    match left {
        2 | 4 => 2,
        _ => left.min(3),
    }
}

/// Twelve sums, a vector of keys and three queries are all the registers there are.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn scores_of<const ROWS: usize>(queries: &[f32], keys: &[f32], size: usize, out: &mut [[f32; PAGE]]) {
    assert!(queries.len() >= ROWS * size && keys.len() >= size * PAGE, "queries and keys of {size} numbers");
    let mut sums = [[_mm256_setzero_ps(); VECTORS]; ROWS];
    for number in 0..size {
        // SAFETY: there are `ROWS` rows of `size` queries.
        let row = |row: usize| unsafe { *queries.get_unchecked(row * size + number) };
        let query: [__m256; ROWS] = array::from_fn(|index| _mm256_set1_ps(row(index)));
        for i in 0..VECTORS {
            // SAFETY: there are `size` rows of a page of keys.
            let key = load(unsafe { lanes(keys, number * PAGE + i * LANES) });
            for row in 0..ROWS {
                sums[row][i] = _mm256_fmadd_ps(query[row], key, sums[row][i]);
            }
        }
    }
    for (sums, out) in sums.iter().zip(out) {
        for (sum, out) in sums.iter().zip(out.as_chunks_mut().0) {
            save(out, *sum);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
pub(in crate::kernels::attention) fn mix(shares: Shares<'_>, values: &[f32], mixed: &mut [f32]) {
    let Shares { shares, count, fade, stride } = shares;
    let (mut shares, mut fade, mut mixed) = (shares.as_chunks::<PAGE>().0, fade, mixed);
    while !fade.is_empty() {
        let rows = rows_together(fade.len());
        let (now, later) = shares.split_at(rows);
        let (fade_now, fade_later) = fade.split_at(rows);
        let (out, rest) = mixed.split_at_mut(rows * stride);
        match rows {
            3 => mix_rows::<3>(now, values, count, fade_now, stride, out),
            2 => mix_rows::<2>(now, values, count, fade_now, stride, out),
            _ => mix_rows::<1>(now, values, count, fade_now, stride, out),
        }
        (shares, fade, mixed) = (later, fade_later, rest);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn mix_rows<const ROWS: usize>(
    shares: &[[f32; PAGE]],
    values: &[f32],
    count: usize,
    fade: &[f32],
    stride: usize,
    mixed: &mut [f32],
) {
    let shares: [&[f32; PAGE]; ROWS] = array::from_fn(|row| &shares[row]);
    let fade: [f32; ROWS] = array::from_fn(|row| fade[row]);
    let mut column = 0;
    while column < stride {
        let place = Place { column, stride, count };
        column += LANES
            * match (stride - column) / LANES {
                1 => mix_columns::<ROWS, 1>(shares, values, fade, place, mixed),
                2 | 3 => mix_columns::<ROWS, 2>(shares, values, fade, place, mixed),
                _ => mix_columns::<ROWS, 4>(shares, values, fade, place, mixed),
            };
    }
}

/// Some columns of rows.
#[derive(Clone, Copy)]
struct Place {
    column: usize,
    stride: usize,
    count: usize,
}

/// Mixes `VECTORS` vectors of each row; returns how many these are.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn mix_columns<const ROWS: usize, const VECTORS: usize>(
    shares: [&[f32; PAGE]; ROWS],
    values: &[f32],
    fade: [f32; ROWS],
    place: Place,
    mixed: &mut [f32],
) -> usize {
    let Place { column, stride, count } = place;
    assert!(count <= PAGE && count * stride <= values.len(), "{count} values");
    assert!(column + VECTORS * LANES <= stride && ROWS * stride <= mixed.len(), "columns from {column} on");
    let mut sums = [[_mm256_setzero_ps(); VECTORS]; ROWS];
    for row in 0..ROWS {
        let lanes = mixed[row * stride + column..].as_chunks().0;
        for i in 0..VECTORS {
            sums[row][i] = _mm256_mul_ps(load(&lanes[i]), _mm256_set1_ps(fade[row]));
        }
    }
    for position in 0..count {
        let share: [__m256; ROWS] = array::from_fn(|row| _mm256_set1_ps(shares[row][position]));
        for i in 0..VECTORS {
            // SAFETY: there are `count` values of `stride` numbers, and the columns lie within the stride.
            let value = load(unsafe { lanes(values, position * stride + column + i * LANES) });
            for row in 0..ROWS {
                sums[row][i] = _mm256_fmadd_ps(share[row], value, sums[row][i]);
            }
        }
    }
    for row in 0..ROWS {
        let lanes = mixed[row * stride + column..].as_chunks_mut().0;
        for i in 0..VECTORS {
            save(&mut lanes[i], sums[row][i]);
        }
    }
    VECTORS
}

/// The numbers from `index` on, without a look at the slice's length.
///
/// # Safety
/// They have to be within the slice.
#[inline(always)]
unsafe fn lanes(numbers: &[f32], index: usize) -> &[f32; LANES] {
    debug_assert!(index + LANES <= numbers.len(), "{index} of {}", numbers.len());
    // SAFETY: the caller answers for it.
    unsafe { &*numbers.as_ptr().add(index).cast() }
}
