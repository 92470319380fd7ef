//! Four bits, each code standing for one of 16 uneven levels.
//!
//! IQ4_NL has blocks of 32 with one scale: a number is `scale · level`. IQ4_XS has super-blocks of 256 with one scale and,
//! for each 32 numbers, a 6-bit multiple of it. MXFP4 (only read) has levels that are 4-bit floats and scales that are powers
//! of two: [OCP Microscaling Formats 1.0](https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf),
//! section 5.3.
//!
//! The scale is searched for as in [`legacy`](super::legacy): the number furthest from zero is put at several places among the
//! levels, the levels nearest to the numbers are found for each, and with them the least-squares scale. ggml tries 15 places
//! around the lowest level; fewer, of both signs and wider apart, find better scales. Without importance ggml weighs numbers
//! with their squares; here the plain error is made least.
use super::blocks::{self, Encoder, SCALE_LIMIT, extreme, inverse, scale_bits};
use super::floats::f16_to_f32;
use super::lanes::{Block, Eight, low_byte};
use crate::DType;

/// The levels of IQ4_NL and IQ4_XS, `kvalues_iq4nl` in ggml.
pub(crate) const LEVELS: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
];
/// The levels of MXFP4, twice as large as in the standard; the scale makes up for it.
pub(crate) const FP4_LEVELS: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// What each level is above the one before.
const STEPS: [f32; 15] = {
    let mut steps = [0.0; 15];
    let mut k = 0;
    while k < 15 {
        steps[k] = LEVELS[k + 1] - LEVELS[k];
        k += 1;
    }
    steps
};

/// Half way between each level and the one before.
const BOUNDS: [f32; 15] = {
    let mut bounds = [0.0; 15];
    let mut k = 0;
    while k < 15 {
        bounds[k] = (LEVELS[k + 1] + LEVELS[k]) / 2.0;
        k += 1;
    }
    bounds
};

/// Where among the levels the number furthest from zero is put: near the lowest, or near the highest. Found one after the
/// other, each the best addition to those before, on Gaussian, Laplace and uniform rows.
const QUICK: &[f32] = &[-129.0, 114.0, -123.0, -135.0, -111.0, 123.0];

/// The same with importance, which moves the best scale further away.
const THOROUGH: &[f32] =
    &[-129.0, 117.0, -144.0, -111.0, 132.0, -123.0, -162.0, 111.0, -102.0, -135.0, 90.0, 147.0];

/// Numbers of a super-block.
const SUPER: usize = 256;

pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, dtype: DType, out: &mut [u8]) {
    match dtype {
        DType::IQ4_NL => blocks::encode(values, importance, out, Iq4Nl),
        _ => blocks::encode(values, importance, out, Iq4Xs),
    }
}

pub(super) fn decode(bytes: &[u8], dtype: DType, out: &mut [f32]) {
    match dtype {
        DType::IQ4_NL => blocks::decode(
            bytes,
            out,
            #[inline(always)]
            |block: &[u8; 18]| numbers(blocks::half_at(block, 0), &LEVELS, blocks::part(block, 2)),
        ),
        DType::MXFP4 => blocks::decode(
            bytes,
            out,
            #[inline(always)]
            |block: &[u8; 17]| numbers(half_of_power(block[0]), &FP4_LEVELS, blocks::part(block, 1)),
        ),
        _ => blocks::decode(bytes, out, decode_super),
    }
}

struct Iq4Nl;

impl Encoder<32, 18> for Iq4Nl {
    #[inline(always)]
    fn encode<S: Eight, const N: usize>(
        &self,
        simd: S,
        blocks: &[[f32; 32]; N],
        importance: Option<&[[f32; 32]; N]>,
        out: &mut [[u8; 18]; N],
    ) {
        for i in 0..N {
            out[i] = encode_iq4nl(simd, &blocks[i], importance.map(|blocks| &blocks[i]));
        }
    }
}

#[inline(always)]
fn encode_iq4nl<S: Eight>(simd: S, numbers: &[f32; 32], importance: Option<&[f32; 32]>) -> [u8; 18] {
    let scale = scale_bits(best_scale(simd, numbers, importance));
    let mut out = [0; 18];
    out[..2].copy_from_slice(&scale.to_le_bytes());
    out[2..].copy_from_slice(&codes(simd, numbers, f16_to_f32(scale)));
    out
}

struct Iq4Xs;

/// Scale, upper two bits of the multiples, their lower four, nibbles.
impl Encoder<SUPER, 136> for Iq4Xs {
    #[inline(always)]
    fn encode<S: Eight, const N: usize>(
        &self,
        simd: S,
        blocks: &[[f32; SUPER]; N],
        importance: Option<&[[f32; SUPER]; N]>,
        out: &mut [[u8; 136]; N],
    ) {
        for i in 0..N {
            out[i] = encode_iq4xs(simd, &blocks[i], importance.map(|blocks| &blocks[i]));
        }
    }
}

