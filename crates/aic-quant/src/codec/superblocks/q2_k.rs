//! Q2_K: 16 sub-blocks of 16, codes of 2 bits, scales and minima of 4.
use half::f16;
use pulp::Simd;

use super::SuperBlock;
use super::affine::{self, Affine, Effort};
use super::planes;

/// The layout of the type.
pub(super) struct Q2K;

const LIMITS: Affine = Affine {
    codes: 3.0,
    steps: 15.0,
    slacks: &[-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0],
    plain: Effort {
        trims: &[
            (0.0, 0.0),
            (0.08, 0.0),
            (0.0, 0.08),
            (0.08, 0.08),
            (0.16, 0.04),
            (0.04, 0.16),
            (0.16, 0.16),
            (0.24, 0.24),
        ],
        reach: (1, 1),
        rounds: 1,
    },
    weighted: Effort {
        trims: &[
            (0.0, 0.0),
            (0.08, 0.0),
            (0.0, 0.08),
            (0.08, 0.08),
            (0.16, 0.0),
            (0.0, 0.16),
            (0.16, 0.08),
            (0.08, 0.16),
            (0.16, 0.16),
            (0.24, 0.08),
            (0.08, 0.24),
            (0.24, 0.24),
        ],
        reach: (1, 2),
        rounds: 2,
    },
};

impl SuperBlock for Q2K {
    const BYTES: usize = 84;

    /// Scales and minima (16 bytes), codes (64), the two scales of the super-block (4).
    #[inline(always)]
    fn encode<S: Simd>(simd: S, values: &[f32; 256], weights: Option<&[f32; 256]>, out: &mut [u8]) {
        let block = affine::encode::<S, 16, 2, 16>(simd, values, weights, &LIMITS);
        for j in 0..16 {
            out[j] = block.scales[j] | block.minima[j] << 4;
        }
        planes::pack(&block.codes, 0, 2, 32, &mut out[16..80]);
        out[80..82].copy_from_slice(&block.scale.to_le_bytes());
        out[82..84].copy_from_slice(&block.minimum.to_le_bytes());
    }

    #[inline(always)]
    fn decode(bytes: &[u8], out: &mut [f32; 256]) {
        let scale = f16::from_le_bytes([bytes[80], bytes[81]]).to_f32();
        let minimum = f16::from_le_bytes([bytes[82], bytes[83]]).to_f32();
        let mut codes = [0; 256];
        planes::unpack(&bytes[16..80], 0, 2, 32, &mut codes);
        for ((steps, codes), out) in bytes[..16].iter().zip(codes.chunks(16)).zip(out.chunks_mut(16)) {
            let (scale, minimum) = (scale * f32::from(steps & 15), minimum * f32::from(steps >> 4));
            out.iter_mut().zip(codes).for_each(|(out, code)| *out = scale * f32::from(*code) - minimum);
        }
    }
}
