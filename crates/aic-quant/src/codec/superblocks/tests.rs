//! What holds for all K types.
use proptest::prelude::*;

use super::*;

/// So many numbers that luck evens out: in one super-block, plain rounding may hit the few numbers that count.
const LONG: usize = 32 * 256;

const TYPES: [DType; 5] = [DType::Q2_K, DType::Q3_K, DType::Q4_K, DType::Q5_K, DType::Q6_K];

fn encoded(values: &[f32], importance: Option<&[f32]>, dtype: DType) -> Vec<u8> {
    let mut bytes = vec![0; values.len() / 256 * dtype.block_bytes()];
    encode(values, importance, dtype, &mut bytes);
    bytes
}

fn decoded(bytes: &[u8], dtype: DType) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() / dtype.block_bytes() * 256];
    decode(bytes, dtype, &mut values);
    values
}

fn there_and_back(values: &[f32], dtype: DType) -> Vec<f32> {
    decoded(&encoded(values, None, dtype), dtype)
}

/// The sum of squared errors, each times its importance.
fn error(values: &[f32], others: &[f32], importance: Option<&[f32]>) -> f64 {
    let weight = |i: usize| importance.map_or(1.0, |importance| f64::from(importance[i % importance.len()]));
    values.iter().zip(others).enumerate().map(|(i, (a, b))| weight(i) * f64::from(a - b).powi(2)).sum()
}

/// A super-block encoded with no search at all: scales from the extremes, everything rounded to the nearest.
fn plainly(values: &[f32], dtype: DType) -> Vec<f32> {
    let (length, codes, steps) = match dtype {
        DType::Q2_K => (16, 3.0, 15.0),
        DType::Q3_K => (16, 4.0, 32.0),
        DType::Q4_K => (32, 15.0, 63.0),
        DType::Q5_K => (32, 31.0, 63.0),
        _ => (16, 32.0, 128.0),
    };
    let signed = matches!(dtype, DType::Q3_K | DType::Q6_K);
    let half = |value: f32| f16::from_f32(value).to_f32();
    let lines: Vec<(f32, f32)> = values
        .chunks(length)
        .map(|block| {
            let lowest = block.iter().fold(0.0_f32, |a, b| a.min(*b));
            let highest = block.iter().fold(0.0_f32, |a, b| a.max(*b));
            let largest = highest.max(-lowest);
            if signed { (largest / (codes - 1.0), 0.0) } else { ((highest - lowest) / codes, -lowest) }
        })
        .collect();
    let top = if signed { steps - 1.0 } else { steps };
    let scale = half(lines.iter().fold(0.0_f32, |a, line| a.max(line.0)) / top);
    let minimum = half(lines.iter().fold(0.0_f32, |a, line| a.max(line.1)) / top);
    let step = |exact: f32, unit: f32| if unit > 0.0 { unit * (exact / unit).round().min(top) } else { 0.0 };
    let line = |block: usize| (step(lines[block].0, scale), step(lines[block].1, minimum));
    let bounds = if signed { (-codes, codes - 1.0) } else { (0.0, codes) };
    let nearest = |(i, value): (usize, &f32)| {
        let (scale, minimum) = line(i / length);
        let code = if scale > 0.0 { ((value + minimum) / scale).round() } else { 0.0 };
        scale * code.clamp(bounds.0, bounds.1) - minimum
    };
    values.iter().enumerate().map(nearest).collect()
}

fn super_block() -> impl Strategy<Value = Vec<f32>> {
    row(256)
}

/// Rows of many kinds: narrow and wide, shifted, with outliers, with zeros.
fn row(length: usize) -> impl Strategy<Value = Vec<f32>> {
    let number = (-1.0_f32..1.0, 0..100_u32, 0..100_u32);
    (prop::collection::vec(number, length), -2.0_f32..2.0, 0..20_u32, 0..60_u32, -12..12_i32).prop_map(
        |(numbers, shift, outliers, zeros, power)| {
            let number = |(value, wild, none): (f32, u32, u32)| match () {
                () if none < zeros => 0.0,
                () if wild < outliers => value * 20.0,
                () => value + shift,
            };
            numbers.into_iter().map(|parts| number(parts) * 2.0_f32.powi(power)).collect()
        },
    )
}

