//! Blocks in vectors, 32 columns at a time.
use super::super::layout::{
    Bf16, Coded, F16, F32, Group, Iq4Nl, Iq4Xs, Mxfp4, Plain, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K,
    Q6K, Q8_0, ROWS,
};
use super::Lanes;
use crate::codec::nonlinear::{FP4_LEVELS, LEVELS, half_of_power};

/// A block of codes, to be taken 32 columns at a time.
pub(crate) trait Slices: Coded {
    /// How much the codes are too large.
    const OFFSET: i32;
    /// Scales that 32 columns have: one, or one for each half.
    const PARTS: usize = 1;
    /// Whether something is added to the codes times their scale.
    const MINIMA: bool = false;

    /// The eight groups of a slice, none of whose codes has a sign.
    fn codes<L: Lanes>(&self, lanes: L, slice: usize) -> [L::Codes; 8];
    /// The scales of a part; parts are counted through all slices.
    fn scale<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats;
    /// What is added to the codes of a part times their scale.
    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L, _part: usize) -> L::Floats {
        lanes.zero()
    }
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
    const OFFSET: i32 = 128;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize) -> [L::Codes; 8] {
        eight(|g| lanes.xor(lanes.load(&self.codes[g]), lanes.splat(0x8080_8080)))
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.halves(&self.scales)
    }
}

impl Slices for Q4_0 {
    const OFFSET: i32 = 8;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize) -> [L::Codes; 8] {
        nibbles(lanes, &self.nibbles)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.halves(&self.scales)
    }
}

impl Slices for Q4_1 {
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize) -> [L::Codes; 8] {
        nibbles(lanes, &self.nibbles)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.halves(&self.scales)
    }

    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.halves(&self.minima)
    }
}

impl Slices for Q5_0 {
    const OFFSET: i32 = 16;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize) -> [L::Codes; 8] {
        with_bits(lanes, nibbles(lanes, &self.nibbles), &self.bits, 4)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.halves(&self.scales)
    }
}

impl Slices for Q5_1 {
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize) -> [L::Codes; 8] {
        with_bits(lanes, nibbles(lanes, &self.nibbles), &self.bits, 4)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.halves(&self.scales)
    }

    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.halves(&self.minima)
    }
}

impl Slices for Iq4Nl {
    const OFFSET: i32 = 128;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize) -> [L::Codes; 8] {
        levels(lanes, &self.nibbles, &const { above(LEVELS, Self::OFFSET) })
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.halves(&self.scales)
    }
}

impl Slices for Mxfp4 {
    const OFFSET: i32 = 12;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, _: usize) -> [L::Codes; 8] {
        levels(lanes, &self.nibbles, &const { above(FP4_LEVELS, Self::OFFSET) })
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, _: usize) -> L::Floats {
        lanes.load_floats(&self.exponents.map(half_of_power))
    }
}

impl Slices for Q2K {
    const OFFSET: i32 = 0;
    const PARTS: usize = 2;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize) -> [L::Codes; 8] {
        crumbs(lanes, &self.crumbs, slice)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        lanes.multiply(lanes.halves(&self.scales), lanes.bytes(&self.steps[part].map(|steps| steps & 15)))
    }

    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        minus(lanes, &self.minima, &self.steps[part].map(|steps| steps >> 4))
    }
}

impl Slices for Q3K {
    const OFFSET: i32 = 4;
    const PARTS: usize = 2;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize) -> [L::Codes; 8] {
        with_bits(lanes, crumbs(lanes, &self.crumbs, slice), &self.bits[slice], 2)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        lanes.multiply(lanes.halves(&self.scales), lanes.signed_bytes(&self.steps[part]))
    }
}

impl Slices for Q4K {
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize) -> [L::Codes; 8] {
        nibbles(lanes, &self.nibbles[slice])
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        lanes.multiply(lanes.halves(&self.scales), lanes.bytes(&self.scale_steps[part]))
    }

    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        minus(lanes, &self.minima, &self.minimum_steps[part])
    }
}

