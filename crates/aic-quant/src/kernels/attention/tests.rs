use std::ops::Range;

use half::f16;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::kernels::vectors::Vectors;
use crate::kernels::{InstructionSet, Pool};

/// A layer to attend in, with everything random.
#[derive(Clone, Debug)]
struct Case {
    shape: LayerShape,
    group: usize,
    types: [CacheType; 2],
    softcap: Option<f32>,
    window: Option<usize>,
    /// First position and tokens of each sequence.
    spans: Vec<(usize, usize)>,
    threads: usize,
    /// Scores lie about within this.
    reach: f32,
    seed: u64,
}

/// One sequence: all its keys and values from position 0 on, `[positions, kv_heads · size]`, and its pages.
struct Sequence {
    keys: Vec<f32>,
    values: Vec<f32>,
    pages: Vec<u32>,
}

impl Case {
    fn options(&self) -> AttentionOptions {
        AttentionOptions {
            heads: self.shape.kv_heads * self.group,
            scale: self.reach / (self.shape.key_size as f32).sqrt(),
            softcap: self.softcap,
            window: self.window,
        }
    }

    /// Sequences whose pages lie anywhere, stored in chunks into a store full of dirt.
    fn sequences(&self, rng: &mut StdRng, vectors: &Vectors<'_>) -> (KvStore, Vec<Sequence>) {
        let LayerShape { kv_heads, key_size, value_size } = self.shape;
        let pages = |(start, rows): &(usize, usize)| (start + rows).div_ceil(PAGE);
        let count = self.spans.iter().map(pages).sum::<usize>() + 2;
        let mut free: Vec<u32> = (0..count as u32).collect();
        free.shuffle(rng);
        let mut store = KvStore::new(&[self.shape; 2], self.types[0], self.types[1], count).unwrap();
        store.soil();
        let sequences = self.spans.iter().map(|span| {
            let length = span.0 + span.1;
            let sequence = Sequence {
                keys: numbers(rng, length * kv_heads * key_size),
                values: numbers(rng, length * kv_heads * value_size),
                pages: free.split_off(free.len() - pages(span)),
            };
            let middle = rng.random_range(0..=length);
            for part in [0..middle, middle..length] {
                let of = |size: usize| part.start * kv_heads * size..part.end * kv_heads * size;
                let (keys, values) = (&sequence.keys[of(key_size)], &sequence.values[of(value_size)]);
                store.store(vectors, 1, &sequence.pages, part.start, keys, values);
            }
            sequence
        });
        let sequences = sequences.collect();
        (store, sequences)
    }

    fn spans<'a>(&self, sequences: &'a [Sequence]) -> Vec<Span<'a>> {
        let mut first_row = 0;
        let spans = self.spans.iter().zip(sequences).map(|((start, rows), sequence)| {
            let span = Span { first_row, rows: *rows, start: *start, pages: &sequence.pages };
            first_row += rows;
            span
        });
        spans.collect()
    }

    fn rows(&self) -> usize {
        self.spans.iter().map(|(_, rows)| rows).sum()
    }

    /// Attention by its definition, in 64 bits, of one query over the kept keys and values in `visible`.
    fn expected(
        &self,
        query: &[f32],
        keys: &[f32],
        values: &[f32],
        visible: Range<usize>,
        head: usize,
    ) -> Vec<f64> {
        let LayerShape { kv_heads, key_size, value_size } = self.shape;
        let scale = f64::from(self.reach / (key_size as f32).sqrt());
        let score = |position: usize| {
            let key = &keys[(position * kv_heads + head) * key_size..][..key_size];
            let score =
                query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() * scale;
            self.softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
        };
        let scores: Vec<f64> = visible.clone().map(score).collect();
        let largest = scores.iter().copied().fold(f64::MIN, f64::max);
        let shares: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let sum: f64 = shares.iter().sum();
        let mixed = |number: usize| {
            let value =
                |position: usize| f64::from(values[(position * kv_heads + head) * value_size + number]);
            visible.clone().zip(&shares).map(|(position, share)| share * value(position)).sum::<f64>() / sum
        };
        (0..value_size).map(mixed).collect()
    }

    /// How far off 32-bit arithmetic may be: an error in a score is one in the ratio of its share.
    fn tolerance(&self) -> f64 {
        1e-5 + 4e-6 * f64::from(self.reach.min(self.softcap.unwrap_or(f32::MAX)))
    }

    fn check(&self, instructions: InstructionSet) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let pool = Pool::new(self.threads).unwrap();
        let vectors = Vectors::new(&pool, instructions);
        let (store, sequences) = self.sequences(&mut rng, &vectors);
        let (spans, heads) = (self.spans(&sequences), self.shape.kv_heads * self.group);
        let LayerShape { kv_heads, key_size, value_size } = self.shape;
        let queries = numbers(&mut rng, self.rows() * heads * key_size);
        let mut out = vec![f32::NAN; self.rows() * heads * value_size];
        attend(&vectors, &store, 1, &spans, &queries, &self.options(), &mut out);

        for (span, sequence) in spans.iter().zip(&sequences) {
            let keys = kept(self.types[0], &sequence.keys, kv_heads * key_size);
            let values = kept(self.types[1], &sequence.values, kv_heads * value_size);
            for row in 0..span.rows {
                let end = span.start + row + 1;
                let visible = end - self.window.unwrap_or(end).min(end)..end;
                for head in 0..heads {
                    let at = (span.first_row + row) * heads + head;
                    let query = &queries[at * key_size..][..key_size];
                    let expected = self.expected(query, &keys, &values, visible.clone(), head / self.group);
                    for (found, expected) in out[at * value_size..][..value_size].iter().zip(expected) {
                        let off = (f64::from(*found) - expected).abs();
                        assert!(off <= self.tolerance(), "row {row}, head {head}: {found}, not {expected}");
                    }
                }
            }
        }
    }
}

