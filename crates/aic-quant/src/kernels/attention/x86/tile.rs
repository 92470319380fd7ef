use std::arch::x86_64::*;

use super::{load_bytes, load_halves, load_nibbles, load_pairs, save};
use crate::kernels::attention::cache_type::BLOCK;
use crate::kernels::attention::tile::{self, Halves};
use crate::kernels::attention::{CacheType, PAGE};
use crate::kernels::vectors::LANES;

/// Vectors in a row of a page.
const VECTORS: usize = PAGE / LANES;

#[target_feature(enable = "avx2,f16c")]
pub(in crate::kernels::attention) fn keys(kind: CacheType, part: &[u8], size: usize, tile: &mut [f32]) {
    let (codes, scales) = tile::split(kind, part, size);
    match kind {
        CacheType::F16 => halves(codes.as_chunks().0, tile),
        CacheType::Q8_0 => key_bytes(codes, scales, tile),
        CacheType::Q4_0 => key_nibbles(codes, scales, tile),
    }
}

#[target_feature(enable = "avx2,f16c")]
pub(in crate::kernels::attention) fn values(
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
        CacheType::Q8_0 => value_bytes(&codes[..count * size], scales, size, tile),
        CacheType::Q4_0 => value_nibbles(&codes[..count * size / 2], scales, size, tile),
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

/// Values of 8 bits: rows of `codes` are positions, and each block of 32 has a row of `scales`, one for each position.
#[target_feature(enable = "avx2,f16c")]
fn value_bytes(codes: &[u8], scales: &Halves, size: usize, tile: &mut [f32]) {
    for (position, (row, tile)) in codes.chunks_exact(size).zip(tile.chunks_exact_mut(size)).enumerate() {
        let blocks = row.as_chunks::<BLOCK>().0.iter().zip(tile.as_chunks_mut::<BLOCK>().0);
        for (index, (codes, tile)) in blocks.enumerate() {
            let scale = _mm256_set1_ps(tile::half(scales[index * PAGE + position]));
            for (codes, tile) in codes.as_chunks().0.iter().zip(tile.as_chunks_mut().0) {
                save(tile, _mm256_mul_ps(load_bytes(codes), scale));
            }
        }
    }
}

/// Values of 4 bits, laid out like [`value_bytes`].
#[target_feature(enable = "avx2,f16c")]
fn value_nibbles(codes: &[u8], scales: &Halves, size: usize, tile: &mut [f32]) {
    for (position, (row, tile)) in codes.chunks_exact(size / 2).zip(tile.chunks_exact_mut(size)).enumerate() {
        let blocks = row.as_chunks::<{ BLOCK / 2 }>().0.iter().zip(tile.as_chunks_mut::<BLOCK>().0);
        for (index, (codes, tile)) in blocks.enumerate() {
            let scale = _mm256_set1_ps(tile::half(scales[index * PAGE + position]));
            let tile = tile.as_chunks_mut().0.as_chunks_mut().0;
            for (codes, [first, second]) in codes.as_chunks().0.iter().zip(tile) {
                let [low, high] = load_pairs(codes);
                save(first, _mm256_mul_ps(low, scale));
                save(second, _mm256_mul_ps(high, scale));
            }
        }
    }
}
