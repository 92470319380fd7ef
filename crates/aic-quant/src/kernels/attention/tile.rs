//! From what is kept to numbers: one head's part of a page becomes a tile in the nearest cache, once for all rows of queries
//! that meet it.
use half::f16;

use super::cache_type::BLOCK;
use super::{CacheType, PAGE};
use crate::kernels::InstructionSet;

/// The keys in `part` as `[size, 32]`; positions that were never stored are whatever was there.
pub(super) fn keys(_: InstructionSet, kind: CacheType, part: &[u8], size: usize, tile: &mut [f32]) {
    let (codes, scales) = split(kind, part, size);
    for (number, tile) in tile[..size * PAGE].as_chunks_mut::<PAGE>().0.iter_mut().enumerate() {
        for (position, out) in tile.iter_mut().enumerate() {
            let scale = || scales[number / BLOCK * PAGE + position];
            *out = match kind {
                CacheType::F16 => half(codes.as_chunks().0[number * PAGE + position]),
                CacheType::Q8_0 => f32::from(codes[number * PAGE + position] as i8) * half(scale()),
                CacheType::Q4_0 => nibble(codes[number / 2 * PAGE + position], number) * half(scale()),
            };
        }
    }
}

/// The first `count` values in `part` as `[count, size]`, rows being `stride` apart.
pub(super) fn values(
    _: InstructionSet,
    kind: CacheType,
    part: &[u8],
    size: usize,
    count: usize,
    tile: &mut [f32],
    stride: usize,
) {
    let (codes, scales) = split(kind, part, size);
    for position in 0..count {
        for (number, out) in tile[position * stride..][..size].iter_mut().enumerate() {
            let (at, scale) =
                (position * size + number, || scales[position * (size / BLOCK) + number / BLOCK]);
            *out = match kind {
                CacheType::F16 => half(codes.as_chunks().0[at]),
                CacheType::Q8_0 => f32::from(codes[at] as i8) * half(scale()),
                CacheType::Q4_0 => nibble(codes[at / 2], number) * half(scale()),
            };
        }
    }
}

/// The codes of a part and its scales.
pub(super) fn split(kind: CacheType, part: &[u8], size: usize) -> (&[u8], &[[u8; 2]]) {
    let scales = if kind == CacheType::F16 { 0 } else { PAGE * size / BLOCK * 2 };
    let (codes, scales) = part.split_at(part.len() - scales);
    (codes, scales.as_chunks().0)
}

fn half(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

/// The 4-bit code of an even or odd `number` of a head.
fn nibble(byte: u8, number: usize) -> f32 {
    f32::from(byte >> (number % 2 * 4) & 0xf) - 8.0
}
