//! Input of a product, as numbers and in 8 bits.
//!
//! Whatever the type of the weights, 32 columns share a scale, as in ggml's Q8_0; ggml gives 256 columns one scale where weights
//! are of a K type. The finer scale costs a multiplication in 32 columns and keeps an outlier from taking the bits of its
//! neighbours. A number is rounded to the nearest multiple of the scale, ties to even; codes are never −128.
use std::ops::Range;

use super::super::{Parts, Pool};

/// Columns of a [`Chunk`].
pub(super) const COLUMNS: usize = 256;

/// Rows quantized as one task.
const ROWS_PER_TASK: usize = 16;

/// 256 columns of one row of the input; zeros beyond its end.
#[derive(Clone)]
#[repr(C)]
pub(super) struct Chunk {
    pub(super) codes: [i8; COLUMNS],
    /// For each 32 columns; NaN if one of the numbers is infinite or none.
    pub(super) scales: [f32; 8],
    /// Of each 32 columns, the sum of the codes times the scale.
    pub(super) sums: [f32; 8],
    /// The same of each 16 columns.
    pub(super) half_sums: [f32; 16],
    /// Of each 16 columns, the sum of the codes.
    pub(super) totals: [i16; 16],
}

impl Chunk {
    const ZERO: Self =
        Self { codes: [0; COLUMNS], scales: [0.0; 8], sums: [0.0; 8], half_sums: [0.0; 16], totals: [0; 16] };

    /// Takes over up to 256 numbers.
    #[inline(always)]
    fn quantize(&mut self, numbers: &[f32]) {
        *self = Self::ZERO;
        for (i, numbers) in numbers.chunks(32).enumerate() {
            let mut block = [0.0; 32];
            block[..numbers.len()].copy_from_slice(numbers);
            let scale = scale(&block);
            let codes = codes(&block, scale);
            let sums = [half_sum(&codes, 0), half_sum(&codes, 16)];
            self.codes[32 * i..][..32].copy_from_slice(&codes);
            self.scales[i] = scale;
            self.sums[i] = (sums[0] + sums[1]) as f32 * scale;
            self.totals[2 * i..][..2].copy_from_slice(&sums);
            self.half_sums[2 * i] = sums[0] as f32 * scale;
            self.half_sums[2 * i + 1] = sums[1] as f32 * scale;
        }
    }
}

/// What 127 steps of reach to the largest number; NaN if it is infinite or one is none.
#[inline(always)]
fn scale(numbers: &[f32; 32]) -> f32 {
    let mut largest = 0;
    for number in numbers {
        // For numbers without their signs, bits are in the order of the numbers, and NaN is above all.
        largest = largest.max((number.to_bits() & 0x7fff_ffff) as i32);
    }
    let largest = f32::from_bits(largest as u32);
    if largest.is_finite() { largest / 127.0 } else { f32::NAN }
}

#[inline(always)]
fn codes(numbers: &[f32; 32], scale: f32) -> [i8; 32] {
    let mut codes = [0; 32];
    if scale >= f32::MIN_POSITIVE {
        let inverse = 1.0 / scale;
        for i in 0..32 {
            codes[i] = nearest(numbers[i] * inverse);
        }
    }
    codes
}

#[inline(always)]
fn half_sum(codes: &[i8; 32], start: usize) -> i16 {
    codes[start..start + 16].iter().map(|code| i16::from(*code)).sum()
}

/// The nearest whole number to one of at most 127 in size, ties to even.
#[inline(always)]
fn nearest(number: f32) -> i8 {
    // Added to this, a number has its whole part in the lowest bits.
    const ROUNDER: f32 = 12_582_912.0;
    (number + ROUNDER).to_bits() as i8
}

/// The rows of an input `[rows, columns]`.
#[derive(Clone, Copy)]
pub(super) struct Activations<'a> {
    numbers: &'a [f32],
    columns: usize,
    rows: usize,
    /// For each chunk of columns all rows, one after the other; none where only plain weights are multiplied.
    chunks: &'a [Chunk],
    /// None where only quantized weights are multiplied.
    bundles: &'a [f32],
}

/// Memory for what activations become.
#[derive(Default)]
pub(super) struct Space {
    chunks: Vec<Chunk>,
    bundles: Vec<f32>,
}

impl<'a> Activations<'a> {
    /// `coded` and `plain` say which kinds of weights they are multiplied with.
    pub(super) fn new(
        numbers: &'a [f32],
        rows: usize,
        (coded, plain): (bool, bool),
        pool: &Pool,
        space: &'a mut Space,
    ) -> Self {
        let columns = numbers.len().checked_div(rows).unwrap_or(0);
        let chunks = at_least(
            &mut space.chunks,
            Chunk::ZERO,
            if coded { columns.div_ceil(COLUMNS) * rows } else { 0 },
        );
        let bundles = at_least(&mut space.bundles, 0.0, if plain { numbers.len() } else { 0 });
        if coded {
            quantize_rows(numbers, rows, columns, pool, chunks);
        }
        if plain {
            bundle_all(numbers, rows, columns, pool, bundles);
        }
        Self { numbers, columns, rows, chunks, bundles }
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Columns `256 × index` and on of `rows`, in 8 bits.
    pub(super) fn chunks(&self, index: usize, rows: Range<usize>) -> &'a [Chunk] {
        &self.chunks[index * self.rows..][..self.rows][rows]
    }

