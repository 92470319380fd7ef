//! Numbers in blocks of 4 bits, as `MatMulNBits` of ONNX Runtime wants them.
use std::thread;

use super::int8::{relative, scale};

/// Scales tried for each block, around the one that just holds its largest number.
const CANDIDATES: i32 = 16;
/// The largest number of four bits.
const TOP: f32 = 15.0;
/// The zero point of blocks that have none of their own.
const MIDDLE: u8 = 8;

/// A matrix in blocks.
pub(super) struct Int4 {
    /// `[rows, blocks, block / 2]`; the earlier of two numbers in the low half.
    pub(super) bytes: Vec<u8>,
    /// `[rows, blocks]`
    pub(super) scales: Vec<f32>,
    /// `[rows, ⌈blocks / 2⌉]`, the earlier of two in the low half; `None` if all are 8.
    pub(super) zeros: Option<Vec<u8>>,
    /// Root mean square of the error over that of the values.
    pub(super) error: f64,
}

/// One block: `value ≈ scale · (number − zero)`.
struct Block {
    scale: f32,
    zero: u8,
    /// Sum of the squares of what is lost.
    lost: f64,
}

/// Quantizes rows of `columns` numbers. The last block of a row is filled up with its zero.
///
/// Of a few scales for each block the one with the least squared error is taken, each refitted by least squares to the
/// numbers it makes. All cores work on it; what comes out does not depend on how many.
pub(super) fn quantize(values: &[f32], columns: usize, block: usize, symmetric: bool) -> Int4 {
    let rows = values.len() / columns;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = rows.div_ceil(workers).max(1) * columns;
    let parts: Vec<Rows> = thread::scope(|scope| {
        let start = |values| scope.spawn(move || Rows::quantize(values, columns, block, symmetric));
        let running: Vec<_> = values.chunks(share).map(start).collect();
        running.into_iter().map(|worker| worker.join().expect("the encoder does not panic")).collect()
    });
    let mut whole = Rows::default();
    for part in parts {
        whole.bytes.extend(part.bytes);
        whole.scales.extend(part.scales);
        whole.zeros.extend(part.zeros);
        whole.lost.extend(part.lost);
    }
    let all = values.iter().map(|value| f64::from(*value).powi(2)).sum();
    Int4 {
        bytes: whole.bytes,
        scales: whole.scales,
        zeros: (!symmetric).then_some(whole.zeros),
        error: relative(whole.lost.iter().sum(), all),
    }
}

#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    scales: Vec<f32>,
    zeros: Vec<u8>,
    /// For each row, so that their sum does not depend on how rows were shared out.
    lost: Vec<f64>,
}

impl Rows {
    fn quantize(values: &[f32], columns: usize, block: usize, symmetric: bool) -> Self {
        let mut out = Self::default();
        for row in values.chunks(columns) {
            let blocks: Vec<Block> = row
                .chunks(block)
                .map(|values| {
                    let fitted = if symmetric { Block::symmetric(values) } else { Block::asymmetric(values) };
                    fitted.write(values, block, &mut out.bytes);
                    fitted
                })
                .collect();
            out.scales.extend(blocks.iter().map(|block| block.scale));
            out.zeros.extend(
                blocks.chunks(2).map(|two| two[0].zero | two.get(1).map_or(0, |block| block.zero) << 4),
            );
            out.lost.push(blocks.iter().map(|block| block.lost).sum());
        }
        out
    }
}

impl Block {
    /// The number of the largest magnitude goes to −8 of −8 to 7, or a little beyond.
    fn symmetric(values: &[f32]) -> Self {
        let extreme =
            values.iter().fold(0.0_f32, |most, value| if value.abs() > most.abs() { *value } else { most });
        let candidate = |step: i32| extreme / (-8.0 - 0.1 * (step - CANDIDATES / 2) as f32);
        Self::best(values, (0..CANDIDATES).map(|step| (candidate(step), MIDDLE)))
    }

    /// From the least number to the greatest, or a little less on both sides.
    fn asymmetric(values: &[f32]) -> Self {
        let low = values.iter().copied().fold(0.0, f32::min);
        let high = values.iter().copied().fold(0.0, f32::max);
        let candidate = |step: i32| {
            let shrunk = 1.0 - 0.03 * step as f32;
            let scale = scale((high - low) * shrunk / TOP);
            (scale, (-low * shrunk / scale).round_ties_even().clamp(0.0, TOP) as u8)
        };
        Self::best(values, (0..CANDIDATES).map(candidate))
    }

