//! Walking over the blocks of rows, and what all families of blocks share.
//!
//! What becomes of numbers that no model should have:
//!
//! - numbers too large for the 16-bit scale of their block count as the largest that is not, infinity too, so that what
//!   comes back is finite: above 65504 times the largest code, or above 65504 where blocks have a minimum;
//! - a block with a NaN comes back as finite numbers without meaning;
//! - a block without a number above 1.2e-38, the smallest normal float, becomes zeros.
use super::floats;
use super::lanes::{self, Block, Eight, Work};

/// The largest 16-bit float: no scale or minimum is larger.
pub(super) const SCALE_LIMIT: f32 = 65504.0;

/// Blocks encoded together. What is done once for each block is then done side by side, and while one block waits for its
/// division, the next is on its way.
const GROUP: usize = 8;

/// A way to turn blocks of `SIZE` numbers into `BYTES` bytes each. Implementations are inlined into the loop over the blocks.
pub(super) trait Encoder<const SIZE: usize, const BYTES: usize> {
    /// Encodes `N` blocks of one row into `out`.
    fn encode<S: Eight, const N: usize>(
        &self,
        simd: S,
        blocks: &[[f32; SIZE]; N],
        importance: Option<&[[f32; SIZE]; N]>,
        out: &mut [[u8; BYTES]; N],
    );
}

/// Turns `values`, whole rows, into `out`; all rows have the same `importance`.
pub(super) fn encode<const SIZE: usize, const BYTES: usize>(
    values: &[f32],
    importance: Option<&[f32]>,
    out: &mut [u8],
    encoder: impl Encoder<SIZE, BYTES>,
) {
    let importance = importance.map(|row| row.as_chunks().0);
    lanes::widest(Encoding { blocks: values.as_chunks().0, importance, out: out.as_chunks_mut().0, encoder });
}

struct Encoding<'a, E, const SIZE: usize, const BYTES: usize> {
    blocks: &'a [[f32; SIZE]],
    importance: Option<&'a [[f32; SIZE]]>,
    out: &'a mut [[u8; BYTES]],
    encoder: E,
}

impl<E: Encoder<SIZE, BYTES>, const SIZE: usize, const BYTES: usize> Work for Encoding<'_, E, SIZE, BYTES> {
    #[inline(always)]
    fn run<S: Eight>(self, simd: S) {
        match self.importance {
            None => {
                encode_groups::<GROUP, _, _, SIZE, BYTES>(simd, self.blocks, None, self.out, &self.encoder);
            }
            Some(row) => {
                let length = row.len().max(1);
                for (blocks, out) in self.blocks.chunks(length).zip(self.out.chunks_mut(length)) {
                    encode_groups::<GROUP, _, _, SIZE, BYTES>(simd, blocks, Some(row), out, &self.encoder);
                }
            }
        }
    }
}

/// Encodes blocks in groups of `N`, and what is left one by one.
#[inline(always)]
fn encode_groups<const N: usize, S: Eight, E: Encoder<SIZE, BYTES>, const SIZE: usize, const BYTES: usize>(
    simd: S,
    blocks: &[[f32; SIZE]],
    importance: Option<&[[f32; SIZE]]>,
    out: &mut [[u8; BYTES]],
    encoder: &E,
) {
    let (groups, rest) = blocks.as_chunks::<N>();
    let (out, out_rest) = out.as_chunks_mut::<N>();
    for (i, (group, out)) in groups.iter().zip(out).enumerate() {
        let importance = importance.map(|row| &row.as_chunks::<N>().0[i]);
        encoder.encode(simd, group, importance, out);
    }
    for (i, (block, out)) in rest.iter().zip(out_rest).enumerate() {
        let importance = importance.map(|row| std::array::from_ref(&row[groups.len() * N + i]));
        encoder.encode(simd, std::array::from_ref(block), importance, std::array::from_mut(out));
    }
}

/// Turns each block of `BYTES` bytes into `SIZE` numbers. `decode` has to be inlined.
#[inline(always)]
pub(super) fn decode<const SIZE: usize, const BYTES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES]) -> [f32; SIZE],
) {
    let (blocks, out) = (bytes.as_chunks().0, out.as_chunks_mut().0);
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (block, out) in blocks.iter().zip(out) {
                *out = decode(block);
            }
        },
    );
}

