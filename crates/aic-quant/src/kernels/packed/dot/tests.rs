//! The program over lanes without vectors, on every machine.
use std::array;

use half::f16;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::layout::Group;
use super::super::layout::ROWS;
use super::super::product::{Product, Scratch, multiply_with};
use super::super::tests::{Source, all, check, columns_of, input};
use super::*;
use crate::kernels::{InstructionSet, Pool};

/// Sixteen numbers; `SIGNED` if dot products are of weights with a sign.
#[derive(Clone, Copy)]
struct Twin<const SIGNED: bool>;

impl<const SIGNED: bool> Lanes for Twin<SIGNED> {
    const REGISTERS: usize = if SIGNED { 8 } else { 32 };
    /// Whether or not, what comes out must be the same.
    const NARROW: bool = SIGNED;

    type Sums = [u32; ROWS];
    type Whole = [i32; ROWS];
    type Codes = [u32; ROWS];
    type Floats = [f32; ROWS];

    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        work()
    }

    fn prefetch(self, _: *const u8) {}

    fn load(self, group: &Group) -> [u32; ROWS] {
        *group
    }

    fn splat(self, lane: u32) -> [u32; ROWS] {
        [lane; ROWS]
    }

    fn and(self, a: [u32; ROWS], b: [u32; ROWS]) -> [u32; ROWS] {
        array::from_fn(|i| a[i] & b[i])
    }

    fn xor(self, a: [u32; ROWS], b: [u32; ROWS]) -> [u32; ROWS] {
        array::from_fn(|i| a[i] ^ b[i])
    }

    fn or(self, a: [u32; ROWS], b: [u32; ROWS]) -> [u32; ROWS] {
        array::from_fn(|i| a[i] | b[i])
    }

    fn shift(self, codes: [u32; ROWS], by: i32) -> [u32; ROWS] {
        codes.map(|code| if by < 0 { code >> -by } else { code << by })
    }

    fn look_up(self, table: &[u8; 16], places: [u32; ROWS]) -> [u32; ROWS] {
        places.map(|places| u32::from_le_bytes(places.to_le_bytes().map(|place| table[usize::from(place)])))
    }

    fn with_offset(self, offset: i32, codes: [u32; ROWS]) -> [u32; ROWS] {
        if SIGNED && offset == 128 { self.xor(codes, [0x8080_8080; ROWS]) } else { codes }
    }

    fn begin(self, offset: i32, pair: [i16; 2]) -> [u32; ROWS] {
        let total = i32::from(pair[0]) + i32::from(pair[1]);
        self.splat(if SIGNED && offset == 128 { 0 } else { (-offset * total) as u32 })
    }

    fn dot(self, _: i32, sum: [u32; ROWS], weights: [u32; ROWS], input: [u32; ROWS]) -> [u32; ROWS] {
        let weight = |byte: u8| if SIGNED { i32::from(byte as i8) } else { i32::from(byte) };
        array::from_fn(|i| {
            let pairs = weights[i].to_le_bytes().into_iter().zip(input[i].to_le_bytes());
            let products = pairs.map(|(a, b)| weight(a) * i32::from(b as i8));
            sum[i].wrapping_add(products.sum::<i32>() as u32)
        })
    }

    fn steps(self, steps: &[u8; ROWS]) -> [i32; ROWS] {
        steps.map(i32::from)
    }

    fn signed_steps(self, steps: &[i8; ROWS]) -> [i32; ROWS] {
        steps.map(i32::from)
    }

    fn widen(self, whole: Option<[i32; ROWS]>, sums: [u32; ROWS], steps: [i32; ROWS]) -> [i32; ROWS] {
        let whole = whole.unwrap_or_default();
        array::from_fn(|i| whole[i] + sums[i] as i32 * steps[i])
    }

    fn whole_floats(self, whole: [i32; ROWS]) -> [f32; ROWS] {
        assert!(whole.iter().all(|whole| whole.unsigned_abs() < 1 << 24), "{whole:?}");
        whole.map(|whole| whole as f32)
    }

    fn reinterpret(self, bits: [u32; ROWS]) -> [f32; ROWS] {
        bits.map(f32::from_bits)
    }

    fn load_floats(self, numbers: &[f32; ROWS]) -> [f32; ROWS] {
        *numbers
    }

    fn halves(self, bits: &[u16; ROWS]) -> [f32; ROWS] {
        bits.map(|bits| f16::from_bits(bits).to_f32())
    }

    fn bytes(self, numbers: &[u8; ROWS]) -> [f32; ROWS] {
        numbers.map(f32::from)
    }

    fn zero(self) -> [f32; ROWS] {
        [0.0; ROWS]
    }

    fn splat_float(self, number: f32) -> [f32; ROWS] {
        [number; ROWS]
    }

    fn multiply_add(self, a: [f32; ROWS], b: [f32; ROWS], c: [f32; ROWS]) -> [f32; ROWS] {
        array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }

    fn numbers(self, floats: [f32; ROWS]) -> [f32; ROWS] {
        floats
    }
}

fn products_are_right(lanes: impl Lanes + Sync, of: &str) {
    let (mut rng, pool) = (StdRng::seed_from_u64(1), Pool::new(1).unwrap());
    for dtype in all() {
        for (rows, blocks, tokens) in [(1, 1, 1), (17, 7, 2), (40, 9, 15)] {
            let source = Source::random(dtype, rows, columns_of(dtype, blocks), &mut rng);
            let weights = source.pack(InstructionSet::Scalar, &pool);
            let input = input(tokens * source.columns, &mut rng);
            let mut output = vec![f32::NAN; tokens * rows];
            let products = &mut [Product { weights: &weights, output: &mut output }];
            multiply_with(
                |tile| compute(lanes, tile),
                &pool,
                &mut Scratch::default(),
                &input,
                tokens,
                products,
            );
            check(&output, &source, &input, tokens, of);
        }
    }
}

#[test]
fn products_without_signs_are_those_of_the_decoded_weights() {
    products_are_right(Twin::<false>, "without signs");
}

#[test]
fn products_with_signs_are_those_of_the_decoded_weights() {
    products_are_right(Twin::<true>, "with signs");
}
