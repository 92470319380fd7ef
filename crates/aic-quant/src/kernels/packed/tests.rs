//! All instruction sets of this machine against the scalar twin, and the twin against decoded weights.
use half::{bf16, f16};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::activations::COLUMNS;
use super::trial::TYPES;
use super::*;
use crate::decode;

const TOKENS: [usize; 15] = [1, 2, 3, 4, 5, 7, 8, 16, 23, 31, 32, 33, 63, 64, 65];

pub(super) fn all() -> impl Iterator<Item = DType> + Clone {
    TYPES.into_iter()
}

pub(super) fn coded() -> impl Iterator<Item = DType> + Clone {
    all().filter(|dtype| dtype.is_quantized())
}

/// Where the 16-bit floats of a block are.
fn halves(dtype: DType) -> &'static [usize] {
    match dtype {
        DType::MXFP4 => &[],
        DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => &[0, 2],
        DType::Q2_K => &[80, 82],
        DType::Q3_K => &[108],
        DType::Q6_K => &[208],
        _ => &[0],
    }
}

/// A matrix as a model file has it.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) dtype: DType,
    pub(super) rows: usize,
    pub(super) columns: usize,
    bytes: Vec<u8>,
}

impl Source {
    /// Codes of all values; scales from `half`.
    fn new(
        dtype: DType,
        rows: usize,
        columns: usize,
        rng: &mut StdRng,
        half: impl Fn(&mut StdRng) -> f32,
    ) -> Self {
        let count = rows * columns / dtype.block_size();
        let mut bytes = vec![0; count * dtype.block_bytes()];
        rng.fill_bytes(&mut bytes);
        for block in bytes.chunks_mut(dtype.block_bytes()) {
            match dtype {
                DType::F32 => block.copy_from_slice(&half(rng).to_le_bytes()),
                DType::F16 => block.copy_from_slice(&f16::from_f32(half(rng)).to_le_bytes()),
                DType::BF16 => block.copy_from_slice(&bf16::from_f32(half(rng)).to_le_bytes()),
                DType::MXFP4 => block[0] = 120 + block[0] % 8,
                _ => halves(dtype).iter().for_each(|at| {
                    block[*at..at + 2].copy_from_slice(&f16::from_f32(half(rng)).to_le_bytes());
                }),
            }
        }
        Self { dtype, rows, columns, bytes }
    }

    pub(super) fn random(dtype: DType, rows: usize, columns: usize, rng: &mut StdRng) -> Self {
        Self::new(dtype, rows, columns, rng, |rng| rng.random_range(-1.0..1.0))
    }

    pub(super) fn pack(&self, instructions: InstructionSet, pool: &Pool) -> Packed {
        let row = self.bytes.len() / self.rows.max(1);
        let read = |rows: Range<usize>, out: &mut [u8]| {
            out.copy_from_slice(&self.bytes[rows.start * row..rows.end * row]);
            Ok(())
        };
        Packed::pack(self.dtype, self.rows, self.columns, instructions, pool, read).unwrap()
    }

    pub(super) fn numbers(&self) -> Vec<f32> {
        decode(&self.bytes, self.dtype).unwrap()
    }
}

fn product(weights: &Packed, input: &[f32], tokens: usize, pool: &Pool) -> Vec<f32> {
    let mut output = vec![f32::NAN; tokens * weights.rows()];
    multiply(pool, &mut Scratch::default(), input, tokens, &mut [Product { weights, output: &mut output }]);
    output
}

pub(super) fn input(length: usize, rng: &mut StdRng) -> Vec<f32> {
    (0..length).map(|_| rng.random_range(-2.0_f32..2.0).powi(3)).collect()
}

/// Whole numbers that are the same after quantizing: in each 32 columns one is 127 in size.
fn whole_input(tokens: usize, columns: usize, rng: &mut StdRng) -> Vec<f32> {
    let mut numbers: Vec<f32> =
        (0..tokens * columns).map(|_| f32::from(rng.random_range(-127_i16..=127))).collect();
    for row in numbers.chunks_mut(columns) {
        row.chunks_mut(32).for_each(|block| block[rng.random_range(0..block.len())] = 127.0);
    }
    numbers
}

pub(super) fn columns_of(dtype: DType, blocks: usize) -> usize {
    if dtype.is_quantized() { blocks * dtype.block_size() } else { blocks * 37 }
}