/// The number of each code.
#[inline(always)]
pub(super) fn numbers(codes: &[u8; 32], number: impl Fn(u8) -> f32) -> [f32; 32] {
    let mut numbers = [0.0; 32];
    for i in 0..32 {
        numbers[i] = number(codes[i]);
    }
    numbers
}

/// Importance as weights up to 1, which keeps sums in range; all 1 if nothing in the block matters.
#[inline(always)]
pub(super) fn weights<S: Eight>(simd: S, importance: &[f32; 32]) -> Block<S> {
    let importance = Block::load(simd, importance);
    let largest = importance.largest();
    if (f32::MIN_POSITIVE..f32::INFINITY).contains(&largest) {
        (importance * inverse(largest)).clamp(0.0, 1.0)
    } else {
        Block::splat(simd, 1.0)
    }
}

/// The number furthest from zero.
#[inline(always)]
pub(super) fn extreme<S: Eight>(block: Block<S>) -> f32 {
    let (low, high) = (block.smallest(), block.largest());
    if high >= -low { high } else { low }
}

/// `scale` as the nearest 16-bit float there is; NaN as some finite one.
#[inline(always)]
pub(super) fn scale_bits(scale: f32) -> u16 {
    floats::f32_to_f16(lanes::clamp(scale, -SCALE_LIMIT, SCALE_LIMIT))
}

/// One over `scale`; 0 if that would not be a number.
#[inline(always)]
pub(super) fn inverse(scale: f32) -> f32 {
    if scale.abs() >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 }
}

/// Two codes below 16 to a byte, one of the first half of the block and one of the second.
#[inline(always)]
pub(super) fn nibbles(codes: &[u8; 32]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for i in 0..16 {
        bytes[i] = codes[i] & 0xf | codes[i + 16] << 4;
    }
    bytes
}

/// Undoes [`nibbles`].
#[inline(always)]
pub(crate) fn from_nibbles(bytes: &[u8; 16]) -> [u8; 32] {
    let mut codes = [0; 32];
    for i in 0..16 {
        codes[i] = bytes[i] & 0xf;
        codes[i + 16] = bytes[i] >> 4;
    }
    codes
}

/// The fifth bits of codes below 32, that of code `i` in bit `i`.
#[inline(always)]
pub(super) fn fifth_bits(codes: &[u8; 32]) -> [u8; 4] {
    let mut bits = 0_u32;
    for (i, code) in codes.iter().enumerate() {
        bits |= u32::from(code >> 4 & 1) << i;
    }
    bits.to_le_bytes()
}

/// Puts the fifth bits back onto the other four.
#[inline(always)]
pub(crate) fn with_fifth_bits(mut codes: [u8; 32], bits: [u8; 4]) -> [u8; 32] {
    let bits = u32::from_le_bytes(bits);
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= (bits >> i & 1) as u8 * 16;
    }
    codes
}

/// `N` bytes of a block from `start` on.
#[inline(always)]
pub(crate) fn part<const N: usize>(block: &[u8], start: usize) -> [u8; N] {
    block[start..start + N].try_into().expect("the part has the length asked for")
}

/// The 16-bit float at `start`.
#[inline(always)]
pub(crate) fn half_at(block: &[u8], start: usize) -> f32 {
    floats::f16_to_f32(u16::from_le_bytes(part(block, start)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn codes_of_five_bits_survive_packing(codes in prop::array::uniform32(0_u8..32)) {
            prop_assert_eq!(with_fifth_bits(from_nibbles(&nibbles(&codes)), fifth_bits(&codes)), codes);
        }
    }

    struct Weights([f32; 32]);

    impl Work for &mut Weights {
        fn run<S: Eight>(self, simd: S) {
            self.0 = weights(simd, &self.0).store();
        }
    }

    #[test]
    fn importance_becomes_weights_that_can_be_summed() {
        let mut mixed = Weights([1e30; 32]);
        (mixed.0[1], mixed.0[2]) = (0.0, -1.0);
        let mut none = Weights([0.0; 32]);
        let mut endless = Weights([f32::INFINITY; 32]);
        lanes::widest(&mut mixed);
        lanes::widest(&mut none);
        lanes::widest(&mut endless);

        assert_eq!(mixed.0[..4], [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(none.0, [1.0; 32]);
        assert_eq!(endless.0, [1.0; 32]);
    }
}
