//! Eight bits and one scale.
//!
//! The number furthest from zero becomes code 127 or −127, as in ggml's `quantize_row_q8_0_ref`, with the same bytes. With
//! steps this fine a search for a better scale gains next to nothing, so importance is of no use here.
use crate::codec::blocks::{self, Encoder, SCALE_LIMIT, inverse, scale_bits};
use crate::codec::lanes::{Block, Eight, low_byte};

/// The furthest from zero that a number can be.
const LIMIT: f32 = SCALE_LIMIT * 127.0;

pub(super) fn encode(values: &[f32], out: &mut [u8]) {
    blocks::encode(values, None, out, Q8_0);
}

pub(super) fn decode(bytes: &[u8], out: &mut [f32]) {
    blocks::decode(
        bytes,
        out,
        #[inline(always)]
        |block: &[u8; 34]| {
            let scale = blocks::half_at(block, 0);
            blocks::numbers(&blocks::part(block, 2), |code| f32::from(code as i8) * scale)
        },
    );
}

#[allow(non_camel_case_types)]
struct Q8_0;

impl Encoder<32, 34> for Q8_0 {
    #[inline(always)]
    fn encode<S: Eight>(&self, simd: S, numbers: &[f32; 32], _: Option<&[f32; 32]>) -> [u8; 34] {
        let mut block = Block::load(simd, numbers);
        let mut magnitude = block.abs().largest();
        if magnitude > LIMIT {
            block = block.clamp(-LIMIT, LIMIT);
            magnitude = LIMIT;
        }
        let scale = magnitude / 127.0;
        let inverse = inverse(scale);
        let mut out = [0; 34];
        out[..2].copy_from_slice(&scale_bits(scale).to_le_bytes());
        // Ties go away from zero.
        let codes = (block * inverse).store();
        for i in 0..32 {
            out[2 + i] = low_byte(codes[i].round());
        }
        out
    }
}
