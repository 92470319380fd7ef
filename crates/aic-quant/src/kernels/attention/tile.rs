//! From what is kept to numbers: one head's part of a page becomes a tile in the nearest cache, once for all rows of queries
//! that meet it.
use half::f16;

use super::cache_type::BLOCK;
#[cfg(target_arch = "x86_64")]
use super::x86;
use super::{CacheType, PAGE};
use crate::kernels::InstructionSet;
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
        for (number, out) in tile[position * stride..][..size].iter_mut().enumerate() {
            let (at, scale) = (position * size + number, || scales[number / BLOCK * PAGE + position]);
            *out = match kind {
                CacheType::F16 => half(codes.as_chunks().0[at]),
                CacheType::Q8_0 => f32::from(codes[at] as i8) * half(scale()),
                CacheType::Q4_0 => nibble(codes[at / 2], number) * half(scale()),
            };
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

pub(super) fn half(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

/// The 4-bit code of an even or odd `number` of a head.
fn nibble(byte: u8, number: usize) -> f32 {
    f32::from(byte >> (number % 2 * 4) & 0xf) - 8.0
}
