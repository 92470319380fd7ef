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
    fn encode<S: Eight, const N: usize>(
        &self,
        simd: S,
        blocks: &[[f32; 32]; N],
        _: Option<&[[f32; 32]; N]>,
        out: &mut [[u8; 34]; N],
    ) {
        let mut scales = [0.0; N];
        for i in 0..N {
            scales[i] = Block::load(simd, &blocks[i]).abs().largest();
        }
        let mut inverses = [0.0; N];
        for i in 0..N {
            let magnitude = if scales[i] > LIMIT { LIMIT } else { scales[i] };
            scales[i] = magnitude / 127.0;
            inverses[i] = inverse(scales[i]);
        }
        for i in 0..N {
            out[i][..2].copy_from_slice(&scale_bits(scales[i]).to_le_bytes());
            let mut block = Block::load(simd, &blocks[i]) * inverses[i];
            if scales[i] == SCALE_LIMIT {
                block = block.clamp(-127.0, 127.0);
            }
            let codes = block.store();
            for (code, byte) in codes.iter().zip(&mut out[i][2..]) {
                // Ties go away from zero.
                *byte = low_byte(code.round());
            }
        }
    }
}