    fn best(values: &[f32], candidates: impl Iterator<Item = (f32, u8)>) -> Self {
        let fitted = candidates.map(|(candidate, zero)| Self::fitted(values, scale_signed(candidate), zero));
        fitted
            .reduce(|best, next| if next.lost < best.lost { next } else { best })
            .expect("there are candidates")
    }

    /// The numbers `scale` makes, with the scale that suits those best.
    fn fitted(values: &[f32], first: f32, zero: u8) -> Self {
        let (mut with_values, mut squares) = (0.0, 0.0);
        for value in values {
            let number = number(*value, first, zero);
            with_values += value * number;
            squares += number * number;
        }
        let refitted = scale_signed(if squares > 0.0 { with_values / squares } else { first });
        let lost = |scale: f32| -> f64 {
            values.iter().map(|value| f64::from(value - scale * number(*value, scale, zero)).powi(2)).sum()
        };
        Self { scale: refitted, zero, lost: lost(refitted) }
    }

    fn write(&self, values: &[f32], block: usize, out: &mut Vec<u8>) {
        let mut numbers = values
            .iter()
            .map(|value| (number(*value, self.scale, self.zero) as i16 + i16::from(self.zero)) as u8);
        for _ in 0..block / 2 {
            let low = numbers.next().unwrap_or(self.zero);
            let high = numbers.next().unwrap_or(self.zero);
            out.push(low | high << 4);
        }
    }
}

/// The nearest number of four bits, less the zero point.
#[inline(always)]
fn number(value: f32, scale: f32, zero: u8) -> f32 {
    let zero = f32::from(zero);
    (value / scale).round_ties_even().clamp(-zero, TOP - zero)
}

/// As [`scale`], of either sign.
fn scale_signed(number: f32) -> f32 {
    if number.is_normal() { number } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(length: usize) -> Vec<f32> {
        (0..length).map(|at| (at as f32 * 0.37 + 0.2).sin() * (1.0 + (at % 7) as f32) + 0.3).collect()
    }

    fn back(int4: &Int4, columns: usize, block: usize) -> Vec<f32> {
        let blocks = columns.div_ceil(block);
        let value = |row: usize, column: usize| {
            let at = column / block;
            let byte = int4.bytes[(row * blocks + at) * block / 2 + column % block / 2];
            let zero = int4
                .zeros
                .as_ref()
                .map_or(8, |zeros| zeros[row * blocks.div_ceil(2) + at / 2] >> (4 * (at % 2)) & 15);
            let number = byte >> (4 * (column % 2)) & 15;
            int4.scales[row * blocks + at] * (f32::from(number) - f32::from(zero))
        };
        let rows = int4.scales.len() / blocks;
        (0..rows)
            .flat_map(|row| (0..columns).map(move |column| (row, column)))
            .map(|(r, c)| value(r, c))
            .collect()
    }

    #[test]
    fn stated_error_is_that_of_the_numbers_that_come_back() {
        for (columns, symmetric) in [(96, true), (96, false), (40, true), (40, false)] {
            let values = wave(3 * columns);

            let int4 = quantize(&values, columns, 32, symmetric);

            let back = back(&int4, columns, 32);
            let lost: f64 = values.iter().zip(&back).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let all: f64 = values.iter().map(|a| f64::from(*a).powi(2)).sum();
            assert!((int4.error - (lost / all).sqrt()).abs() < 1e-6, "{} of {columns}", int4.error);
            assert!(int4.error < 0.09, "{}", int4.error);
        }
    }

    #[test]
    fn zero_point_helps_values_on_one_side() {
        let values: Vec<f32> = wave(256).iter().map(|value| value.abs()).collect();
        let error = |symmetric| quantize(&values, 64, 32, symmetric).error;

        assert!(error(false) < 0.7 * error(true));
    }

    #[test]
    fn search_beats_the_scale_that_just_holds_the_largest() {
        let values = wave(32);
        let extreme =
            values.iter().fold(0.0_f32, |most, value| if value.abs() > most.abs() { *value } else { most });
        let plain = extreme / -8.0;
        let lost: f64 = values.iter().map(|v| f64::from(v - plain * number(*v, plain, 8)).powi(2)).sum();

        assert!(Block::symmetric(&values).lost < lost);
    }

    #[test]
    fn block_of_zeros_stays_zero() {
        let int4 = quantize(&[0.0; 32], 32, 32, true);
        assert_eq!((int4.scales, int4.bytes, int4.error), (vec![1.0], vec![0x88; 16], 0.0));
    }
}
