//! Q4_K: 8 sub-blocks of 32, codes of 4 bits, scales and minima of 6.
use half::f16;
use pulp::Simd;

use super::SuperBlock;
use super::affine::{self, Affine, Effort};
use super::{planes, six_bits};

/// The layout of the type.
pub(super) struct Q4K;

const LIMITS: Affine = Affine {
    codes: 15.0,
    steps: 63.0,
    slacks: &[-6.0, -4.0, -2.0, -1.0, 0.0, 1.0],
    plain: Effort {
        trims: &[
            (0.0, 0.0),
            (0.02, 0.0),
            (0.0, 0.02),
            (0.02, 0.02),
            (0.04, 0.02),
            (0.02, 0.04),
            (0.04, 0.04),
            (0.06, 0.06),
        ],
        reach: (3, 2),
        rounds: 1,
    },
    weighted: Effort {
        trims: &[
            (0.0, 0.0),
            (0.03, 0.0),
            (0.0, 0.03),
            (0.03, 0.03),
            (0.06, 0.02),
            (0.02, 0.06),
            (0.06, 0.06),
            (0.1, 0.1),
        ],
        reach: (4, 3),
        rounds: 2,
    },
};

impl SuperBlock for Q4K {
    const BYTES: usize = 144;

    /// The two scales of the super-block (4 bytes), scales and minima (12), codes (128).
    #[inline(always)]
    fn encode<S: Simd>(simd: S, values: &[f32; 256], weights: Option<&[f32; 256]>, out: &mut [u8]) {
        let block = affine::encode::<S, 32, 1, 8>(simd, values, weights, &LIMITS);
        out[..2].copy_from_slice(&block.scale.to_le_bytes());
        out[2..4].copy_from_slice(&block.minimum.to_le_bytes());
        out[4..16].copy_from_slice(&six_bits::pack_pairs(&block.scales, &block.minima));
        planes::pack(&block.codes, 0, 4, 32, &mut out[16..]);
    }

    #[inline(always)]
    fn decode(bytes: &[u8], out: &mut [f32; 256]) {
        let scale = f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        let minimum = f16::from_le_bytes([bytes[2], bytes[3]]).to_f32();
        let (scales, minima) = six_bits::unpack_pairs(bytes[4..16].try_into().expect("12 bytes"));
        let mut codes = [0; 256];
        planes::unpack(&bytes[16..], 0, 4, 32, &mut codes);
        for (j, (codes, out)) in codes.chunks(32).zip(out.chunks_mut(32)).enumerate() {
            let (scale, minimum) = (scale * f32::from(scales[j]), minimum * f32::from(minima[j]));
            out.iter_mut().zip(codes).for_each(|(out, code)| *out = scale * f32::from(*code) - minimum);
        }
    }
}
