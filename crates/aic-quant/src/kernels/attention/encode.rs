//! From numbers to what is kept of them, in the layout of [`KvStore`](super::KvStore).
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::cache_type::BLOCK;
use super::tile;
use super::{CacheType, PAGE};
use crate::kernels::vectors::LANES;

/// The largest 16-bit float.
const LIMIT: f32 = 65504.0;

/// Puts the key of one head, `row`, into `part` as its position `at`.
#[inline(always)]
pub(super) fn key(kind: CacheType, row: &[f32], at: usize, part: &mut [u8]) {
    let place = Place { at, first: at, step: PAGE };
    place.put(kind, row, part);
}

/// Puts the value of one head, `row`, into `part` as its position `at`.
#[inline(always)]
pub(super) fn value(kind: CacheType, row: &[f32], at: usize, part: &mut [u8]) {
    let place = Place { at, first: at * kind.codes(row.len()), step: 1 };
    place.put(kind, row, part);
}

/// Where a row goes.
#[derive(Clone, Copy)]
struct Place {
    /// Its position in the page.
    at: usize,
    /// The first of its codes, counted in codes, or in bytes where codes share one.
    first: usize,
    /// From one code to the next.
    step: usize,
}

impl Place {
    #[inline(always)]
    fn put(self, kind: CacheType, row: &[f32], part: &mut [u8]) {
        let (codes, scales) = tile::split_mut(kind, part, row.len());
        let (blocks, rest) = row.as_chunks::<BLOCK>();
        for (index, block) in blocks.iter().enumerate() {
            let first = self.first + index * kind.codes(BLOCK) * self.step;
            let scale = match kind {
                CacheType::F16 => {
                    self.spread(&halves(block), first, codes.as_chunks_mut().0);
                    continue;
                }
                CacheType::Q8_0 => self.spread_block(bytes(block), first, codes),
                CacheType::Q4_0 => self.spread_block(nibbles(block), first, codes),
            };
            scales[index * PAGE + self.at] = scale;
        }
        if kind == CacheType::F16 {
            let mut last = [0.0; BLOCK];
            last[..rest.len()].copy_from_slice(rest);
            let first = self.first + blocks.len() * BLOCK * self.step;
            self.spread(&halves(&last)[..rest.len()], first, codes.as_chunks_mut().0);
        }
    }

    #[inline(always)]
    fn spread_block<const N: usize>(
        self,
        block: ([u8; N], [u8; 2]),
        first: usize,
        codes: &mut [u8],
    ) -> [u8; 2] {
        self.spread(&block.0, first, codes);
        block.1
    }

    #[inline(always)]
    fn spread<T: Copy>(self, from: &[T], first: usize, out: &mut [T]) {
        if self.step == 1 {
            return out[first..first + from.len()].copy_from_slice(from);
        }
        for (i, item) in from.iter().enumerate() {
            out[first + i * self.step] = *item;
        }
    }
}

#[inline(always)]
fn halves(block: &[f32; BLOCK]) -> [[u8; 2]; BLOCK] {
    let mut halves = [f16::ZERO; BLOCK];
    halves.convert_from_f32_slice(&block.map(|x| x.clamp(-LIMIT, LIMIT)));
    halves.map(f16::to_le_bytes)
}

/// Codes of 8 bits, and the scale.
#[inline(always)]
fn bytes(block: &[f32; BLOCK]) -> ([u8; BLOCK], [u8; 2]) {
    let (low, high) = extremes(block);
    let (scale, inverse) = scale(high.max(-low) / 127.0);
    let mut codes = [0; BLOCK];
    for i in 0..BLOCK {
        codes[i] = (block[i] * inverse).round_ties_even().clamp(-127.0, 127.0) as i8 as u8;
    }
    (codes, scale)
}

/// Codes of 4 bits, two neighbours to a byte, and the scale: the number furthest from zero, of two the negative one, gets −8,
/// which has no counterpart on the other side.
#[inline(always)]
fn nibbles(block: &[f32; BLOCK]) -> ([u8; BLOCK / 2], [u8; 2]) {
    let (low, high) = extremes(block);
    let (scale, inverse) = scale((if high > -low { high } else { low }) / -8.0);
    let mut codes = [0_u8; BLOCK];
    for i in 0..BLOCK {
        codes[i] = ((block[i] * inverse).round_ties_even() + 8.0).clamp(0.0, 15.0) as i32 as u8;
    }
    let mut pairs = [0; BLOCK / 2];
    for (pair, [first, second]) in pairs.iter_mut().zip(codes.as_chunks().0) {
        *pair = first | second << 4;
    }
    (pairs, scale)
}

/// The smallest and the largest number, zero if all are on one side of it.
#[inline(always)]
fn extremes(block: &[f32; BLOCK]) -> (f32, f32) {
    let (mut low, mut high) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    for chunk in block.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            low[i] = if chunk[i] < low[i] { chunk[i] } else { low[i] };
            high[i] = if chunk[i] > high[i] { chunk[i] } else { high[i] };
        }
    }
    (low.into_iter().fold(0.0, f32::min), high.into_iter().fold(0.0, f32::max))
}

/// `scale` as it is kept, and one over that; 0 where that would not be a number.
#[inline(always)]
fn scale(scale: f32) -> ([u8; 2], f32) {
    let kept = f16::from_f32(scale.clamp(-LIMIT, LIMIT));
    let inverse = if kept == f16::ZERO { 0.0 } else { kept.to_f32().recip() };
    (kept.to_le_bytes(), inverse)
}