/// What the input becomes for quantized weights.
fn as_multiplied(input: &[f32], tokens: usize, dtype: DType) -> Vec<f32> {
    if !dtype.is_quantized() {
        return input.to_vec();
    }
    let (mut space, pool) = (activations::Space::default(), Pool::new(1).unwrap());
    let activations = activations::Activations::new(input, tokens, (true, false), &pool, &mut space);
    let columns = input.len() / tokens;
    let number = |row: usize, column: usize| {
        let chunk = &activations.chunks(column / COLUMNS, row..row + 1)[0];
        f32::from(chunk.codes[column % COLUMNS]) * chunk.scales[column % COLUMNS / 32]
    };
    (0..input.len()).map(|i| number(i / columns, i % columns)).collect()
}

/// That `output` is the product, but for what rounding 32-bit sums costs: a few units in the last place of the sum of the
/// largest weight times the input, without their signs.
pub(super) fn check(output: &[f32], source: &Source, input: &[f32], tokens: usize, of: &str) {
    let (weights, columns) = (source.numbers(), source.columns);
    let input = as_multiplied(input, tokens, source.dtype);
    for (i, output) in output.iter().enumerate() {
        let (token, row) = (i / source.rows, i % source.rows);
        let (weights, input) = (&weights[row * columns..][..columns], &input[token * columns..][..columns]);
        let exact: f64 = weights.iter().zip(input).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let largest = weights.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
        let bound = 4e-6 * f64::from(largest) * input.iter().map(|x| f64::from(x.abs())).sum::<f64>();
        let error = (f64::from(*output) - exact).abs();
        assert!(error <= bound, "{of} {}: {output}, not {exact}, token {token}, row {row}", source.dtype);
    }
}

#[test]
fn products_are_those_of_the_decoded_weights_with_every_instruction_set() {
    let (mut rng, pool) = (StdRng::seed_from_u64(1), Pool::new(2).unwrap());
    for dtype in all() {
        for (rows, blocks) in [(1, 1), (5, 2), (16, 3), (17, 7), (40, 8), (47, 9)] {
            let source = Source::random(dtype, rows, columns_of(dtype, blocks), &mut rng);
            for set in InstructionSet::available() {
                let packed = source.pack(set, &pool);
                for tokens in [1, 2, 3, 8] {
                    let input = input(tokens * source.columns, &mut rng);
                    check(
                        &product(&packed, &input, tokens, &pool),
                        &source,
                        &input,
                        tokens,
                        &set.to_string(),
                    );
                }
            }
        }
    }
}

#[test]
fn any_number_of_tokens_gives_each_what_it_gets_alone() {
    let (mut rng, pool) = (StdRng::seed_from_u64(2), Pool::new(2).unwrap());
    for dtype in all() {
        let source = Source::random(dtype, 33, columns_of(dtype, 9), &mut rng);
        let input = input(65 * source.columns, &mut rng);
        for set in InstructionSet::available() {
            let packed = source.pack(set, &pool);
            let alone: Vec<f32> =
                input.chunks(source.columns).flat_map(|row| product(&packed, row, 1, &pool)).collect();
            // With matrix tiles, many tokens are rounded in another way.
            let few = |tokens: &usize| set != InstructionSet::Amx || *tokens < 24;
            for tokens in TOKENS.into_iter().filter(few) {
                let together = product(&packed, &input[..tokens * source.columns], tokens, &pool);
                assert_eq!(together, alone[..tokens * 33], "{set} {dtype}, {tokens} tokens");
            }
        }
    }
}

#[test]
fn whole_numbers_are_multiplied_exactly_with_every_instruction_set() {
    let (mut rng, pool) = (StdRng::seed_from_u64(3), Pool::new(1).unwrap());
    for dtype in coded() {
        let source = Source::new(dtype, 19, columns_of(dtype, 3), &mut rng, |rng| {
            [1.0, -1.0, 0.5][rng.random_range(0..3)]
        });
        let input = whole_input(7, source.columns, &mut rng);
        let expected = product(&source.pack(InstructionSet::Scalar, &pool), &input, 7, &pool);
        for set in InstructionSet::available() {
            assert_eq!(product(&source.pack(set, &pool), &input, 7, &pool), expected, "{set} {dtype}");
        }
    }
}

