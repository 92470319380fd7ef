//! Blocks in vectors, 32 columns at a time.
use super::super::layout::{
    Bf16, Coded, F16, F32, Group, Iq4Nl, Iq4Xs, Mxfp4, Plain, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K,
    Q6K, Q8_0, ROWS,
};
use super::Lanes;
use crate::codec::nonlinear::{FP4_LEVELS, LEVELS, half_of_power};

/// A block of codes, to be taken 32 columns at a time.
///
/// Its numbers are (code − offset) × step × scale + minimum step × minimum; steps are whole numbers, of a part each. Parts are
/// counted through all slices.
pub(crate) trait Slices: Coded {
    /// Codes there are, from zero up.
    const CODES: i32;
    /// How much the codes are too large.
    const OFFSET: i32;
    /// Parts that 32 columns have: one, or one for each half.
    const PARTS: usize = 1;
    /// Whether parts have steps.
    const STEPS: bool = Self::COLUMNS > 32;
    /// Whether there is a minimum.
    const MINIMA: bool = false;

    /// A group of the eight of a slice, none of whose codes has a sign.
    fn codes<L: Lanes>(&self, lanes: L, slice: usize, group: usize) -> L::Codes;
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats;
    #[inline(always)]
    fn step<L: Lanes>(&self, lanes: L, _part: usize) -> L::Whole {
        lanes.steps(&[1; ROWS])
    }
    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.zero()
    }
    #[inline(always)]
    fn minimum_step<L: Lanes>(&self, lanes: L, _part: usize) -> L::Floats {
        lanes.splat_float(1.0)
    }
}

/// Groups of a part whose products fit sums of 16 bits, each of two neighbouring columns of every group; in the end, that is:
/// what codes are too large by is part of the sum, and on the way there it may overflow.
///
/// Eight for 4 bits (8 × 2 × 15 × 127 = 30480) and for 5 bits less 16 (32512); four for 5 bits from zero up (31496) and for 6
/// bits less 32 (32512). Codes of 8 bits, which are multiplied with their signs, are alone (2 × 128 × 127 = 32512).
pub(crate) const fn run<B: Slices>() -> usize {
    let above = B::CODES - 1 - B::OFFSET;
    let largest = if above > B::OFFSET { above } else { B::OFFSET };
    let (fit, groups) = (i16::MAX as i32 / (2 * 127 * largest), 8 / B::PARTS as i32);
    if fit >= groups { groups as usize } else { 1 << fit.ilog2() }
}

/// A block of plain numbers.
pub(crate) trait Numbers: Plain {
    fn column<L: Lanes>(&self, lanes: L, column: usize) -> L::Floats;
}

impl Numbers for F32 {
    #[inline(always)]
    fn column<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.load_floats(&self.0)
    }
}

impl Numbers for F16 {
    #[inline(always)]
    fn column<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.halves(&self.0)
    }
}

impl Numbers for Bf16 {
    #[inline(always)]
    fn column<L: Lanes>(&self, lanes: L, column: usize) -> L::Floats {
        let pair = lanes.load(&self.0);
        lanes.reinterpret(match column {
            0 => lanes.shift(pair, 16),
            _ => lanes.and(pair, lanes.splat(0xffff_0000)),
        })
    }
}

impl Slices for Q8_0 {
    const CODES: i32 = 256;
    const OFFSET: i32 = 128;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize, group: usize) -> L::Codes {
        lanes.xor(lanes.load(&self.codes[group]), lanes.splat(0x8080_8080))
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }
}

impl Slices for Q4_0 {
    const CODES: i32 = 16;
    const OFFSET: i32 = 8;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize, group: usize) -> L::Codes {
        nibbles(lanes, &self.nibbles, group)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }
}

impl Slices for Q4_1 {
    const CODES: i32 = 16;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize, group: usize) -> L::Codes {
        nibbles(lanes, &self.nibbles, group)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }

    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.minima)
    }
}

impl Slices for Q5_0 {
    const CODES: i32 = 32;
    const OFFSET: i32 = 16;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize, group: usize) -> L::Codes {
        with_bits(lanes, nibbles(lanes, &self.nibbles, group), &self.bits, group, 4)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }
}

impl Slices for Q5_1 {
    const CODES: i32 = 32;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize, group: usize) -> L::Codes {
        with_bits(lanes, nibbles(lanes, &self.nibbles, group), &self.bits, group, 4)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }

    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.minima)
    }
}

impl Slices for Iq4Nl {
    const CODES: i32 = 256;
    const OFFSET: i32 = 128;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize, group: usize) -> L::Codes {
        levels(lanes, &self.nibbles, group, &const { above(LEVELS, Self::OFFSET) })
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }
}

impl Slices for Mxfp4 {
    const CODES: i32 = 25;
    const OFFSET: i32 = 12;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize, group: usize) -> L::Codes {
        levels(lanes, &self.nibbles, group, &const { above(FP4_LEVELS, Self::OFFSET) })
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.load_floats(&self.exponents.map(half_of_power))
    }
}

impl Slices for Q2K {
    const CODES: i32 = 4;
    const OFFSET: i32 = 0;
    const PARTS: usize = 2;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize, group: usize) -> L::Codes {
        crumbs(lanes, &self.crumbs, slice, group)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }

    #[inline(always)]
    fn step<L: Lanes>(&self, lanes: L, part: usize) -> L::Whole {
        lanes.steps(&self.steps[part].map(|steps| steps & 15))
    }

    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L) -> L::Floats {
        minus(lanes, &self.minima)
    }

    #[inline(always)]
    fn minimum_step<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        lanes.bytes(&self.steps[part].map(|steps| steps >> 4))
    }
}