fn numbers(rng: &mut StdRng, count: usize) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// What rows become by being kept, found without the store.
fn kept(kind: CacheType, numbers: &[f32], width: usize) -> Vec<f32> {
    let block = |block: &[f32]| {
        let further = |a: f32, b: f32| if b.abs() > a.abs() || b == -a.abs() { b } else { a };
        let largest = block.iter().copied().fold(0.0_f32, further);
        let half = |x: f32| f16::from_f32(x).to_f32();
        let (scale, low, high) = match kind {
            CacheType::F16 => return block.iter().copied().map(half).collect(),
            CacheType::Q8_0 => (half(largest.abs() / 127.0), -127.0, 127.0),
            CacheType::Q4_0 => (half(largest / -8.0), -8.0, 7.0),
        };
        let code = |x: f32| (x * scale.recip()).round_ties_even().clamp(low, high);
        block.iter().map(|x| code(*x) * scale).collect::<Vec<f32>>()
    };
    assert!(width.is_multiple_of(32) || kind == CacheType::F16);
    numbers.chunks(32).flat_map(block).collect()
}

fn case() -> impl Strategy<Value = Case> {
    let kind = || prop_oneof![Just(CacheType::F16), Just(CacheType::Q8_0), Just(CacheType::Q4_0)];
    let size = || prop::sample::select(vec![1_usize, 8, 40, 64, 80, 96, 128, 256]);
    let spans = prop::collection::vec((0_usize..200, prop_oneof![Just(1_usize), 1_usize..50]), 1..4);
    let softcap = prop::option::of(prop::sample::select(vec![0.5_f32, 30.0]));
    let window = prop::option::of(1_usize..120);
    let reach = prop::sample::select(vec![0.1_f32, 1.0, 20.0]);
    (
        1_usize..4,
        size(),
        size(),
        1_usize..6,
        [kind(), kind()],
        softcap,
        window,
        spans,
        1_usize..4,
        (reach, any::<u64>()),
    )
        .prop_map(
            |(
                kv_heads,
                key_size,
                value_size,
                group,
                types,
                softcap,
                window,
                spans,
                threads,
                (reach, seed),
            )| {
                let suits =
                    |kind: CacheType, size| if kind.check(size).is_ok() { kind } else { CacheType::F16 };
                let types = [suits(types[0], key_size), suits(types[1], value_size)];
                let shape = LayerShape { kv_heads, key_size, value_size };
                Case { shape, group, types, softcap, window, spans, threads, reach, seed }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn attention_is_what_its_definition_says_with_every_instruction_set(case in case()) {
        for instructions in InstructionSet::available() {
            case.check(instructions);
        }
    }
}

fn plain(spans: Vec<(usize, usize)>) -> Case {
    Case {
        shape: LayerShape { kv_heads: 2, key_size: 64, value_size: 64 },
        group: 4,
        types: [CacheType::F16; 2],
        softcap: None,
        window: None,
        spans,
        threads: 2,
        reach: 1.0,
        seed: 7,
    }
}

#[test]
fn a_token_far_into_a_text_sees_all_of_it_split_among_threads() {
    for types in [[CacheType::F16; 2], [CacheType::Q8_0, CacheType::Q4_0]] {
        let shape = LayerShape { kv_heads: 1, ..plain(vec![]).shape };
        Case { shape, types, threads: 4, ..plain(vec![(2999, 1), (1000, 2)]) }.check(InstructionSet::best());
    }
}

#[test]
fn scores_of_ten_thousand_mix_values_without_overflow() {
    for softcap in [None, Some(50.0)] {
        let case = Case { reach: 1e5, softcap, ..plain(vec![(70, 20), (0, 1)]) };
        let mut rng = StdRng::seed_from_u64(1);
        let pool = Pool::new(2).unwrap();
        let (store, sequences) = case.sequences(&mut rng, &Vectors::new(&pool, InstructionSet::best()));
        let queries = numbers(&mut rng, 21 * 8 * 64);
        for instructions in InstructionSet::available() {
            let vectors = Vectors::new(&pool, instructions);
            let mut out = vec![f32::NAN; 21 * 8 * 64];
            attend(&vectors, &store, 1, &case.spans(&sequences), &queries, &case.options(), &mut out);

            assert!(out.iter().all(|x| x.abs() <= 1.001), "values between -1 and 1 mix to such");
        }
    }
}

#[test]
fn a_number_that_is_none_is_not_hidden() {
    let pool = Pool::new(1).unwrap();
    let shape = LayerShape { kv_heads: 1, key_size: 8, value_size: 8 };
    for instructions in InstructionSet::available() {
        let vectors = Vectors::new(&pool, instructions);
        let mut store = KvStore::new(&[shape], CacheType::F16, CacheType::F16, 1).unwrap();
        let options = Case { shape, group: 1, ..plain(vec![]) }.options();
        let span = [Span { first_row: 0, rows: 1, start: 0, pages: &[0] }];
        store.store(&vectors, 0, &[0], 0, &[f32::NAN; 8], &[1.0; 8]);
        let mut out = [0.0; 8];
        attend(&vectors, &store, 0, &span, &[1.0; 8], &options, &mut out);

        assert!(out.iter().all(|x| x.is_nan()));
    }
}

#[test]
fn numbers_beyond_16_bits_are_kept_as_the_largest_there_is() {
    let pool = Pool::new(1).unwrap();
    let vectors = Vectors::new(&pool, InstructionSet::best());
    let shape = LayerShape { kv_heads: 1, key_size: 32, value_size: 32 };
    for kind in [CacheType::F16, CacheType::Q8_0, CacheType::Q4_0] {
        let mut store = KvStore::new(&[shape], kind, kind, 1).unwrap();
        store.store(&vectors, 0, &[0], 0, &[1e30; 32], &[-1e30; 32]);
        let mut tile = vec![0.0; 32 * PAGE];
        tile::keys(InstructionSet::Scalar, kind, store.parts(0, 0, 0)[0], 32, &mut tile);

        assert!(tile[0] >= 65504.0 && tile[0].is_finite());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn attention_in_both_directions_is_what_its_definition_says(
        tokens in 1_usize..150,
        size in prop::sample::select(vec![5_usize, 32, 64, 96]),
        group in 1_usize..3,
        threads in 1_usize..3,
        seed: u64,
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let shape = LayerShape { kv_heads: 3, key_size: size, value_size: size };
        let (case, heads) = (Case { shape, group, ..plain(vec![]) }, 3 * group);
        let [keys, values] = [(); 2].map(|()| numbers(&mut rng, tokens * 3 * size));
        let queries = numbers(&mut rng, tokens * heads * size);
        for instructions in InstructionSet::available() {
            let mut out = vec![f32::NAN; queries.len()];
            let pool = Pool::new(threads).unwrap();
            let vectors = Vectors::new(&pool, instructions);
            attend_all(&vectors, shape, &queries, &keys, &values, &case.options(), &mut out);

            for (at, (query, out)) in queries.chunks(size).zip(out.chunks(size)).enumerate() {
                let expected = case.expected(query, &keys, &values, 0..tokens, at % heads / group);
                for (found, expected) in out.iter().zip(expected) {
                    prop_assert!((f64::from(*found) - expected).abs() <= case.tolerance());
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "overlap")]
fn spans_that_share_a_row_are_refused() {
    let case = plain(vec![(0, 2), (0, 2)]);
    let pool = Pool::new(1).unwrap();
    let vectors = Vectors::new(&pool, InstructionSet::best());
    let (store, sequences) = case.sequences(&mut StdRng::seed_from_u64(1), &vectors);
    let mut spans = case.spans(&sequences);
    spans[1].first_row = 1;
    attend(&vectors, &store, 1, &spans, &[0.0; 4 * 8 * 64], &case.options(), &mut [0.0; 4 * 8 * 64]);
}