#[test]
fn largest_codes_on_both_sides_do_not_saturate() {
    let pool = Pool::new(1).unwrap();
    for dtype in coded() {
        for (fill, sign) in [(0x00, 1.0), (0xff, 1.0), (0x80, -1.0), (0x7f, -1.0), (0x88, 1.0), (0xf0, 1.0)] {
            let mut source =
                Source::new(dtype, 16, columns_of(dtype, 2), &mut StdRng::seed_from_u64(4), |_| 1.0);
            for block in source.bytes.chunks_mut(dtype.block_bytes()) {
                let kept: Vec<_> =
                    halves(dtype).iter().map(|at| (*at, [block[*at], block[at + 1]])).collect();
                block.fill(fill);
                kept.iter().for_each(|(at, half)| block[*at..at + 2].copy_from_slice(half));
                if dtype == DType::MXFP4 {
                    block[0] = 128;
                }
            }
            for pattern in [[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]] {
                let input: Vec<f32> =
                    (0..3 * source.columns).map(|i| 127.0 * sign * pattern[i / 2 % 2]).collect();
                for set in InstructionSet::available() {
                    check(
                        &product(&source.pack(set, &pool), &input, 3, &pool),
                        &source,
                        &input,
                        3,
                        &set.to_string(),
                    );
                }
            }
        }
    }
}

#[test]
fn scales_that_are_no_numbers_make_results_that_are_none() {
    let (mut rng, pool) = (StdRng::seed_from_u64(5), Pool::new(1).unwrap());
    for dtype in all().filter(|dtype| !halves(dtype.to_owned()).is_empty()) {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut source = Source::random(dtype, 18, columns_of(dtype, 2), &mut rng);
            let row = source.bytes.len() / 18;
            let plain = match dtype {
                DType::F32 => odd.to_le_bytes().to_vec(),
                DType::BF16 => bf16::from_f32(odd).to_le_bytes().to_vec(),
                _ => f16::from_f32(odd).to_le_bytes().to_vec(),
            };
            let at = 17 * row + halves(dtype)[0] * usize::from(dtype.is_quantized());
            source.bytes[at..at + plain.len()].copy_from_slice(&plain);
            let input = vec![1.0; 2 * source.columns];
            for set in InstructionSet::available() {
                let output = product(&source.pack(set, &pool), &input, 2, &pool);
                for (i, output) in output.iter().enumerate() {
                    assert_eq!(output.is_finite(), i % 18 != 17, "{set} {dtype} {odd}: {output} at {i}");
                }
            }
        }
    }
}

#[test]
fn input_that_is_no_number_spoils_its_token_only() {
    let (mut rng, pool) = (StdRng::seed_from_u64(6), Pool::new(1).unwrap());
    for dtype in all() {
        let source = Source::random(dtype, 16, columns_of(dtype, 2), &mut rng);
        let mut input = input(3 * source.columns, &mut rng);
        input[source.columns + 30] = f32::NAN;
        for set in InstructionSet::available() {
            let output = product(&source.pack(set, &pool), &input, 3, &pool);
            assert!(output[16..32].iter().all(|x| x.is_nan()), "{set} {dtype}");
            assert!(output[..16].iter().chain(&output[32..]).all(|x| x.is_finite()), "{set} {dtype}");
        }
    }
}

#[test]
fn tiny_and_huge_scales_are_as_good_as_others() {
    let (mut rng, pool) = (StdRng::seed_from_u64(7), Pool::new(1).unwrap());
    for dtype in all().filter(|dtype| *dtype != DType::MXFP4) {
        for scale in [6e-8, 3e-5, 65504.0, 0.0] {
            let source = Source::new(dtype, 16, columns_of(dtype, 2), &mut rng, |_| scale);
            let input = input(2 * source.columns, &mut rng);
            for set in InstructionSet::available() {
                check(
                    &product(&source.pack(set, &pool), &input, 2, &pool),
                    &source,
                    &input,
                    2,
                    &set.to_string(),
                );
            }
        }
    }
}

#[test]
fn rows_come_back_as_the_file_decodes() {
    let (mut rng, pool) = (StdRng::seed_from_u64(8), Pool::new(2).unwrap());
    for dtype in all() {
        let source = Source::random(dtype, 37, columns_of(dtype, 5), &mut rng);
        let packed = source.pack(InstructionSet::best(), &pool);
        let mut row = vec![0.0; source.columns];
        for (i, expected) in source.numbers().chunks(source.columns).enumerate() {
            packed.row(i, &mut row);
            let same = row.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{dtype} row {i}: {row:?}, not {expected:?}");
        }
    }
}

