//! Q6_K: 16 sub-blocks of 16, codes of 6 bits, scales of 8.
use half::f16;
use pulp::Simd;

use super::SuperBlock;
use super::linear::{self, Effort, Linear};
use super::planes;

/// The layout of the type.
pub(super) struct Q6K;

const LIMITS: Linear = Linear {
    codes: 32.0,
    steps: 128.0,
    signs: &[1.0],
    slacks: &[-3.0, -1.5, 0.0],
    plain: Effort { peaks: &[31.5], reach: 9, rounds: 1 },
    weighted: Effort { peaks: &[31.0, 32.0], reach: 9, rounds: 1 },
};

impl SuperBlock for Q6K {
    const BYTES: usize = 210;

    /// The codes' lower four bits (128 bytes), the upper two (64), scales (16), the super-block's scale (2).
    #[inline(always)]
    fn encode<S: Simd>(simd: S, values: &[f32; 256], weights: Option<&[f32; 256]>, out: &mut [u8]) {
        let block = linear::encode(simd, values, weights, &LIMITS);
        planes::pack(&block.codes, 0, 4, 64, &mut out[..128]);
        planes::pack(&block.codes, 4, 2, 32, &mut out[128..192]);
        out[192..208].copy_from_slice(&block.scales.map(|scale| scale as u8));
        out[208..210].copy_from_slice(&block.scale.to_le_bytes());
    }

    #[inline(always)]
    fn decode(bytes: &[u8], out: &mut [f32; 256]) {
        let scale = f16::from_le_bytes([bytes[208], bytes[209]]).to_f32();
        let mut codes = [0; 256];
        planes::unpack(&bytes[..128], 0, 4, 64, &mut codes);
        planes::unpack(&bytes[128..192], 4, 2, 32, &mut codes);
        for ((steps, codes), out) in bytes[192..208].iter().zip(codes.chunks(16)).zip(out.chunks_mut(16)) {
            let scale = scale * f32::from(*steps as i8);
            out.iter_mut().zip(codes).for_each(|(out, code)| *out = scale * (f32::from(*code) - 32.0));
        }
    }
}
