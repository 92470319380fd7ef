use proptest::prelude::*;

use super::*;

fn numbers(size: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-10.0_f32..10.0, size)
}

/// Rows, with a weight and a bias for each column.
fn rows() -> impl Strategy<Value = (Vec<f32>, Vec<f32>, Vec<f32>)> {
    (1_usize..100, 1_usize..6)
        .prop_flat_map(|(size, rows)| (numbers(size * rows), numbers(size), numbers(size)))
}

/// Calls `check` with every instruction set and one or more threads.
fn each(check: impl Fn(&Vectors<'_>)) {
    for threads in [1, 3] {
        let pool = Pool::new(threads).unwrap();
        InstructionSet::available().into_iter().for_each(|set| check(&Vectors::new(&pool, set)));
    }
}

fn assert_near(found: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (f64::from(*found) - expected).abs();
        assert!(off <= bound * (1.0 + expected.abs()), "{found}, not {expected}, at {i}");
    }
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().copied().map(f64::from).collect()
}

fn mean(numbers: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = numbers.len() as f64;
    numbers.sum::<f64>() / count
}

fn rms_norm(rows: &[f32], weight: &[f32], epsilon: f32) -> Vec<f64> {
    let norm = |row: &[f32]| {
        let root = (mean(row.iter().map(|x| f64::from(*x).powi(2))) + f64::from(epsilon)).sqrt();
        row.iter()
            .zip(weight)
            .map(|(x, weight)| f64::from(*x) / root * f64::from(*weight))
            .collect::<Vec<_>>()
    };
    rows.chunks(weight.len()).flat_map(norm).collect()
}

fn layer_norm(rows: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f64> {
    let norm = |row: &[f32]| {
        let mean_of_row = mean(wide(row).into_iter());
        let variance = mean(row.iter().map(|x| (f64::from(*x) - mean_of_row).powi(2)));
        let root = (variance + f64::from(epsilon)).sqrt();
        let one = |(x, (weight, bias)): (&f32, (&f32, &f32))| {
            (f64::from(*x) - mean_of_row) / root * f64::from(*weight) + f64::from(*bias)
        };
        row.iter().zip(weight.iter().zip(bias)).map(one).collect::<Vec<_>>()
    };
    rows.chunks(weight.len()).flat_map(norm).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn norms_are_what_their_formulae_say((rows, weight, bias) in rows(), epsilon in 1e-6_f32..1e-2) {
        each(|vectors| {
            let mut out = vec![0.0; rows.len()];
            vectors.rms_norm(&rows, &weight, epsilon, &mut out);
            assert_near(&out, &rms_norm(&rows, &weight, epsilon), 1e-5);
            out.copy_from_slice(&rows);
            vectors.layer_norm(&mut out, &weight, &bias, epsilon);
            assert_near(&out, &layer_norm(&rows, &weight, &bias, epsilon), 1e-4);
        });
    }

    #[test]
    fn activations_act_on_every_number(count in 1_usize..20_000, start in -8.0_f32..8.0) {
        let numbers: Vec<f32> = (0..count).map(|i| start - 0.001 * i as f32).collect();
        let others: Vec<f32> = numbers.iter().map(|x| 3.0 - x).collect();
        type Function = fn(f32, bool) -> f32;
        type Map = fn(&Vectors<'_>, &mut [f32]);
        type Zip = fn(&Vectors<'_>, &mut [f32], &[f32]);
        let maps: [(Map, Function); 3] = [
            (|vectors, x| vectors.gelu(x), functions::gelu),
            (|vectors, x| vectors.scale(x, 0.5), |x, _| 0.5 * x),
            (|vectors, x| vectors.softcap(x, 5.0), |x, fused| 5.0 * functions::tanh(x / 5.0, fused)),
        ];
        let zips: [(Zip, Function); 3] = [
            (|vectors, x, y| vectors.silu_multiply(x, y), |x, fused| functions::silu(x, fused) * (3.0 - x)),
            (|vectors, x, y| vectors.gelu_tanh_multiply(x, y), |x, fused| functions::gelu_tanh(x, fused) * (3.0 - x)),
            (|vectors, x, y| vectors.add(x, y), |x, _| x + (3.0 - x)),
        ];
        each(|vectors| {
            for (map, function) in maps {
                let mut found = numbers.clone();
                map(vectors, &mut found);
                let expected: Vec<f64> = numbers.iter().map(|x| f64::from(function(*x, false))).collect();
                assert_near(&found, &expected, 1e-6);
            }
            for (zip, function) in zips {
                let mut found = numbers.clone();
                zip(vectors, &mut found, &others);
                let expected: Vec<f64> = numbers.iter().map(|x| f64::from(function(*x, false))).collect();
                assert_near(&found, &expected, 1e-5);
            }
        });
    }

    #[test]
    fn rope_turns_each_pair_by_its_angle(
        heads in numbers(3 * 2 * 24),
        turned in prop::sample::select(vec![2_usize, 8, 16, 20, 24]),
        start in 0_usize..100_000,
        factor in 0.5_f64..2.0,
        neighbours: bool,
    ) {
        let frequency = |pair: usize| 10_000_f64.powf(-2.0 * pair as f64 / turned as f64);
        let frequencies: Vec<f64> = (0..turned / 2).map(frequency).collect();
        let angles = Angles::new(&frequencies, factor, [start, start + 1, 5]);
        let pairs = if neighbours { Pairs::Neighbours } else { Pairs::Halves };
        let mut expected = wide(&heads);
        for (row, position) in [start, start + 1, 5].into_iter().enumerate() {
            for (head, pair) in (0..2).flat_map(|head| (0..turned / 2).map(move |pair| (head, pair))) {
                let at = (row * 2 + head) * 24;
                let [a, b] = if neighbours { [2 * pair, 2 * pair + 1] } else { [pair, pair + turned / 2] };
                let (x, y) = (expected[at + a], expected[at + b]);
                let (sine, cosine) = (position as f64 * frequency(pair)).sin_cos();
                expected[at + a] = factor * (x * cosine - y * sine);
                expected[at + b] = factor * (x * sine + y * cosine);
            }
        }
        each(|vectors| {
            let mut found = heads.clone();
            vectors.rope(&mut found, 24, pairs, &angles);
            assert_near(&found, &expected, 1e-5);
        });
    }
}

#[test]
fn bias_is_added_to_every_row() {
    each(|vectors| {
        let mut rows = [1.0, 2.0, 3.0, 4.0];
        vectors.add_bias(&mut rows, &[10.0, 20.0]);
        assert_eq!(rows, [11.0, 22.0, 13.0, 24.0]);
    });
}

#[test]
fn many_rows_are_shared_among_threads_without_a_gap() {
    each(|vectors| {
        let (weight, rows) = (vec![1.0; 1000], vec![2.0; 101 * 1000]);
        let mut out = vec![0.0; rows.len()];
        vectors.rms_norm(&rows, &weight, 0.0, &mut out);
        assert!(out.iter().all(|x| (x - 1.0).abs() < 1e-6));
    });
}