#[test]
fn packing_is_the_same_with_any_number_of_threads_and_hardly_grows() {
    let mut rng = StdRng::seed_from_u64(9);
    for dtype in all() {
        // More than a slab.
        let source = Source::random(dtype, 2000, columns_of(dtype, 80), &mut rng);
        let [one, three] =
            [1, 3].map(|threads| source.pack(InstructionSet::Scalar, &Pool::new(threads).unwrap()));
        assert!(one.bytes.bytes() == three.bytes.bytes(), "{dtype}");
        assert!(one.resident_bytes() <= source.bytes.len() * 105 / 100, "{dtype}");
    }
}

#[test]
fn several_products_share_an_input() {
    let (mut rng, pool) = (StdRng::seed_from_u64(10), Pool::new(2).unwrap());
    let sources =
        [DType::Q4_K, DType::F16, DType::Q6_K].map(|dtype| Source::random(dtype, 50, 512, &mut rng));
    let packed = sources.each_ref().map(|source| source.pack(InstructionSet::best(), &pool));
    let input = input(5 * 512, &mut rng);
    let mut outputs = [const { Vec::new() }; 3].map(|_: Vec<f32>| vec![0.0; 250]);
    let mut products: Vec<_> = packed
        .iter()
        .zip(&mut outputs)
        .map(|(weights, output)| Product { weights, output: &mut output[..] })
        .collect();

    multiply(&pool, &mut Scratch::default(), &input, 5, &mut products);

    for (packed, output) in packed.iter().zip(&outputs) {
        assert_eq!(*output, product(packed, &input, 5, &pool));
    }
}

#[test]
fn nothing_times_something_is_nothing() {
    let pool = Pool::new(2).unwrap();
    let empty =
        |rows, columns| Packed::pack(DType::F32, rows, columns, InstructionSet::best(), &pool, |_, _| Ok(()));
    let (no_rows, no_columns) = (empty(0, 8).unwrap(), empty(3, 0).unwrap());

    assert!(product(&no_rows, &[1.0; 16], 2, &pool).is_empty());
    assert!(product(&no_rows, &[], 0, &pool).is_empty());
    assert_eq!(product(&no_columns, &[], 2, &pool), [0.0; 6]);
}

#[test]
fn what_cannot_be_packed_is_an_error() {
    let pool = Pool::new(1).unwrap();
    let pack = |dtype, rows, columns| {
        Packed::pack(dtype, rows, columns, InstructionSet::Scalar, &pool, |_, _| {
            Err(Error::Empty { what: "file" })
        })
    };

    assert!(matches!(pack(DType::IQ1_S, 1, 256), Err(Error::UnsupportedDType { .. })));
    assert!(matches!(pack(DType::Q4_K, 1, 128), Err(Error::Tensor { .. })));
    assert!(matches!(pack(DType::F16, usize::MAX, 1 << 40), Err(Error::Tensor { .. })));
    assert!(matches!(pack(DType::F16, 1, 1), Err(Error::Empty { .. })));
}

#[test]
fn instructions_that_the_processor_lacks_are_refused() {
    let pool = Pool::new(1).unwrap();
    let lacking = if cfg!(target_arch = "x86_64") { InstructionSet::Neon } else { InstructionSet::Avx2 };
    let packed = Packed::pack(DType::F32, 1, 1, lacking, &pool, |_, _| Ok(()));

    assert!(matches!(packed, Err(Error::Unsupported { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_shape_of_any_type_is_multiplied_rightly(
        dtype in prop::sample::select(all().collect::<Vec<_>>()),
        rows in 1_usize..70,
        blocks in 1_usize..12,
        tokens in 1_usize..20,
        threads in 1_usize..4,
        seed: u64,
    ) {
        let (mut rng, pool) = (StdRng::seed_from_u64(seed), Pool::new(threads).unwrap());
        let source = Source::random(dtype, rows, columns_of(dtype, blocks), &mut rng);
        let input = input(tokens * source.columns, &mut rng);
        for set in InstructionSet::available() {
            check(&product(&source.pack(set, &pool), &input, tokens, &pool), &source, &input, tokens, &set.to_string());
        }
    }
}