fn importance() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-8.0_f32..8.0).prop_map(f32::exp), 256)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn error_is_at_most_that_of_plain_rounding(values in row(LONG)) {
        for dtype in TYPES {
            let ours = error(&values, &there_and_back(&values, dtype), None);
            let plain: Vec<f32> = values.chunks(256).flat_map(|block| plainly(block, dtype)).collect();
            let plain = error(&values, &plain, None);
            prop_assert!(ours <= plain, "{dtype}: {ours} > {plain}");
        }
    }

    #[test]
    fn importance_never_makes_the_weighted_error_larger(values in row(LONG), importance in importance()) {
        for dtype in TYPES {
            let careful = decoded(&encoded(&values, Some(&importance), dtype), dtype);
            let careful = error(&values, &careful, Some(&importance));
            let careless = error(&values, &there_and_back(&values, dtype), Some(&importance));
            prop_assert!(careful <= careless, "{dtype}: {careful} > {careless}");
        }
    }

    #[test]
    fn processors_with_and_without_vectors_make_the_same_bytes(values in super_block(), importance in importance()) {
        fn without_vectors<T: SuperBlock>(values: &[f32], importance: &[f32], out: &mut [u8]) {
            let layout = PhantomData::<T>;
            Simd::vectorize(Scalar256b, Encoding { values, importance: Some(importance), out, layout });
        }
        for dtype in TYPES {
            let mut bytes = vec![0; dtype.block_bytes()];
            match dtype {
                DType::Q2_K => without_vectors::<q2_k::Q2K>(&values, &importance, &mut bytes),
                DType::Q3_K => without_vectors::<q3_k::Q3K>(&values, &importance, &mut bytes),
                DType::Q4_K => without_vectors::<q4_k::Q4K>(&values, &importance, &mut bytes),
                DType::Q5_K => without_vectors::<q5_k::Q5K>(&values, &importance, &mut bytes),
                _ => without_vectors::<q6_k::Q6K>(&values, &importance, &mut bytes),
            }
            prop_assert_eq!(bytes, encoded(&values, Some(&importance), dtype), "{}", dtype);
        }
    }

    #[test]
    fn any_bits_are_encoded_without_panic_and_decode_to_finite_numbers(
        bits in prop::collection::vec(any::<u32>(), 256),
        weights in prop::collection::vec(any::<u32>(), 256),
    ) {
        let floats = |bits: &[u32]| bits.iter().map(|bits| f32::from_bits(*bits)).collect::<Vec<_>>();
        for dtype in TYPES {
            let back = decoded(&encoded(&floats(&bits), Some(&floats(&weights)), dtype), dtype);
            prop_assert!(back.iter().all(|value| value.is_finite()), "{dtype}");
        }
    }

    #[test]
    fn rows_are_encoded_alike_alone_and_together(first in super_block(), second in super_block(), third in importance()) {
        let importance = [&third[..], &first[..]].concat();
        let row = [&first[..], &second[..]].concat();
        for dtype in TYPES {
            let rows = [&row[..], &row[..], &row[..]].concat();
            let together = encoded(&rows, Some(&importance), dtype);
            prop_assert_eq!(together, encoded(&row, Some(&importance), dtype).repeat(3), "{}", dtype);
        }
    }
}

/// Rows, what ggml makes of them, and blocks that it wrote; see `tests/goldens/k_quants.py`.
fn goldens() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../tests/goldens/k_quants.json")).unwrap()
}

fn numbers(json: &serde_json::Value, unit: f32) -> Vec<f32> {
    json.as_array().unwrap().iter().map(|number| number.as_i64().unwrap() as f32 * unit).collect()
}

#[test]
fn error_is_below_that_of_ggml() {
    let goldens = goldens();
    let importance = numbers(&goldens["importance"], 2.0_f32.powi(-6));
    for (name, row) in goldens["rows"].as_object().unwrap() {
        let values = numbers(row, 2.0_f32.powi(-14));
        for dtype in TYPES {
            let theirs = &goldens["types"][dtype.name()];
            for (kind, importance) in [("errors", None), ("weighted", Some(&importance[..]))] {
                let back = decoded(&encoded(&values, importance, dtype), dtype);
                let (ours, theirs) =
                    (error(&values, &back, importance), theirs[kind][name].as_f64().unwrap());
                assert!(ours < theirs, "{dtype} {kind} {name}: {ours} >= {theirs}");
            }
        }
    }
}

