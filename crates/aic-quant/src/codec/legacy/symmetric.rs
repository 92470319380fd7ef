//! Four or five bits and one scale: code `q` stands for `scale · (q − n)`, where `n` is 8 or 16.
//!
//! ggml's reference gives the number furthest from zero the code 0, whatever that does to the others. Here that is one of a
//! few scales tried; for the codes that each gives, the least-squares scale is `Σ w·x·q / Σ w·q²`, and the scale with the
//! least error is kept. This is the idea of ggml's `make_qx_quants`, which is used with importance only and tries 19 scales.
//! Weights here are the importance itself, not scaled by the numbers' size: the error made least is the error stated. Last,
//! the codes are rounded anew with the scale as it is stored, in 16 bits.
use crate::DType;
use crate::codec::blocks::{self, Encoder, SCALE_LIMIT, extreme, inverse, scale_bits};
use crate::codec::floats::f16_to_f32;
use crate::codec::lanes::{Block, Eight};

/// How far beyond code 0 the number furthest from zero is put, in steps. The first is the reference's way, so that no block
/// comes out worse. On Gaussian rows these three take 5 % from its error (root mean square), and thirty-one take 6 %.
const QUICK: &[f32] = &[0.0, 0.45, -0.8];

/// The same with importance, which moves the best scale further away; found one after the other, each the best addition to
/// those before, on Gaussian, Laplace and uniform rows.
const THOROUGH: &[f32] = &[0.2, 1.2, -0.8, 2.6, -1.8, -0.2, 0.6, 4.0, -1.2, 1.8, -0.6, 0.0];

pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, dtype: DType, out: &mut [u8]) {
    match dtype {
        DType::Q4_0 => blocks::encode(values, importance, out, Q4_0),
        _ => blocks::encode(values, importance, out, Q5_0),
    }
}

pub(super) fn decode(bytes: &[u8], dtype: DType, out: &mut [f32]) {
    match dtype {
        DType::Q4_0 => blocks::decode(
            bytes,
            out,
            #[inline(always)]
            |block: &[u8; 18]| {
                let scale = blocks::half_at(block, 0);
                let codes = blocks::from_nibbles(&blocks::part(block, 2));
                blocks::numbers(&codes, |code| (f32::from(code) - 8.0) * scale)
            },
        ),
        _ => blocks::decode(
            bytes,
            out,
            #[inline(always)]
            |block: &[u8; 22]| {
                let scale = blocks::half_at(block, 0);
                let codes = blocks::from_nibbles(&blocks::part(block, 6));
                let codes = blocks::with_fifth_bits(codes, blocks::part(block, 2));
                blocks::numbers(&codes, |code| (f32::from(code) - 16.0) * scale)
            },
        ),
    }
}

#[allow(non_camel_case_types)]
struct Q4_0;

impl Encoder<32, 18> for Q4_0 {
    #[inline(always)]
    fn encode<S: Eight>(&self, simd: S, numbers: &[f32; 32], importance: Option<&[f32; 32]>) -> [u8; 18] {
        let (scale, codes) = search(simd, numbers, importance, 8.0);
        let mut out = [0; 18];
        out[..2].copy_from_slice(&scale.to_le_bytes());
        out[2..].copy_from_slice(&blocks::nibbles(&codes));
        out
    }
}

#[allow(non_camel_case_types)]
struct Q5_0;

impl Encoder<32, 22> for Q5_0 {
    #[inline(always)]
    fn encode<S: Eight>(&self, simd: S, numbers: &[f32; 32], importance: Option<&[f32; 32]>) -> [u8; 22] {
        let (scale, codes) = search(simd, numbers, importance, 16.0);
        let mut out = [0; 22];
        out[..2].copy_from_slice(&scale.to_le_bytes());
        out[2..6].copy_from_slice(&blocks::fifth_bits(&codes));
        out[6..].copy_from_slice(&blocks::nibbles(&codes));
        out
    }
}

/// The bits of the scale, and the codes.
#[inline(always)]
fn search<S: Eight>(simd: S, numbers: &[f32; 32], importance: Option<&[f32; 32]>, n: f32) -> (u16, [u8; 32]) {
    let limit = SCALE_LIMIT * n;
    let block = Block::load(simd, numbers).clamp(-limit, limit);
    let extreme = extreme(block);
    let unit = block * inverse(extreme);
    let ratio = match importance {
        None => best_ratio(unit, None, n, QUICK),
        Some(importance) => best_ratio(unit, Some(blocks::weights(simd, importance)), n, THOROUGH),
    };
    let scale = scale_bits(extreme * ratio);
    let inverse = inverse(f16_to_f32(scale));
    (scale, (block * inverse + n).clamp(0.0, 2.0 * n - 1.0).bytes())
}

/// The scale with the least error for numbers between −1 and 1, the furthest from zero of which is 1.
#[inline(always)]
fn best_ratio<S: Eight>(unit: Block<S>, weights: Option<Block<S>>, n: f32, beyond: &[f32]) -> f32 {
    let (mut best, mut ratio) = (0.0, 0.0);
    for beyond in beyond {
        let codes = (unit * -(n + beyond)).clamp(-n, n - 1.0).round();
        let weighted = match weights {
            None => codes,
            Some(weights) => codes * weights,
        };
        let products = (weighted * unit).sum();
        let squares = (weighted * codes).sum();
        // The error is what this takes from the sum of squares of the numbers.
        let gain = products * products / squares;
        if gain > best {
            (best, ratio) = (gain, products / squares);
        }
    }
    ratio
}