impl Slices for Q5K {
    const OFFSET: i32 = 0;
    const MINIMA: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize) -> [L::Codes; 8] {
        with_bits(lanes, nibbles(lanes, &self.nibbles[slice]), &self.bits[slice], 4)
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        lanes.multiply(lanes.halves(&self.scales), lanes.bytes(&self.scale_steps[part]))
    }

    #[inline(always)]
    fn minimum<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        minus(lanes, &self.minima, &self.minimum_steps[part])
    }
}

impl Slices for Q6K {
    const OFFSET: i32 = 32;
    const PARTS: usize = 2;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize) -> [L::Codes; 8] {
        let low = nibbles(lanes, &self.nibbles[slice]);
        let mask = lanes.splat(0x3030_3030);
        eight(|g| {
            let crumbs = lanes.load(&self.crumbs[2 * slice + g / 4]);
            lanes.or(low[g], lanes.and(lanes.shift(crumbs, 4 - 2 * (g as i32 % 4)), mask))
        })
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        lanes.multiply(lanes.halves(&self.scales), lanes.signed_bytes(&self.steps[part]))
    }
}

impl Slices for Iq4Xs {
    const OFFSET: i32 = 128;

    #[inline(always)]
    fn codes<L: Lanes>(&self, lanes: L, slice: usize) -> [L::Codes; 8] {
        levels(lanes, &self.nibbles[slice], &const { above(LEVELS, Self::OFFSET) })
    }

    #[inline(always)]
    fn scale<L: Lanes>(&self, lanes: L, part: usize) -> L::Floats {
        lanes.multiply(lanes.halves(&self.scales), lanes.signed_bytes(&self.steps[part]))
    }
}

/// Of eight groups. Not a loop, so that places and distances are constants and vectors stay in registers.
#[inline(always)]
fn eight<C>(group: impl Fn(usize) -> C) -> [C; 8] {
    [group(0), group(1), group(2), group(3), group(4), group(5), group(6), group(7)]
}

/// The two planes of four groups, the lower halves of the bytes and the upper.
#[inline(always)]
fn nibbles<L: Lanes>(lanes: L, packed: &[Group; 4]) -> [L::Codes; 8] {
    let mask = lanes.splat(0x0f0f_0f0f);
    eight(|g| lanes.and(lanes.shift(lanes.load(&packed[g % 4]), -4 * (g as i32 / 4)), mask))
}

/// What nibbles stand for.
#[inline(always)]
fn levels<L: Lanes>(lanes: L, packed: &[Group; 4], levels: &[u8; 16]) -> [L::Codes; 8] {
    let places = nibbles(lanes, packed);
    eight(|g| lanes.look_up(levels, places[g]))
}

/// A slice of codes of two bits.
#[inline(always)]
fn crumbs<L: Lanes>(lanes: L, packed: &[Group; 16], slice: usize) -> [L::Codes; 8] {
    let mask = lanes.splat(0x0303_0303);
    eight(|g| {
        let crumbs = lanes.load(&packed[2 * slice + g / 4]);
        lanes.and(lanes.shift(crumbs, -2 * (g as i32 % 4)), mask)
    })
}

/// Codes with one more bit, the one at `place`.
#[inline(always)]
fn with_bits<L: Lanes>(lanes: L, codes: [L::Codes; 8], bits: &Group, place: i32) -> [L::Codes; 8] {
    let (bits, mask) = (lanes.load(bits), lanes.splat(0x0101_0101 << place));
    eight(|g| lanes.or(codes[g], lanes.and(lanes.shift(bits, place - g as i32), mask)))
}

/// Minus the products of 16-bit floats and whole numbers.
#[inline(always)]
fn minus<L: Lanes>(lanes: L, halves: &[u16; ROWS], steps: &[u8; ROWS]) -> L::Floats {
    let negative = halves.map(|bits| bits ^ 0x8000);
    lanes.multiply(lanes.halves(&negative), lanes.bytes(steps))
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
