//! Q3_K: 16 sub-blocks of 16, codes of 3 bits, scales of 6.
use half::f16;
use pulp::Simd;

use super::SuperBlock;
use super::linear::{self, Effort, Linear};
use super::{planes, six_bits};

/// The layout of the type.
pub(super) struct Q3K;

const LIMITS: Linear = Linear {
    codes: 4.0,
    steps: 32.0,
    signs: &[1.0, -1.0],
    slacks: &[-2.0, -1.0, 0.0, 1.0],
    plain: Effort { peaks: &[3.4, 4.1], reach: 1, rounds: 1 },
    weighted: Effort { peaks: &[2.9, 3.2, 3.5, 3.8, 4.1, 4.4, 4.7, 5.0], reach: 2, rounds: 2 },
};

impl SuperBlock for Q3K {
    const BYTES: usize = 110;

    /// The codes' highest bits (32 bytes), the others (64), scales (12), the super-block's scale (2).
    #[inline(always)]
    fn encode<S: Simd>(simd: S, values: &[f32; 256], weights: Option<&[f32; 256]>, out: &mut [u8]) {
        let block = linear::encode(simd, values, weights, &LIMITS);
        planes::pack(&block.codes, 2, 1, 32, &mut out[..32]);
        planes::pack(&block.codes, 0, 2, 32, &mut out[32..96]);
        out[96..108].copy_from_slice(&six_bits::pack_scales(&block.scales.map(|scale| (scale + 32) as u8)));
        out[108..110].copy_from_slice(&block.scale.to_le_bytes());
    }

    #[inline(always)]
    fn decode(bytes: &[u8], out: &mut [f32; 256]) {
        let scale = f16::from_le_bytes([bytes[108], bytes[109]]).to_f32();
        let scales = six_bits::unpack_scales(bytes[96..108].try_into().expect("12 bytes"));
        let mut codes = [0; 256];
        planes::unpack(&bytes[..32], 2, 1, 32, &mut codes);
        planes::unpack(&bytes[32..96], 0, 2, 32, &mut codes);
        for ((steps, codes), out) in scales.iter().zip(codes.chunks(16)).zip(out.chunks_mut(16)) {
            let scale = scale * (f32::from(*steps) - 32.0);
            out.iter_mut().zip(codes).for_each(|(out, code)| *out = scale * (f32::from(*code) - 4.0));
        }
    }
}