#[test]
fn blocks_that_ggml_wrote_are_read_bit_for_bit() {
    for dtype in TYPES {
        let golden = &goldens()["types"][dtype.name()];
        let hex = golden["block"].as_str().unwrap();
        let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
        let block: Vec<u8> = (0..hex.len() / 2).map(byte).collect();

        let bits: Vec<u64> = decoded(&block, dtype).iter().map(|value| u64::from(value.to_bits())).collect();

        assert_eq!(serde_json::json!(bits), golden["decoded"], "{dtype}");
    }
}

#[test]
fn zeros_and_what_is_too_small_come_back_as_zeros() {
    for dtype in TYPES {
        for value in [0.0, -0.0, 1e-40, -1e-12] {
            assert!(there_and_back(&[value; 256], dtype).iter().all(|back| *back == 0.0), "{dtype} {value}");
        }
    }
}

#[test]
fn constant_rows_of_either_sign_come_back_nearly_exact() {
    for dtype in TYPES {
        for value in [1.0_f32, -0.3, 1234.5, -0.03] {
            let back = there_and_back(&[value; 256], dtype);
            assert!(back.iter().all(|back| (back / value - 1.0).abs() < 4e-3), "{dtype} {value} {}", back[0]);
        }
    }
}

#[test]
fn numbers_beyond_the_largest_scale_come_back_as_large_as_the_type_allows() {
    for dtype in TYPES {
        let mut values = [0.0; 256];
        (values[0], values[255]) = (1e30, -1e30);
        let back = there_and_back(&values, dtype);
        assert!(back[0] > 9e5 && back[255] < -9e5, "{dtype}: {} {}", back[0], back[255]);
    }
}

#[test]
fn numbers_that_are_not_finite_count_as_zeros() {
    for dtype in TYPES {
        let mut values: Vec<f32> = (0..256).map(|i| (i as f32 * 0.7).sin()).collect();
        let plain = {
            values[3] = 0.0;
            encoded(&values, None, dtype)
        };
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            values[3] = odd;
            assert_eq!(encoded(&values, None, dtype), plain, "{dtype} {odd}");
        }
    }
}

#[test]
fn an_outlier_spoils_its_own_sub_block_only() {
    for dtype in [DType::Q4_K, DType::Q5_K, DType::Q6_K] {
        let mut values: Vec<f32> = (0..256).map(|i| (i as f32 * 0.7).sin()).collect();
        values[40] = 30.0;
        let back = there_and_back(&values, dtype);
        let worst = |range: std::ops::Range<usize>| {
            values[range.clone()].iter().zip(&back[range]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        assert!((back[40] - 30.0).abs() < 1.0, "{dtype}: {}", back[40]);
        assert!(worst(64..256) < 0.35, "{dtype}: {}", worst(64..256));
    }
}

#[test]
fn rows_above_zero_cost_no_more_than_their_mirror_image() {
    let above: Vec<f32> = (0..256).map(|i| 5.0 + (i as f32 * 0.7).sin()).collect();
    let below: Vec<f32> = above.iter().map(|value| -value).collect();
    for dtype in [DType::Q2_K, DType::Q4_K, DType::Q5_K] {
        let mirrored: Vec<f32> = there_and_back(&below, dtype).iter().map(|value| -value).collect();
        assert_eq!(there_and_back(&above, dtype), mirrored, "{dtype}");
    }
}

#[test]
fn columns_without_importance_do_not_disturb_the_others() {
    let values: Vec<f32> = (0..256).map(|i| (i as f32 * 0.7).sin()).collect();
    for dtype in TYPES {
        let none = encoded(&values, Some(&[0.0; 256]), dtype);
        assert_eq!(none, encoded(&values, Some(&[f32::NAN; 256]), dtype), "{dtype}");
        assert!(error(&values, &decoded(&none, dtype), None) < 256.0 * 0.05, "{dtype}");
        let mut importance = [0.0; 256];
        importance[..8].fill(1.0);
        let back = decoded(&encoded(&values, Some(&importance), dtype), dtype);
        let plain = there_and_back(&values, dtype);
        assert!(error(&values[..8], &back[..8], None) <= error(&values[..8], &plain[..8], None), "{dtype}");
    }
}

#[test]
fn the_first_guess_at_a_scale_is_never_rounded_towards_zero() {
    assert_eq!(half_above(1e-9), f16::from_bits(1));
    assert_eq!(half_above(-1e-9), -f16::from_bits(1));
    assert_eq!(half_above(1.0), f16::ONE);
    assert_eq!(half_above(1.000_001).to_bits(), f16::ONE.to_bits() + 1);
    assert_eq!((half_above(1e9), half_above(-1e9)), (f16::MAX, f16::MIN));
}
