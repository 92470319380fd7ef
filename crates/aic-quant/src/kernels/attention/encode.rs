//! From numbers to what is kept of them, in the layout of [`KvStore`](super::KvStore).
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::cache_type::BLOCK;
use super::{CacheType, PAGE};

/// The largest 16-bit float.
const LIMIT: f32 = 65504.0;

/// Puts the key of one head, `row`, into `part` as its position `at`.
pub(super) fn key(kind: CacheType, row: &[f32], at: usize, part: &mut [u8]) {
    let place = Place { first: at, step: PAGE, first_scale: at, scale_step: PAGE };
    place.put(kind, row, part);
}

/// Puts the value of one head, `row`, into `part` as its position `at`.
pub(super) fn value(kind: CacheType, row: &[f32], at: usize, part: &mut [u8]) {
    let first = if kind == CacheType::Q4_0 { at * row.len() / 2 } else { at * row.len() };
    let place = Place { first, step: 1, first_scale: at * (row.len() / BLOCK), scale_step: 1 };
    place.put(kind, row, part);
}

/// Where the codes of a row and its scales go: numbers of them, not bytes, but for codes that share a byte.
#[derive(Clone, Copy)]
struct Place {
    first: usize,
    step: usize,
    first_scale: usize,
    scale_step: usize,
}

impl Place {
    fn put(self, kind: CacheType, row: &[f32], part: &mut [u8]) {
        if kind == CacheType::F16 {
            return self.put_halves(row, part);
        }
        let scales = kind.bytes(PAGE * row.len()) - PAGE * row.len() / BLOCK * 2;
        let (codes, scales) = part.split_at_mut(scales);
        for (i, block) in row.as_chunks::<BLOCK>().0.iter().enumerate() {
            let scale = match kind {
                CacheType::Q4_0 => self.put_nibbles(i, block, codes),
                _ => self.put_bytes(i, block, codes),
            };
            scales.as_chunks_mut().0[self.first_scale + i * self.scale_step] = scale.to_le_bytes();
        }
    }

    fn put_halves(self, row: &[f32], part: &mut [u8]) {
        let out = part.as_chunks_mut::<2>().0;
        for (i, numbers) in row.chunks(BLOCK).enumerate() {
            let mut finite = [0.0; BLOCK];
            for (finite, number) in finite.iter_mut().zip(numbers) {
                *finite = number.clamp(-LIMIT, LIMIT);
            }
            let mut halves = [f16::ZERO; BLOCK];
            halves.convert_from_f32_slice(&finite);
            for (j, half) in halves[..numbers.len()].iter().enumerate() {
                out[self.first + (i * BLOCK + j) * self.step] = half.to_le_bytes();
            }
        }
    }

    fn put_bytes(self, index: usize, block: &[f32; BLOCK], codes: &mut [u8]) -> f16 {
        let largest = block.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
        let (scale, inverse) = scale(largest / 127.0);
        for (j, number) in block.iter().enumerate() {
            let code = (number * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
            codes[self.first + (index * BLOCK + j) * self.step] = code as u8;
        }
        scale
    }

    /// The number furthest from zero gets code −8, which has no counterpart on the other side.
    fn put_nibbles(self, index: usize, block: &[f32; BLOCK], codes: &mut [u8]) -> f16 {
        let furthest = block.iter().fold(0.0_f32, |a, b| if b.abs() > a.abs() { *b } else { a });
        let (scale, inverse) = scale(furthest / -8.0);
        let code = |number: f32| ((number * inverse).round_ties_even() + 8.0).clamp(0.0, 15.0) as u8;
        for (j, [low, high]) in block.as_chunks().0.iter().enumerate() {
            let at = self.first + (index * BLOCK / 2 + j) * self.step;
            codes[at] = code(*low) | code(*high) << 4;
        }
        scale
    }
}

/// `scale` as it is kept, and one over that; 0 where that would not be a number.
fn scale(scale: f32) -> (f16, f32) {
    let kept = f16::from_f32(scale.clamp(-LIMIT, LIMIT));
    let inverse = if kept == f16::ZERO || kept.is_nan() { 0.0 } else { kept.to_f32().recip() };
    (kept, inverse)
}
