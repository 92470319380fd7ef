//! From what is kept to numbers: one head's part of a page becomes a tile in the nearest cache, once for all rows of queries
//! that meet it.
use half::f16;

use super::cache_type::BLOCK;
#[cfg(target_arch = "x86_64")]
use super::x86;
use super::{CacheType, PAGE};
use crate::kernels::InstructionSet;
#[cfg(target_arch = "aarch64")]
use crate::kernels::vectors::arm;
#[cfg(target_arch = "x86_64")]
use crate::kernels::vectors::has_avx2;

/// 16-bit floats as bytes.
pub(super) type Halves = [[u8; 2]];

/// The keys in `part` as `[size, 32]`; positions that were never stored are whatever was there.
pub(super) fn keys(
    instructions: InstructionSet,
    kind: CacheType,
    part: &[u8],
    size: usize,
    tile: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2(instructions) {
        // SAFETY: the processor has these instructions.
        return unsafe { x86::tile::keys(kind, part, size, tile) };
    }
    let _ = instructions;
    let (codes, scales) = split(kind, part, size);
    if kind == CacheType::F16 {
        return floats(&codes.as_chunks().0[..size * PAGE], tile);
    }
    let mut block = [0.0; PAGE];
    for (number, tile) in tile[..size * PAGE].as_chunks_mut::<PAGE>().0.iter_mut().enumerate() {
        if number % BLOCK == 0 {
            floats(&scales[number / BLOCK * PAGE..][..PAGE], &mut block);
        }
        for (position, out) in tile.iter_mut().enumerate() {
            *out = block[position]
                * match kind {
                    CacheType::Q4_0 => nibble(codes[number / 2 * PAGE + position], number),
                    _ => f32::from(codes[number * PAGE + position] as i8),
                };
        }
    }
}

/// The first `count` values in `part` as `[count, size]`, rows being `stride` apart.
pub(super) fn values(
    instructions: InstructionSet,
    kind: CacheType,
    part: &[u8],
    size: usize,
    count: usize,
    tile: &mut [f32],
    stride: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2(instructions) {
        // SAFETY: the processor has these instructions.
        return unsafe { x86::tile::values(kind, part, size, count, tile, stride) };
    }
    let _ = instructions;
    let (codes, scales) = split(kind, part, size);
    for position in 0..count {
        let (first, out) = (position * size, &mut tile[position * stride..][..size]);
        if kind == CacheType::F16 {
            floats(&codes.as_chunks().0[first..first + size], out);
            continue;
        }
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let (first, scale) = (first + block * BLOCK, half(scales[block * PAGE + position]));
            for (number, out) in out.iter_mut().enumerate() {
                *out = scale
                    * match kind {
                        CacheType::Q4_0 => nibble(codes[(first + number) / 2], number),
                        _ => f32::from(codes[first + number] as i8),
                    };
            }
        }
    }
}

/// The codes of a part for heads of `size` numbers, and its scales.
pub(super) fn split(kind: CacheType, part: &[u8], size: usize) -> (&[u8], &Halves) {
    let (codes, scales) = part.split_at(kind.code_bytes(PAGE * size));
    (codes, scales.as_chunks().0)
}

/// [`split`], for writing.
pub(super) fn split_mut(kind: CacheType, part: &mut [u8], size: usize) -> (&mut [u8], &mut Halves) {
    let (codes, scales) = part.split_at_mut(kind.code_bytes(PAGE * size));
    (codes, scales.as_chunks_mut().0)
}

/// 16-bit floats as numbers, as many as there are of both.
fn floats(halves: &Halves, out: &mut [f32]) {
    #[cfg(target_arch = "aarch64")]
    let (halves, out) = arm::floats(halves, out);
    for (bytes, out) in halves.iter().zip(out) {
        *out = half(*bytes);
    }
}

pub(super) fn half(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

/// The 4-bit code of an even or odd `number` of a head.
fn nibble(byte: u8, number: usize) -> f32 {
    f32::from(byte >> (number % 2 * 4) & 0xf) - 8.0
}
