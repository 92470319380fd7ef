use proptest::prelude::*;

use crate::codec::{decode_into, encode_into, lanes};
use crate::{DType, decode, encode};

const TYPES: [DType; 7] =
    [DType::Q8_0, DType::Q4_0, DType::Q5_0, DType::Q4_1, DType::Q5_1, DType::IQ4_NL, DType::IQ4_XS];

/// Numbers with both signs from a generator of 64 bits; the sum of four makes the middle likelier.
fn noise(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    (0..length).map(|_| uniform() + uniform() + uniform() + uniform()).collect()
}

fn round_trip(values: &[f32], importance: Option<&[f32]>, dtype: DType) -> Vec<f32> {
    let mut bytes = vec![0; values.len() / dtype.block_size() * dtype.block_bytes()];
    encode_into(values, importance, dtype, &mut bytes).unwrap();
    decode(&bytes, dtype).unwrap()
}

fn error(values: &[f32], back: &[f32], importance: &[f32]) -> f64 {
    let weights = importance.iter().cycle();
    let terms = values.iter().zip(back).zip(weights);
    terms.map(|((a, b), w)| f64::from(*w) * (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

/// The block of ggml's reference: the number furthest from zero becomes code 0.
fn reference_symmetric(block: &[f32], n: f32) -> Vec<f32> {
    let extreme = block.iter().fold(0.0, |a: f32, x| if x.abs() > a.abs() { *x } else { a });
    let scale = extreme / -n;
    let stored = half::f16::from_f32(scale).to_f32();
    block.iter().map(|x| ((x / scale + n + 0.5).floor().min(2.0 * n - 1.0) - n) * stored).collect()
}

/// The block of ggml's reference: codes span the numbers.
fn reference_affine(block: &[f32], n: f32) -> Vec<f32> {
    let low = block.iter().copied().fold(f32::INFINITY, f32::min);
    let high = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = (high - low) / n;
    let [stored, minimum] = [scale, low].map(|x| half::f16::from_f32(x).to_f32());
    block.iter().map(|x| ((x - low) / scale + 0.5).floor().min(n) * stored + minimum).collect()
}

#[test]
fn q8_0_is_made_byte_by_byte_as_the_reference_does() {
    for values in noise(1 << 14, 1).as_chunks::<32>().0 {
        let magnitude = values.iter().fold(0.0, |a: f32, x| a.max(x.abs()));
        let scale = magnitude / 127.0;
        let mut expected = half::f16::from_f32(scale).to_le_bytes().to_vec();
        expected.extend(values.map(|x| (x * (1.0 / scale)).round() as i8 as u8));
        assert_eq!(encode(values, DType::Q8_0).unwrap(), expected);
    }
}

#[test]
fn q8_0_rounds_ties_away_from_zero() {
    let mut values = [0.0; 32];
    values[..5].copy_from_slice(&[127.0, 0.5, -0.5, 2.5, -2.5]);
    assert_eq!(encode(&values, DType::Q8_0).unwrap()[2..7], [127, 1, 255, 3, 253]);
}

#[test]
fn error_is_well_below_that_of_the_reference() {
    let values = noise(1 << 15, 2);
    let symmetric = |n| move |block| reference_symmetric(block, n);
    let affine = |n| move |block| reference_affine(block, n);
    let references: [(DType, f64, Vec<f32>); 4] = [
        (DType::Q4_0, 0.91, values.chunks(32).flat_map(symmetric(8.0)).collect()),
        (DType::Q5_0, 0.91, values.chunks(32).flat_map(symmetric(16.0)).collect()),
        (DType::Q4_1, 0.85, values.chunks(32).flat_map(affine(15.0)).collect()),
        (DType::Q5_1, 0.85, values.chunks(32).flat_map(affine(31.0)).collect()),
    ];
    for (dtype, bound, theirs) in references {
        let ours = error(&values, &round_trip(&values, None, dtype), &[1.0]);
        let ratio = ours / error(&values, &theirs, &[1.0]);
        assert!(ratio < bound, "{dtype}: {ratio}");
    }
}

#[test]
fn importance_moves_error_to_where_it_matters_less() {
    let values = noise(1 << 15, 3);
    let importance: Vec<f32> = noise(1024, 4).iter().map(|x| (x * 2.0).exp()).collect();
    for dtype in TYPES {
        let blind = error(&values, &round_trip(&values, None, dtype), &importance);
        let seeing = error(&values, &round_trip(&values, Some(&importance), dtype), &importance);
        let bound = if dtype == DType::Q8_0 { 1.0 } else { 0.9 };
        assert!(seeing <= blind * bound, "{dtype}: {seeing} and {blind}");
    }
}

#[test]
fn importance_goes_with_the_columns_of_every_row() {
    let row = noise(1024, 5);
    let importance: Vec<f32> = noise(1024, 6).iter().map(|x| x.exp()).collect();
    let rows = [row.clone(), row.clone(), row.clone()].concat();
    for dtype in TYPES {
        let one = round_trip(&row, Some(&importance), dtype);
        assert_eq!(round_trip(&rows, Some(&importance), dtype), one.repeat(3), "{dtype}");
    }
    // Eleven blocks: a group and some more.
    for dtype in TYPES.into_iter().filter(|dtype| dtype.block_size() == 32) {
        let (row, importance) = (&row[..352], &importance[..352]);
        let one = round_trip(row, Some(importance), dtype);
        assert_eq!(round_trip(&row.repeat(3), Some(importance), dtype), one.repeat(3), "{dtype}");
        assert_eq!(round_trip(&row[320..], Some(&importance[320..]), dtype), one[320..], "{dtype}");
    }
}

#[test]
fn machines_without_wide_vectors_make_the_same_bytes() {
    let mut values = noise(32 * 256, 10);
    values[..256].fill(0.0);
    values[300] = -0.0;
    values[600] = f32::INFINITY;
    values[900] = 1e-39;
    let importance: Vec<f32> = noise(1024, 11).iter().map(|x| x.exp()).collect();
    for dtype in TYPES {
        let bytes = [false, true].map(|plain| {
            lanes::PLAIN.set(plain);
            let mut blind = vec![0; values.len() / dtype.block_size() * dtype.block_bytes()];
            let mut seeing = blind.clone();
            encode_into(&values, None, dtype, &mut blind).unwrap();
            encode_into(&values, Some(&importance), dtype, &mut seeing).unwrap();
            [blind, seeing]
        });
        lanes::PLAIN.set(false);
        assert!(bytes[0] == bytes[1], "{dtype}");
    }
}

#[test]
fn blocks_are_the_same_alone_and_in_groups() {
    let values = noise(32 * 24, 12);
    for dtype in TYPES.into_iter().filter(|dtype| dtype.block_size() == 32) {
        let alone: Vec<u8> = values.chunks(32).flat_map(|block| encode(block, dtype).unwrap()).collect();
        assert_eq!(encode(&values, dtype).unwrap(), alone, "{dtype}");
        let eleven = 32 * 11;
        assert_eq!(encode(&values[..eleven], dtype).unwrap(), alone[..alone.len() / 24 * 11], "{dtype}");
    }
}

#[test]
fn numbers_a_type_can_hold_come_back_unchanged() {
    for (dtype, lowest, highest) in
        [(DType::Q4_0, -8, 7), (DType::Q5_0, -16, 15), (DType::Q4_1, 0, 15), (DType::Q5_1, 0, 31)]
    {
        let values: Vec<f32> = (0..32).map(|i| (lowest + i % (highest - lowest + 1)) as f32 * 0.25).collect();
        let back = round_trip(&values, None, dtype);
        assert!(values.iter().zip(&back).all(|(x, y)| (x - y).abs() <= 1e-6), "{dtype}: {back:?}");
    }
}

/// Nibbles that give codes 0 to 15 in order, twice.
const ALL_CODES: [u8; 16] =
    [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

#[test]
fn uneven_levels_are_those_of_their_types() {
    let levels = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113].map(|x| x as f32);
    let half: [u8; 2] = half::f16::from_f32(0.5).to_le_bytes();
    let block = [half.as_slice(), &ALL_CODES].concat();
    assert_eq!(decode(&block, DType::IQ4_NL).unwrap(), levels.map(|x| x * 0.5).repeat(2));

    // Multiples −32, −31, … −25: upper bits 0, lower bits 0 to 7.
    let scales = [half.as_slice(), &[0, 0, 0x10, 0x32, 0x54, 0x76]].concat();
    let block = [scales, ALL_CODES.repeat(8)].concat();
    let expected: Vec<f32> =
        (0..8).flat_map(|i| levels.map(|x| x * 0.5 * (i - 32) as f32).repeat(2)).collect();
    assert_eq!(decode(&block, DType::IQ4_XS).unwrap(), expected);

    let levels = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];
    let block = [[130].as_slice(), &ALL_CODES].concat();
    assert_eq!(decode(&block, DType::MXFP4).unwrap(), levels.map(|x| x * 8.0).repeat(2));
}

#[test]
fn zeros_and_numbers_too_small_for_a_float_become_zeros() {
    for dtype in TYPES {
        for x in [0.0, -0.0, 1e-40, -1e-40, 1e-30] {
            let back = round_trip(&[x; 256], None, dtype);
            assert!(back.iter().all(|y| *y == 0.0), "{dtype}, {x:e}: {back:?}");
        }
    }
}

#[test]
fn constant_rows_come_back_nearly_unchanged() {
    for dtype in TYPES {
        for x in [1.0, -3.0, 0.1] {
            let back = round_trip(&[x; 256], None, dtype);
            assert!(back.iter().all(|y| (x - y).abs() <= x.abs() * 0.01), "{dtype}, {x}: {back:?}");
        }
    }
}

#[test]
fn numbers_out_of_range_come_back_as_the_largest_that_are_not() {
    for dtype in TYPES {
        let mut values = noise(256, 7);
        (values[3], values[40]) = (f32::INFINITY, -1e38);
        let back = round_trip(&values, None, dtype);
        assert!(back.iter().all(|x| x.is_finite()), "{dtype}: {back:?}");
        assert!(back[3] > 60_000.0 && back[40] < -60_000.0, "{dtype}: {} and {}", back[3], back[40]);
    }
}

proptest! {
    #[test]
    fn any_bits_become_finite_numbers(bits in prop::collection::vec(any::<u32>(), 256)) {
        let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        for dtype in TYPES {
            prop_assert!(round_trip(&values, None, dtype).iter().all(|x| x.is_finite()), "{dtype}");
            prop_assert!(round_trip(&values, Some(&values), dtype).iter().all(|x| x.is_finite()), "{dtype}");
        }
    }

    #[test]
    fn any_block_decodes_the_same_alone_and_among_others(bytes in prop::collection::vec(any::<u8>(), 136 * 2)) {
        for dtype in [DType::Q4_0, DType::Q5_1, DType::IQ4_XS, DType::MXFP4] {
            let size = dtype.block_bytes();
            let whole = &bytes[..bytes.len() / size * size];
            let together = decode(whole, dtype).unwrap();
            for (block, expected) in whole.chunks(size).zip(together.chunks(dtype.block_size())) {
                let mut alone = vec![0.0; dtype.block_size()];
                decode_into(block, dtype, &mut alone).unwrap();
                let same = alone.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits());
                prop_assert!(same, "{dtype}");
            }
        }
    }
}