impl Slices for Q3K {
    const CODES: i32 = 8;
    const OFFSET: i32 = 4;
    const PARTS: usize = 2;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize, group: usize) -> L::Codes {
        with_bits(lanes, crumbs(lanes, &self.crumbs, slice, group), &self.bits[slice], group, 2)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }

    #[inline(always)]
    fn step<L: Lanes>(&self, lanes: L, part: usize) -> L::Whole {
        lanes.signed_steps(&self.steps[part])
    }
}

impl Slices for Q4K {
    const CODES: i32 = 16;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize, group: usize) -> L::Codes {
        nibbles(lanes, &self.nibbles[slice], group)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }

    #[inline(always)]
    fn step<L: Lanes>(&self, lanes: L, part: usize) -> L::Whole {
        lanes.steps(&self.scale_steps[part])
    }

    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L) -> L::Floats {
        minus(lanes, &self.minima)
    }

    #[inline(always)]
    fn minimum_step<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        lanes.bytes(&self.minimum_steps[part])
    }
}

impl Slices for Q5K {
    const CODES: i32 = 32;
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize, group: usize) -> L::Codes {
        with_bits(lanes, nibbles(lanes, &self.nibbles[slice], group), &self.bits[slice], group, 4)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }

    #[inline(always)]
    fn step<L: Lanes>(&self, lanes: L, part: usize) -> L::Whole {
        lanes.steps(&self.scale_steps[part])
    }

    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L) -> L::Floats {
        minus(lanes, &self.minima)
    }

    #[inline(always)]
    fn minimum_step<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        lanes.bytes(&self.minimum_steps[part])
    }
}

impl Slices for Q6K {
    const CODES: i32 = 64;
    const OFFSET: i32 = 32;
    const PARTS: usize = 2;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize, group: usize) -> L::Codes {
        let sixes = &self.sixes[2 * slice + group / 4];
        if group % 4 < 3 {
            return lanes.and(lanes.load(&sixes[group % 4]), lanes.splat(0x3f3f_3f3f));
        }
        let piece =
            |plane: usize, by, bits| lanes.and(lanes.shift(lanes.load(&sixes[plane]), by), lanes.splat(bits));
        lanes.or(lanes.or(piece(0, -2, 0x3030_3030), piece(1, -4, 0x0c0c_0c0c)), piece(2, -6, 0x0303_0303))
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }

    #[inline(always)]
    fn step<L: Lanes>(&self, lanes: L, part: usize) -> L::Whole {
        lanes.signed_steps(&self.steps[part])
    }
}

impl Slices for Iq4Xs {
    const CODES: i32 = 256;
    const OFFSET: i32 = 128;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize, group: usize) -> L::Codes {
        levels(lanes, &self.nibbles[slice], group, &const { above(LEVELS, Self::OFFSET) })
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L) -> L::Floats {
        lanes.halves(&self.scales)
    }

    #[inline(always)]
    fn step<L: Lanes>(&self, lanes: L, part: usize) -> L::Whole {
        lanes.signed_steps(&self.steps[part])
    }
}

/// A group of four planes, in the lower halves of the bytes or the upper.
#[inline(always)]
fn nibbles<L: Lanes>(lanes: L, packed: &[Group; 4], group: usize) -> L::Codes {
    let both = lanes.load(&packed[group % 4]);
    lanes.and(lanes.shift(both, -4 * (group as i32 / 4)), lanes.splat(0x0f0f_0f0f))
}

/// What nibbles stand for.
#[inline(always)]
fn levels<L: Lanes>(lanes: L, packed: &[Group; 4], group: usize, levels: &[u8; 16]) -> L::Codes {
    lanes.look_up(levels, nibbles(lanes, packed, group))
}

/// A group of codes of two bits.
#[inline(always)]
fn crumbs<L: Lanes>(lanes: L, packed: &[Group; 16], slice: usize, group: usize) -> L::Codes {
    let four = lanes.load(&packed[2 * slice + group / 4]);
    lanes.and(lanes.shift(four, -2 * (group as i32 % 4)), lanes.splat(0x0303_0303))
}

/// Codes with one more bit, the one at `place`.
#[inline(always)]
fn with_bits<L: Lanes>(lanes: L, codes: L::Codes, bits: &Group, group: usize, place: i32) -> L::Codes {
    let bit = lanes.shift(lanes.load(bits), place - group as i32);
    lanes.or(codes, lanes.and(bit, lanes.splat(0x0101_0101 << place)))
}

/// Minus 16-bit floats.
#[inline(always)]
fn minus<L: Lanes>(lanes: L, halves: &[u16; ROWS]) -> L::Floats {
    lanes.halves(&halves.map(|bits| bits ^ 0x8000))
}

/// Whole levels, `offset` above what they are.
#[inline(always)]
const fn above(levels: [f32; 16], offset: i32) -> [u8; 16] {
    let (mut above, mut i) = ([0; 16], 0);
    while i < 16 {
        above[i] = (levels[i] as i32 + offset) as u8;
        i += 1;
    }
    above
}