#[inline(always)]
fn encode_iq4xs<S: Eight>(simd: S, numbers: &[f32; SUPER], importance: Option<&[f32; SUPER]>) -> [u8; 136] {
    let blocks = numbers.as_chunks::<32>().0;
    let mut scales = [0.0; 8];
    for (i, block) in blocks.iter().enumerate() {
        scales[i] = best_scale(simd, block, importance.map(|row| &row.as_chunks().0[i]));
    }
    let largest = scales.iter().fold(0.0, |a: f32, b| if b.abs() > a.abs() { *b } else { a });
    let bits = scale_bits(largest / -32.0);
    let scale = f16_to_f32(bits);
    let inverse = inverse(scale);
    let mut out = [0; 136];
    let mut high = 0_u16;
    for (i, block) in blocks.iter().enumerate() {
        let multiple = (scales[i] * inverse).round_ties_even().clamp(-32.0, 31.0);
        let stored = low_byte(multiple + 32.0);
        out[4 + i / 2] |= (stored & 0xf) << (i % 2 * 4);
        high |= u16::from(stored >> 4) << (2 * i);
        out[8 + 16 * i..][..16].copy_from_slice(&codes(simd, block, scale * multiple));
    }
    out[..2].copy_from_slice(&bits.to_le_bytes());
    out[2..4].copy_from_slice(&high.to_le_bytes());
    out
}

#[inline(always)]
fn decode_super(block: &[u8; 136]) -> [f32; SUPER] {
    let scale = blocks::half_at(block, 0);
    let high = u16::from_le_bytes(blocks::part(block, 2));
    let mut out = [0.0; SUPER];
    for (i, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let low = (block[4 + i / 2] >> (i % 2 * 4)) & 0xf;
        let stored = low | ((high >> (2 * i)) as u8 & 3) << 4;
        let scale = scale * (f32::from(stored) - 32.0);
        *out = numbers(scale, &LEVELS, blocks::part(block, 8 + 16 * i));
    }
    out
}

#[inline(always)]
fn numbers(scale: f32, levels: &[f32; 16], nibbles: [u8; 16]) -> [f32; 32] {
    blocks::numbers(&blocks::from_nibbles(&nibbles), |code| scale * levels[usize::from(code & 0xf)])
}

/// 2 to the power of `exponent` − 128.
#[inline(always)]
pub(crate) fn half_of_power(exponent: u8) -> f32 {
    let bits = if exponent < 2 { 0x0020_0000 << exponent } else { (u32::from(exponent) - 1) << 23 };
    f32::from_bits(bits)
}

/// The scale that gives the least error.
#[inline(always)]
fn best_scale<S: Eight>(simd: S, numbers: &[f32; 32], importance: Option<&[f32; 32]>) -> f32 {
    let limit = SCALE_LIMIT * 127.0;
    let block = Block::load(simd, numbers).clamp(-limit, limit);
    let extreme = extreme(block);
    let unit = block * inverse(extreme);
    let ratio = match importance {
        None => best_ratio(unit, None, QUICK),
        Some(importance) => best_ratio(unit, Some(blocks::weights(simd, importance)), THOROUGH),
    };
    extreme * ratio
}

/// The scale with the least error for numbers between −1 and 1, the furthest from zero of which is 1.
#[inline(always)]
fn best_ratio<S: Eight>(unit: Block<S>, weights: Option<Block<S>>, places: &[f32]) -> f32 {
    let (mut best, mut ratio) = (0.0, 0.0);
    for place in places {
        let levels = nearest(unit * *place, &STEPS) + LEVELS[0];
        let weighted = match weights {
            None => levels,
            Some(weights) => levels * weights,
        };
        let products = (weighted * unit).sum();
        let squares = (weighted * levels).sum();
        let gain = products * products / squares;
        if gain > best {
            (best, ratio) = (gain, products / squares);
        }
    }
    ratio
}

/// The packed codes of the levels nearest to the numbers.
#[inline(always)]
fn codes<S: Eight>(simd: S, numbers: &[f32; 32], scale: f32) -> [u8; 16] {
    blocks::nibbles(&nearest(Block::load(simd, numbers) * inverse(scale), &[1.0; 15]).bytes())
}

/// The sum of the steps passed on the way from the lowest level to the one nearest to each number.
#[inline(always)]
fn nearest<S: Eight>(block: Block<S>, steps: &[f32; 15]) -> Block<S> {
    let mut sum = block.step(BOUNDS[0], steps[0]);
    for k in 1..15 {
        sum = sum + block.step(BOUNDS[k], steps[k]);
    }
    sum
}