    /// Rows from `row` on as [`bundle_rows`] has them, column by column; bundles begin at multiples of six, or after another.
    pub(super) fn bundle<const M: usize>(&self, row: usize) -> &'a [[f32; M]] {
        self.bundles[row * self.columns..][..M * self.columns].as_chunks().0
    }

    /// A row's numbers.
    pub(super) fn numbers(&self, row: usize) -> &'a [f32] {
        &self.numbers[row * self.columns..][..self.columns]
    }
}

/// The first `count` items, after making room for them.
fn at_least<T: Clone>(items: &mut Vec<T>, zero: T, count: usize) -> &mut [T] {
    if items.len() < count {
        items.resize(count, zero);
    }
    &mut items[..count]
}

fn quantize_rows(numbers: &[f32], rows: usize, columns: usize, pool: &Pool, chunks: &mut [Chunk]) {
    let chunks = Parts::new(chunks);
    pool.run(rows.div_ceil(ROWS_PER_TASK), |task| {
        for row in task * ROWS_PER_TASK..rows.min((task + 1) * ROWS_PER_TASK) {
            let numbers = &numbers[row * columns..][..columns];
            quantize_row(numbers, |index| {
                let at = index * rows + row;
                // SAFETY: each row is of one task, and its chunks are its own.
                let chunk = unsafe { chunks.part(at..at + 1) };
                &mut chunk[0]
            });
        }
    });
}

/// The same operations whatever the instructions, so the same bits.
fn quantize_row<'a>(numbers: &[f32], chunk: impl Fn(usize) -> &'a mut Chunk) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { quantize_row_avx2(numbers, chunk) };
    }
    quantize_row_with(numbers, chunk);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn quantize_row_avx2<'a>(numbers: &[f32], chunk: impl Fn(usize) -> &'a mut Chunk) {
    quantize_row_with(numbers, chunk);
}

#[inline(always)]
fn quantize_row_with<'a>(numbers: &[f32], chunk: impl Fn(usize) -> &'a mut Chunk) {
    for (index, numbers) in numbers.chunks(COLUMNS).enumerate() {
        chunk(index).quantize(numbers);
    }
}

/// Rows of a [bundle](Activations::bundle), of those from `row` on.
pub(super) fn bundle_rows(rows: usize) -> usize {
    match rows {
        6.. => 6,
        3.. => 3,
        few => few,
    }
}

fn bundle_all(numbers: &[f32], rows: usize, columns: usize, pool: &Pool, bundles: &mut [f32]) {
    let bundles = Parts::new(bundles);
    pool.run(rows.div_ceil(6), |task| {
        let end = rows.min(6 * task + 6);
        let mut row = 6 * task;
        while row < end {
            let count = bundle_rows(end - row);
            let range = row * columns..(row + count) * columns;
            // SAFETY: each bundle is of one task.
            let bundle = unsafe { bundles.part(range.clone()) };
            for (j, numbers) in numbers[range].chunks(columns.max(1)).enumerate() {
                for (column, number) in bundle.chunks_exact_mut(count).zip(numbers) {
                    column[j] = *number;
                }
            }
            row += count;
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantized(numbers: &[f32]) -> Chunk {
        let mut chunk = Chunk::ZERO;
        chunk.quantize(numbers);
        chunk
    }

    #[test]
    fn largest_number_becomes_127_and_halves_go_to_even() {
        let chunk = quantized(&[-127.0, 0.5, 1.5, -2.5, 126.4]);

        assert_eq!(chunk.codes[..6], [-127, 0, 2, -2, 126, 0]);
        assert_eq!((chunk.scales[0], chunk.scales[1], chunk.half_sums[0]), (1.0, 0.0, -1.0));
    }

    #[test]
    fn numbers_that_are_none_make_the_scale_none() {
        for odd in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut numbers = [1.0; 64];
            numbers[40] = odd;
            let chunk = quantized(&numbers);
            assert!(chunk.scales[0] > 0.0 && chunk.scales[1].is_nan() && chunk.sums[1].is_nan());
        }
    }

    #[test]
    fn smallest_and_largest_numbers_do_no_harm() {
        assert_eq!(quantized(&[1e-40, -1e-40]).codes, [0; 256]);
        assert_eq!(quantized(&[f32::MAX, f32::MIN]).codes[..2], [127, -127]);
    }

    proptest! {
        #[test]
        fn numbers_come_back_within_half_a_step(numbers in prop::collection::vec(-1e3_f32..1e3, 1..=256)) {
            let chunk = quantized(&numbers);
            for (i, number) in numbers.iter().enumerate() {
                let back = f32::from(chunk.codes[i]) * chunk.scales[i / 32];
                prop_assert!((number - back).abs() <= chunk.scales[i / 32] * 0.5001, "{number}: {back}");
            }
        }
    }
}
