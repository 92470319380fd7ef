//! Input of a product, as numbers and in 8 bits.
//!
//! Whatever the type of the weights, 32 columns share a scale, as in ggml's Q8_0; ggml gives 256 columns one scale where weights
//! are of a K type. The finer scale costs a multiplication in 32 columns and keeps an outlier from taking the bits of its
//! neighbours. A number is rounded to the nearest multiple of the scale, ties to even; codes are never −128.
use std::ops::Range;

use super::super::{Parts, Pool};
#[cfg(target_arch = "x86_64")]
use super::{avx::Avx, avx2};

/// Columns of a [`Chunk`].
pub(super) const COLUMNS: usize = 256;

/// Rows quantized as one task.
const ROWS_PER_TASK: usize = 16;

/// 256 columns of one row of the input; zeros beyond its end.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Chunk {
    pub(super) codes: [i8; COLUMNS],
    /// For each 32 columns; NaN if one of the numbers is infinite or none.
    pub(super) scales: [f32; 8],
    /// Of each 32 columns, the sum of the codes times the scale.
    pub(super) sums: [f32; 8],
    /// The same of each 16 columns.
    pub(super) half_sums: [f32; 16],
    /// Of each 32 columns, the sums of the codes of the first two and the last two of four neighbours: as products of 8 bits
    /// are added up.
    pub(super) pairs: [[i16; 2]; 8],
    /// The same of each 16 columns.
    pub(super) half_pairs: [[i16; 2]; 16],
}

impl Chunk {
    const ZERO: Self = Self {
        codes: [0; COLUMNS],
        scales: [0.0; 8],
        sums: [0.0; 8],
        half_sums: [0.0; 16],
        pairs: [[0; 2]; 8],
        half_pairs: [[0; 2]; 16],
    };

    /// Takes over up to 256 numbers.
    #[inline(always)]
    fn quantize(&mut self, numbers: &[f32], block: impl Fn(&[f32; 32]) -> Quantized) {
        let (whole, rest) = numbers.as_chunks();
        for (i, numbers) in whole.iter().enumerate() {
            self.store(i, &block(numbers));
        }
        let mut count = whole.len();
        if !rest.is_empty() {
            let mut last = [0.0; 32];
            last[..rest.len()].copy_from_slice(rest);
            self.store(count, &block(&last));
            count += 1;
        }
        for i in count..8 {
            self.store(i, &Quantized { scale: 0.0, codes: [0; 32], pairs: [[0; 2]; 2] });
        }
    }

    #[inline(always)]
    fn store(&mut self, i: usize, block: &Quantized) {
        let Quantized { scale, codes, pairs } = block;
        let sums = pairs.map(|[first, second]| first + second);
        self.codes.as_chunks_mut().0[i] = *codes;
        self.scales[i] = *scale;
        self.sums[i] = f32::from(sums[0] + sums[1]) * scale;
        self.half_sums.as_chunks_mut().0[i] = sums.map(|sum| f32::from(sum) * scale);
        self.half_pairs.as_chunks_mut().0[i] = *pairs;
        self.pairs[i] = [pairs[0][0] + pairs[1][0], pairs[0][1] + pairs[1][1]];
    }
}

/// 32 numbers in 8 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantized {
    pub(super) scale: f32,
    pub(super) codes: [i8; 32],
    /// Of each half, see [`Chunk::pairs`].
    pub(super) pairs: [[i16; 2]; 2],
}

impl Quantized {
    fn new(numbers: &[f32; 32]) -> Self {
        let scale = scale(numbers);
        let codes = codes(numbers, scale);
        Self { scale, codes, pairs: [half_pairs(&codes, 0), half_pairs(&codes, 16)] }
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
    scale_of(largest as u32)
}

/// The scale for a largest number of such bits.
#[inline(always)]
pub(super) fn scale_of(largest: u32) -> f32 {
    let largest = f32::from_bits(largest);
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
fn half_pairs(codes: &[i8; 32], start: usize) -> [i16; 2] {
    let mut pairs = [0; 2];
    for (i, code) in codes[start..start + 16].iter().enumerate() {
        pairs[i / 2 % 2] += i16::from(*code);
    }
    pairs
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
        let plain = plain && cfg!(target_arch = "x86_64");
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
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "taken with AVX2 only"))]
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

/// The same bits whatever the instructions.
fn quantize_row<'a>(numbers: &[f32], chunk: impl Fn(usize) -> &'a mut Chunk) {
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = Avx::<false>::new() {
        return avx2::quantize_row(lanes, numbers, chunk);
    }
    quantize_row_with(numbers, chunk, Quantized::new);
}

#[inline(always)]
pub(super) fn quantize_row_with<'a>(
    numbers: &[f32],
    chunk: impl Fn(usize) -> &'a mut Chunk,
    block: impl Fn(&[f32; 32]) -> Quantized + Copy,
) {
    for (index, numbers) in numbers.chunks(COLUMNS).enumerate() {
        chunk(index).quantize(numbers, block);
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
    #[cfg(target_arch = "x86_64")]
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn quantized(numbers: &[f32]) -> Chunk {
        let mut chunk = Chunk::ZERO;
        chunk.quantize(numbers, Quantized::new);
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

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn vectors_make_the_same_bits() {
        let Some(lanes) = Avx::<false>::new() else { return };
        let mut rng = StdRng::seed_from_u64(1);
        for length in [1, 31, 32, 33, 255, 256, 300] {
            for largest in [1e-42, 1e-38, 1.0, 1e30, f32::INFINITY] {
                let bound = f32::min(largest, 1.0);
                let mut numbers: Vec<f32> = (0..length).map(|_| rng.random_range(-bound..bound)).collect();
                numbers[length / 2] = largest;
                let mut chunks = [const { [Chunk::ZERO; 2] }; 2];
                for (quantize, chunks) in [true, false].into_iter().zip(&mut chunks) {
                    let chunks = Parts::new(chunks);
                    // SAFETY: one chunk is borrowed at a time.
                    let chunk = |index| unsafe { &mut chunks.part(index..index + 1)[0] };
                    match quantize {
                        true => avx2::quantize_row(lanes, &numbers, chunk),
                        false => quantize_row_with(&numbers, chunk, Quantized::new),
                    }
                }
                assert_eq!(format!("{:?}", chunks[0]), format!("{:?}", chunks[1]), "{length}, {largest}");
            }
        }
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
