//! The kernels for processors with AVX2, FMA and F16C; what they do is said by their twins in [`tile`](super::tile) and
//! [`product`](super::product).
#![expect(clippy::needless_range_loop, reason = "the loops say which registers there are")]
use std::arch::x86_64::*;
use std::array;
use std::ops::Range;

use super::cache_type::BLOCK;
use super::softmax::Seen;
use super::tile::{self, Halves};
use super::{CacheType, PAGE};
use crate::kernels::vectors::LANES;
use crate::kernels::vectors::x86::{exp, tanh};

/// Vectors in a row of a page.
const VECTORS: usize = PAGE / LANES;

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

#[target_feature(enable = "avx2,f16c")]
pub(super) fn keys(kind: CacheType, part: &[u8], size: usize, tile: &mut [f32]) {
    let (codes, scales) = tile::split(kind, part, size);
    match kind {
        CacheType::F16 => halves(codes.as_chunks().0, tile),
        CacheType::Q8_0 => key_bytes(codes, scales, tile),
        CacheType::Q4_0 => key_nibbles(codes, scales, tile),
    }
}

#[target_feature(enable = "avx2,f16c")]
pub(super) fn values(
    kind: CacheType,
    part: &[u8],
    size: usize,
    count: usize,
    tile: &mut [f32],
    stride: usize,
) {
    let (codes, scales) = tile::split(kind, part, size);
    match kind {
        CacheType::F16 => {
            let rows = codes.as_chunks().0.chunks_exact(size).zip(tile.chunks_exact_mut(stride));
            rows.take(count).for_each(|(row, tile)| halves(row, tile));
        }
        CacheType::Q8_0 => value_bytes(&codes[..count * size], scales, tile),
        CacheType::Q4_0 => value_nibbles(&codes[..count * size / 2], scales, tile),
    }
}

/// 16-bit floats as they come.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn halves(halves: &Halves, tile: &mut [f32]) {
    let (chunks, rest) = halves.as_chunks::<LANES>();
    let (tile, tile_rest) = tile[..halves.len()].as_chunks_mut::<LANES>();
    for (halves, tile) in chunks.iter().zip(tile) {
        save(tile, load_halves(halves));
    }
    for (half, out) in rest.iter().zip(tile_rest) {
        *out = tile::half(*half);
    }
}

/// Keys of 8 bits: each row of `codes` is one number of all positions, and 32 rows share a row of `scales`.
#[target_feature(enable = "avx2,f16c")]
fn key_bytes(codes: &[u8], scales: &Halves, tile: &mut [f32]) {
    let blocks = codes.as_chunks::<PAGE>().0.chunks_exact(BLOCK).zip(scales.as_chunks::<PAGE>().0);
    for ((rows, scales), tile) in blocks.zip(tile.as_chunks_mut::<PAGE>().0.chunks_exact_mut(BLOCK)) {
        let scales = load_scales(scales);
        for (codes, tile) in rows.iter().zip(tile) {
            let (codes, tile) = (codes.as_chunks::<LANES>().0, tile.as_chunks_mut().0);
            for i in 0..VECTORS {
                save(&mut tile[i], _mm256_mul_ps(load_bytes(&codes[i]), scales[i]));
            }
        }
    }
}

/// Keys of 4 bits: each row of `codes` is two numbers of all positions, and 16 rows share a row of `scales`.
#[target_feature(enable = "avx2,f16c")]
fn key_nibbles(codes: &[u8], scales: &Halves, tile: &mut [f32]) {
    let blocks = codes.as_chunks::<PAGE>().0.chunks_exact(BLOCK / 2).zip(scales.as_chunks::<PAGE>().0);
    for ((rows, scales), tile) in blocks.zip(tile.as_chunks_mut::<PAGE>().0.chunks_exact_mut(BLOCK)) {
        let scales = load_scales(scales);
        for (codes, [even, odd]) in rows.iter().zip(tile.as_chunks_mut().0) {
            let (codes, even, odd) =
                (codes.as_chunks::<LANES>().0, even.as_chunks_mut().0, odd.as_chunks_mut().0);
            for i in 0..VECTORS {
                let [low, high] = load_nibbles(&codes[i]);
                save(&mut even[i], _mm256_mul_ps(low, scales[i]));
                save(&mut odd[i], _mm256_mul_ps(high, scales[i]));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx,f16c")]
fn load_scales(scales: &[[u8; 2]; PAGE]) -> [__m256; VECTORS] {
    let mut vectors = [_mm256_setzero_ps(); VECTORS];
    for (vector, scales) in vectors.iter_mut().zip(scales.as_chunks().0) {
        *vector = load_halves(scales);
    }
    vectors
}

/// Values of 8 bits, blocks as they come.
#[target_feature(enable = "avx2,f16c")]
fn value_bytes(codes: &[u8], scales: &Halves, tile: &mut [f32]) {
    let blocks = codes.as_chunks::<BLOCK>().0.iter().zip(scales);
    for ((codes, scale), tile) in blocks.zip(tile.as_chunks_mut::<BLOCK>().0) {
        let scale = _mm256_set1_ps(tile::half(*scale));
        for (codes, tile) in codes.as_chunks().0.iter().zip(tile.as_chunks_mut().0) {
            save(tile, _mm256_mul_ps(load_bytes(codes), scale));
        }
    }
}

/// Values of 4 bits, blocks as they come.
#[target_feature(enable = "avx2,f16c")]
fn value_nibbles(codes: &[u8], scales: &Halves, tile: &mut [f32]) {
    let blocks = codes.as_chunks::<{ BLOCK / 2 }>().0.iter().zip(scales);
    for ((codes, scale), tile) in blocks.zip(tile.as_chunks_mut::<BLOCK>().0) {
        let scale = _mm256_set1_ps(tile::half(*scale));
        for (codes, [first, second]) in
            codes.as_chunks().0.iter().zip(tile.as_chunks_mut().0.as_chunks_mut().0)
        {
            let [even, odd] = load_nibbles(codes).map(|codes| _mm256_mul_ps(codes, scale));
            let (low, high) = (_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd));
            save(first, _mm256_permute2f128_ps::<0x20>(low, high));
            save(second, _mm256_permute2f128_ps::<0x31>(low, high));
        }
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn scores(queries: &[f32], keys: &[f32], size: usize, scores: &mut [f32]) {
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

/// Turns the `scores` of each row and page into shares; `visible` are the positions that the row may see.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn shares(
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

#[target_feature(enable = "avx2,fma")]
pub(super) fn mix(
    shares: &[f32],
    values: &[f32],
    count: usize,
    fade: &[f32],
    stride: usize,
    mixed: &mut [f32],
) {
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
