//! How packed weights lie in memory, one way for all instruction sets.
//!
//! Rows are packed in *panels* of 16, the last one filled up with zeros. A panel is a run of *blocks* along the columns, each
//! with the scales of its 16 rows and then their codes in [`Group`]s: four columns of all 16 rows, so that a 32-bit lane of a
//! vector is one row with four neighbouring columns, which is what instructions for 8-bit dot products take. Codes of less
//! than 8 bits are split into planes that keep this order:
//!
//! - `nibbles`, four bits: group `p` of each 32 columns in the lower halves of bytes, group `p + 4` in the upper;
//! - `sixes`, six bits: the first three groups of each 16 columns, and above each a third of the fourth;
//! - `crumbs`, two bits: the four groups of each 16 columns, the first lowest;
//! - `bits`, one bit: the eight groups of each 32 columns, the first lowest.
//!
//! A block takes 16 times what ggml's takes, and at most 4 % more (Q3_K, whose 6-bit scales become bytes).
mod floats;
mod legacy;
mod superblocks;

pub(super) use floats::{Bf16, F16, F32};
pub(super) use legacy::{Iq4Nl, Mxfp4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
pub(super) use superblocks::{Iq4Xs, Q2K, Q3K, Q4K, Q5K, Q6K};

/// Rows of a panel.
pub(super) const ROWS: usize = 16;

/// Four neighbouring columns of 16 rows, a byte for each; the first column in the lowest byte.
pub(super) type Group = [u32; ROWS];

/// A block of 16 rows.
///
/// # Safety
/// All bit patterns are valid, there is no padding, and the alignment is at most 4.
pub(super) unsafe trait Block: Copy + Send + Sync {
    /// Columns of a block.
    const COLUMNS: usize;
    /// Bytes of a row of a block in a model file.
    const SOURCE_BYTES: usize;

    /// Takes over a row of a block in a model file; a last block of plain numbers may be shorter.
    fn store(&mut self, row: usize, source: &[u8]);
}

/// A block of plain numbers.
pub(super) trait Plain: Block {
    /// The numbers of a row; a last block may be shorter.
    fn numbers(&self, row: usize, out: &mut [f32]);
}

/// A block of codes with scales.
pub(super) trait Coded: Block {
    /// The numbers of a row before they are multiplied.
    fn line(&self, row: usize) -> Line;
}

/// A row of a block: the number at `i` is `codes[i] × scales[i / 16] + minima[i / 16]`.
pub(super) struct Line {
    /// Of a type with 32 columns to a block, the first 32.
    pub(super) codes: [i8; 256],
    pub(super) scales: [f32; 16],
    pub(super) minima: [f32; 16],
}

/// What changes nothing when it is added, not even the sign of a zero.
const NOTHING: f32 = -0.0;

impl Line {
    /// The numbers, bit for bit those that [`decode`](crate::decode) makes of the model file.
    pub(super) fn numbers(&self, out: &mut [f32]) {
        for (i, (number, code)) in out.iter_mut().zip(&self.codes).enumerate() {
            *number = f32::from(*code) * self.scales[i / 16] + self.minima[i / 16];
        }
    }
}

/// Calls a function generic over a type's block: `with_coded!(dtype, B => f::<B>(x), else e)`.
macro_rules! with_coded {
    ($dtype:expr, $block:ident => $call:expr, else $other:expr) => {{
        use crate::kernels::packed::layout;
        macro_rules! with {
            ($name:ident) => {{
                type $block = layout::$name;
                $call
            }};
        }
        match $dtype {
            crate::DType::Q8_0 => with!(Q8_0),
            crate::DType::Q4_0 => with!(Q4_0),
            crate::DType::Q4_1 => with!(Q4_1),
            crate::DType::Q5_0 => with!(Q5_0),
            crate::DType::Q5_1 => with!(Q5_1),
            crate::DType::IQ4_NL => with!(Iq4Nl),
            crate::DType::MXFP4 => with!(Mxfp4),
            crate::DType::Q2_K => with!(Q2K),
            crate::DType::Q3_K => with!(Q3K),
            crate::DType::Q4_K => with!(Q4K),
            crate::DType::Q5_K => with!(Q5K),
            crate::DType::Q6_K => with!(Q6K),
            crate::DType::IQ4_XS => with!(Iq4Xs),
            _ => $other,
        }
    }};
}
pub(super) use with_coded;

/// The same for plain numbers.
macro_rules! with_plain {
    ($dtype:expr, $block:ident => $call:expr, else $other:expr) => {{
        use crate::kernels::packed::layout;
        macro_rules! with {
            ($name:ident) => {{
                type $block = layout::$name;
                $call
            }};
        }
        match $dtype {
            crate::DType::F32 => with!(F32),
            crate::DType::F16 => with!(F16),
            crate::DType::BF16 => with!(Bf16),
            _ => $other,
        }
    }};
}
pub(super) use with_plain;

/// Four codes at a time, as a lane of a [`Group`] has them.
fn lanes(codes: &[u8]) -> impl Fn(usize) -> u32 + '_ {
    |group| u32::from_le_bytes(codes.as_chunks().0[group])
}

