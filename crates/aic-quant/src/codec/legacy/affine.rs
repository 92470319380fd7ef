//! Four or five bits, a scale and a minimum: code `q` stands for `scale · q + minimum`, where `q` is at most 15 or 31.
//!
//! ggml's reference lets the codes span the block's smallest and largest number. Here that is one of a few spans tried; for
//! the codes that each gives, scale and minimum come from a weighted least-squares line, and the span with the least error
//! is kept. Last, the codes are rounded anew with scale and minimum as they are stored, in 16 bits. The weights are the
//! importance itself, as in [`symmetric`](super::symmetric).
use crate::DType;
use crate::codec::blocks::{self, Encoder, SCALE_LIMIT, inverse, scale_bits};
use crate::codec::lanes::{Block, Eight};

/// A way to lay the codes over a block.
struct Span {
    /// By how many steps the block's numbers are wider than the codes.
    wider: f32,
    /// By how many steps the smallest number lies below code 0.
    below: f32,
}

/// Found one after the other, each the best addition to those before, on Gaussian, Laplace and uniform rows. On these they take 10 % from the error (root mean square) of the reference.
const QUICK: &[Span] = &[
    Span { wider: 0.0, below: 0.0 },
    Span { wider: 0.25, below: 0.5 },
    Span { wider: 0.5, below: 0.0 },
    Span { wider: -0.5, below: 0.25 },
    Span { wider: 0.25, below: 0.25 },
];

/// A grid around the block's own width, for importance.
const THOROUGH: &[Span] = &{
    let mut spans = [const { Span { wider: 0.0, below: 0.0 } }; 39];
    let mut i = 0;
    while i < spans.len() {
        let wider = (i / 3) as f32 * 0.25 - 1.5;
        spans[i] = Span { wider, below: 0.5 * wider + (i % 3) as f32 * 0.25 - 0.25 };
        i += 1;
    }
    spans
};

pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, dtype: DType, out: &mut [u8]) {
    match dtype {
        DType::Q4_1 => blocks::encode(values, importance, out, Q4_1),
        _ => blocks::encode(values, importance, out, Q5_1),
    }
}

pub(super) fn decode(bytes: &[u8], dtype: DType, out: &mut [f32]) {
    match dtype {
        DType::Q4_1 => blocks::decode(
            bytes,
            out,
            #[inline(always)]
            |block: &[u8; 20]| decode_line(block, &blocks::from_nibbles(&blocks::part(block, 4))),
        ),
        _ => blocks::decode(
            bytes,
            out,
            #[inline(always)]
            |block: &[u8; 24]| {
                let codes = blocks::from_nibbles(&blocks::part(block, 8));
                decode_line(block, &blocks::with_fifth_bits(codes, blocks::part(block, 4)))
            },
        ),
    }
}

#[inline(always)]
fn decode_line(block: &[u8], codes: &[u8; 32]) -> [f32; 32] {
    let (scale, minimum) = (blocks::half_at(block, 0), blocks::half_at(block, 2));
    blocks::numbers(codes, |code| f32::from(code) * scale + minimum)
}

#[allow(non_camel_case_types)]
struct Q4_1;

impl Encoder<32, 20> for Q4_1 {
    #[inline(always)]
    fn encode<S: Eight, const N: usize>(
        &self,
        simd: S,
        blocks: &[[f32; 32]; N],
        importance: Option<&[[f32; 32]; N]>,
        out: &mut [[u8; 20]; N],
    ) {
        for i in 0..N {
            out[i] = encode_q4_1(simd, &blocks[i], importance.map(|blocks| &blocks[i]));
        }
    }
}

#[inline(always)]
fn encode_q4_1<S: Eight>(simd: S, numbers: &[f32; 32], importance: Option<&[f32; 32]>) -> [u8; 20] {
    let (line, codes) = search(simd, numbers, importance, 15.0);
    let mut out = [0; 20];
    out[..4].copy_from_slice(&line);
    out[4..].copy_from_slice(&blocks::nibbles(&codes));
    out
}

#[allow(non_camel_case_types)]
struct Q5_1;

impl Encoder<32, 24> for Q5_1 {
    #[inline(always)]
    fn encode<S: Eight, const N: usize>(
        &self,
        simd: S,
        blocks: &[[f32; 32]; N],
        importance: Option<&[[f32; 32]; N]>,
        out: &mut [[u8; 24]; N],
    ) {
        for i in 0..N {
            out[i] = encode_q5_1(simd, &blocks[i], importance.map(|blocks| &blocks[i]));
        }
    }
}

#[inline(always)]
fn encode_q5_1<S: Eight>(simd: S, numbers: &[f32; 32], importance: Option<&[f32; 32]>) -> [u8; 24] {
    let (line, codes) = search(simd, numbers, importance, 31.0);
    let mut out = [0; 24];
    out[..4].copy_from_slice(&line);
    out[4..8].copy_from_slice(&blocks::fifth_bits(&codes));
    out[8..].copy_from_slice(&blocks::nibbles(&codes));
    out
}

/// The bytes of scale and minimum, and the codes, which are at most `n`.
#[inline(always)]
fn search<S: Eight>(
    simd: S,
    numbers: &[f32; 32],
    importance: Option<&[f32; 32]>,
    n: f32,
) -> ([u8; 4], [u8; 32]) {
    let block = Block::load(simd, numbers).clamp(-SCALE_LIMIT, SCALE_LIMIT);
    let low = block.smallest();
    let width = block.largest() - low;
    let unit = (block - low) * inverse(width);
    let (slope, offset) = match importance {
        None => best_line(unit, Block::splat(simd, 1.0), n, QUICK),
        Some(importance) => best_line(unit, blocks::weights(simd, importance), n, THOROUGH),
    };
    let scale = scale_bits(width * slope).to_le_bytes();
    let minimum = scale_bits(low + width * offset).to_le_bytes();
    let line = [scale[0], scale[1], minimum[0], minimum[1]];
    let (inverse, minimum) = (inverse(blocks::half_at(&line, 0)), blocks::half_at(&line, 2));
    (line, ((block - minimum) * inverse).clamp(0.0, n).bytes())
}

/// Scale and minimum with the least error for numbers from 0 to 1.
#[inline(always)]
fn best_line<S: Eight>(unit: Block<S>, weights: Block<S>, n: f32, spans: &[Span]) -> (f32, f32) {
    let weight = weights.sum();
    let numbers = (weights * unit).sum();
    let (mut best, mut line) = (0.0, (0.0, numbers / weight));
    for Span { wider, below } in spans {
        let codes = (unit * (n + wider) - *below).clamp(0.0, n).round();
        let weighted = codes * weights;
        let sum = weighted.sum();
        let squares = (weighted * codes).sum();
        let products = (weighted * unit).sum();
        let mean = sum / weight;
        let covariance = products - mean * numbers;
        let slope = covariance / (squares - mean * sum);
        // The error is what this takes from that of the mean alone.
        let gain = slope * covariance;
        if gain > best {
            (best, line) = (gain, (slope, (numbers - slope * sum) / weight));
        }
    }
    line
}
