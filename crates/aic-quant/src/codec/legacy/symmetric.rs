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
use crate::codec::lanes::{self, Block, Eight};

/// How far beyond code 0 the number furthest from zero is put, in steps. The first is the reference's way, so that no block
/// comes out worse. On Gaussian rows these three take 5 % from its error (root mean square), and thirty-one take 6 %.
const QUICK: &[f32] = &[0.0, 0.45, -0.8];

/// The same with importance, which moves the best scale further away: first the best additions to those before, on Gaussian,
/// Laplace and uniform rows, then three to fill gaps, for rows with numbers of one sign.
const THOROUGH: &[f32] = &[0.2, 1.2, -0.8, 2.6, -1.8, -0.2, 0.6, 4.0, -1.2, 1.8, -0.6, 0.0, 0.4, -0.4, 0.9];

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
    fn encode<S: Eight, const N: usize>(
        &self,
        simd: S,
        blocks: &[[f32; 32]; N],
        importance: Option<&[[f32; 32]; N]>,
        out: &mut [[u8; 18]; N],
    ) {
        let (scales, inverses) = search(simd, blocks, importance, 8.0);
        for i in 0..N {
            let codes = codes(simd, &blocks[i], inverses[i], 8.0);
            out[i][..2].copy_from_slice(&scales[i].to_le_bytes());
            out[i][2..].copy_from_slice(&blocks::nibbles(&codes));
        }
    }
}

#[allow(non_camel_case_types)]
struct Q5_0;

impl Encoder<32, 22> for Q5_0 {
    #[inline(always)]
    fn encode<S: Eight, const N: usize>(
        &self,
        simd: S,
        blocks: &[[f32; 32]; N],
        importance: Option<&[[f32; 32]; N]>,
        out: &mut [[u8; 22]; N],
    ) {
        let (scales, inverses) = search(simd, blocks, importance, 16.0);
        for i in 0..N {
            let codes = codes(simd, &blocks[i], inverses[i], 16.0);
            out[i][..2].copy_from_slice(&scales[i].to_le_bytes());
            out[i][2..6].copy_from_slice(&blocks::fifth_bits(&codes));
            out[i][6..].copy_from_slice(&blocks::nibbles(&codes));
        }
    }
}

/// The codes nearest to the numbers of a block.
#[inline(always)]
fn codes<S: Eight>(simd: S, numbers: &[f32; 32], inverse: f32, n: f32) -> [u8; 32] {
    (Block::load(simd, numbers) * inverse + n).clamp(0.0, 2.0 * n - 1.0).bytes()
}

/// The bits of the best scales, and one over what is stored.
#[inline(always)]
fn search<S: Eight, const N: usize>(
    simd: S,
    blocks: &[[f32; 32]; N],
    importance: Option<&[[f32; 32]; N]>,
    n: f32,
) -> ([u16; N], [f32; N]) {
    let limit = SCALE_LIMIT * n;
    let mut extremes = [0.0; N];
    for i in 0..N {
        extremes[i] = extreme(Block::load(simd, &blocks[i]));
    }
    let mut inverses = [0.0; N];
    for i in 0..N {
        extremes[i] = lanes::clamp(extremes[i], -limit, limit);
        inverses[i] = inverse(extremes[i]);
    }
    let ratios = match importance {
        None => best_ratios(simd, blocks, &inverses, None, n, QUICK),
        Some(importance) => {
            let mut weights = [[0.0; 32]; N];
            for i in 0..N {
                weights[i] = blocks::weights(simd, &importance[i]).store();
            }
            best_ratios(simd, blocks, &inverses, Some(&weights), n, THOROUGH)
        }
    };
    let mut scales = [0; N];
    for i in 0..N {
        scales[i] = scale_bits(extremes[i] * ratios[i]);
        inverses[i] = inverse(f16_to_f32(scales[i]));
    }
    (scales, inverses)
}

/// What scales with the least error are to the numbers furthest from zero, whose `inverses` are given.
#[inline(always)]
fn best_ratios<S: Eight, const N: usize>(
    simd: S,
    blocks: &[[f32; 32]; N],
    inverses: &[f32; N],
    weights: Option<&[[f32; 32]; N]>,
    n: f32,
    beyond: &[f32],
) -> [f32; N] {
    let (mut best, mut ratios) = ([0.0; N], [0.0; N]);
    for beyond in beyond {
        let (mut products, mut squares) = ([0.0; N], [0.0; N]);
        for i in 0..N {
            let block = Block::load(simd, &blocks[i]);
            let codes = (block * (-(n + beyond) * inverses[i])).clamp(-n, n - 1.0).round();
            let weighted = match weights {
                None => codes,
                Some(weights) => codes * Block::load(simd, &weights[i]),
            };
            products[i] = (weighted * block).sum();
            squares[i] = (weighted * codes).sum();
        }
        for i in 0..N {
            let product = products[i] * inverses[i];
            let ratio = product / squares[i];
            // The error is what this takes from the sum of squares of the numbers.
            let gain = product * ratio;
            let better = gain > best[i];
            best[i] = if better { gain } else { best[i] };
            ratios[i] = if better { ratio } else { ratios[i] };
        }
    }
    ratios
}