/// Puts the lower four bits of a row's 32 codes in place.
fn store_nibbles(nibbles: &mut [Group; 4], row: usize, codes: &[u8]) {
    let lane = lanes(codes);
    for (p, group) in nibbles.iter_mut().enumerate() {
        group[row] = lane(p) & 0x0f0f_0f0f | (lane(p + 4) & 0x0f0f_0f0f) << 4;
    }
}

/// Undoes [`store_nibbles`].
fn load_nibbles(nibbles: &[Group; 4], row: usize) -> [u8; 32] {
    let mut codes = [0; 32];
    for (p, code) in codes.as_chunks_mut().0.iter_mut().enumerate() {
        *code = (nibbles[p % 4][row] >> (p / 4 * 4) & 0x0f0f_0f0f).to_le_bytes();
    }
    codes
}

/// Puts bit `from` of a row's 32 codes in place.
fn store_bits(bits: &mut Group, row: usize, codes: &[u8], from: usize) {
    let lane = lanes(codes);
    bits[row] = (0..8).map(|p| (lane(p) >> from & 0x0101_0101) << p).fold(0, |all, bit| all | bit);
}

/// Adds what [`store_bits`] stored to the codes.
fn load_bits(bits: &Group, row: usize, codes: &mut [u8], from: usize) {
    for (p, code) in codes.as_chunks_mut().0.iter_mut().enumerate() {
        *code = (u32::from_le_bytes(*code) | (bits[row] >> p & 0x0101_0101) << from).to_le_bytes();
    }
}

/// Puts bits `from` and `from + 1` of a row's 16 codes in place.
fn store_crumbs(crumbs: &mut Group, row: usize, codes: &[u8]) {
    let lane = lanes(codes);
    crumbs[row] = (0..4).map(|p| (lane(p) & 0x0303_0303) << (2 * p)).fold(0, |all, crumb| all | crumb);
}

/// Undoes [`store_crumbs`].
fn load_crumbs(crumbs: &Group, row: usize) -> [u8; 16] {
    let mut codes = [0; 16];
    for (p, code) in codes.as_chunks_mut().0.iter_mut().enumerate() {
        *code = (crumbs[row] >> (2 * p) & 0x0303_0303).to_le_bytes();
    }
    codes
}

/// Puts a row's 16 codes of six bits in place: four a lane, of which the last is cut into three, each above another.
fn store_sixes(sixes: &mut [Group; 3], row: usize, codes: &[u8]) {
    let lane = lanes(codes);
    for (p, group) in sixes.iter_mut().enumerate() {
        group[row] = lane(p) | (lane(3) >> (4 - 2 * p) & 0x0303_0303) << 6;
    }
}

/// Undoes [`store_sixes`].
fn load_sixes(sixes: &[Group; 3], row: usize) -> [u8; 16] {
    let [a, b, c] = sixes.map(|group| group[row]);
    let cut = a >> 2 & 0x3030_3030 | b >> 4 & 0x0c0c_0c0c | c >> 6 & 0x0303_0303;
    let mut codes = [0; 16];
    for (code, lane) in codes.as_chunks_mut().0.iter_mut().zip([a, b, c, cut]) {
        *code = (lane & 0x3f3f_3f3f).to_le_bytes();
    }
    codes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn codes_of_six_bits_survive_their_planes(codes in prop::array::uniform16(0_u8..64), row in 0_usize..16) {
            let mut sixes = [[u32::MAX; 16]; 3];
            store_sixes(&mut sixes, row, &codes);
            prop_assert_eq!(load_sixes(&sixes, row), codes);
        }

        #[test]
        fn codes_of_two_bits_survive_their_plane(codes in prop::array::uniform16(0_u8..4), row in 0_usize..16) {
            let mut crumbs = [u32::MAX; 16];
            store_crumbs(&mut crumbs, row, &codes);
            prop_assert_eq!(load_crumbs(&crumbs, row), codes);
        }

        #[test]
        fn codes_of_five_bits_survive_their_planes(codes in prop::array::uniform32(0_u8..32), row in 0_usize..16) {
            let (mut nibbles, mut bits) = ([[u32::MAX; 16]; 4], [u32::MAX; 16]);
            store_nibbles(&mut nibbles, row, &codes);
            store_bits(&mut bits, row, &codes, 4);
            let mut back = load_nibbles(&nibbles, row);
            load_bits(&bits, row, &mut back, 4);
            prop_assert_eq!(back, codes);
        }
    }

    #[test]
    fn blocks_are_hardly_larger_than_the_file_has_them() {
        for dtype in crate::kernels::packed::tests::coded() {
            with_coded!(dtype, B => {
                let (packed, source) = (size_of::<B>(), ROWS * B::SOURCE_BYTES);
                assert!(source <= packed && packed * 100 <= source * 104, "{dtype}: {packed} of {source}");
                assert_eq!((B::COLUMNS, B::SOURCE_BYTES), (dtype.block_size(), dtype.block_bytes()));
                assert!(align_of::<B>() <= 4);
            }, else unreachable!());
        }
    }
}
