//! Blocks of 32 columns with one scale, and some with a minimum.
use half::f16;

use super::{Block, Coded, Group, Line, NOTHING, ROWS, load_bits, load_nibbles, store_bits, store_nibbles};
use crate::codec::blocks::{from_nibbles, part, with_fifth_bits};
use crate::codec::nonlinear::{FP4_LEVELS, LEVELS, half_of_power};

#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q8_0 {
    pub(crate) scales: [u16; ROWS],
    pub(crate) codes: [Group; 8],
}

#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4_0 {
    pub(crate) scales: [u16; ROWS],
    pub(crate) nibbles: [Group; 4],
}

#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4_1 {
    pub(crate) scales: [u16; ROWS],
    pub(crate) minima: [u16; ROWS],
    pub(crate) nibbles: [Group; 4],
}

#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5_0 {
    pub(crate) scales: [u16; ROWS],
    pub(crate) bits: Group,
    pub(crate) nibbles: [Group; 4],
}

#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5_1 {
    pub(crate) scales: [u16; ROWS],
    pub(crate) minima: [u16; ROWS],
    pub(crate) bits: Group,
    pub(crate) nibbles: [Group; 4],
}

/// The nibbles stand for [`LEVELS`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Iq4Nl {
    pub(crate) scales: [u16; ROWS],
    pub(crate) nibbles: [Group; 4],
}

/// The nibbles stand for [`FP4_LEVELS`], which are multiplied by a [power of two](half_of_power).
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Mxfp4 {
    pub(crate) exponents: [u8; ROWS],
    pub(crate) nibbles: [Group; 4],
}

// SAFETY: a struct of whole numbers in the order of C, each part a multiple of 16 bytes.
unsafe impl Block for Q8_0 {
    const COLUMNS: usize = 32;
    const SOURCE_BYTES: usize = 34;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 0));
        for (group, codes) in self.codes.iter_mut().zip(source[2..].as_chunks().0) {
            group[row] = u32::from_le_bytes(*codes);
        }
    }
}

impl Coded for Q8_0 {
    fn line(&self, row: usize) -> Line {
        let mut line = Line::with(self.scales[row], NOTHING);
        for (codes, group) in line.codes.as_chunks_mut().0.iter_mut().zip(&self.codes) {
            *codes = group[row].to_le_bytes().map(|code| code as i8);
        }
        line
    }
}

// SAFETY: as above.
unsafe impl Block for Q4_0 {
    const COLUMNS: usize = 32;
    const SOURCE_BYTES: usize = 18;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 0));
        store_nibbles(&mut self.nibbles, row, &from_nibbles(&part(source, 2)));
    }
}

impl Coded for Q4_0 {
    fn line(&self, row: usize) -> Line {
        Line::with(self.scales[row], NOTHING).codes(load_nibbles(&self.nibbles, row), |code| code as i8 - 8)
    }
}

// SAFETY: as above.
unsafe impl Block for Q4_1 {
    const COLUMNS: usize = 32;
    const SOURCE_BYTES: usize = 20;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 0));
        self.minima[row] = u16::from_le_bytes(part(source, 2));
        store_nibbles(&mut self.nibbles, row, &from_nibbles(&part(source, 4)));
    }
}

impl Coded for Q4_1 {
    fn line(&self, row: usize) -> Line {
        let line = Line::with(self.scales[row], f16::from_bits(self.minima[row]).to_f32());
        line.codes(load_nibbles(&self.nibbles, row), |code| code as i8)
    }
}

// SAFETY: as above.
unsafe impl Block for Q5_0 {
    const COLUMNS: usize = 32;
    const SOURCE_BYTES: usize = 22;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 0));
        let codes = with_fifth_bits(from_nibbles(&part(source, 6)), part(source, 2));
        store_nibbles(&mut self.nibbles, row, &codes);
        store_bits(&mut self.bits, row, &codes, 4);
    }
}

impl Coded for Q5_0 {
    fn line(&self, row: usize) -> Line {
        let mut codes = load_nibbles(&self.nibbles, row);
        load_bits(&self.bits, row, &mut codes, 4);
        Line::with(self.scales[row], NOTHING).codes(codes, |code| code as i8 - 16)
    }
}

// SAFETY: as above.
unsafe impl Block for Q5_1 {
    const COLUMNS: usize = 32;
    const SOURCE_BYTES: usize = 24;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 0));
        self.minima[row] = u16::from_le_bytes(part(source, 2));
        let codes = with_fifth_bits(from_nibbles(&part(source, 8)), part(source, 4));
        store_nibbles(&mut self.nibbles, row, &codes);
        store_bits(&mut self.bits, row, &codes, 4);
    }
}

impl Coded for Q5_1 {
    fn line(&self, row: usize) -> Line {
        let mut codes = load_nibbles(&self.nibbles, row);
        load_bits(&self.bits, row, &mut codes, 4);
        let line = Line::with(self.scales[row], f16::from_bits(self.minima[row]).to_f32());
        line.codes(codes, |code| code as i8)
    }
}

// SAFETY: as above.
unsafe impl Block for Iq4Nl {
    const COLUMNS: usize = 32;
    const SOURCE_BYTES: usize = 18;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 0));
        store_nibbles(&mut self.nibbles, row, &from_nibbles(&part(source, 2)));
    }
}

impl Coded for Iq4Nl {
    fn line(&self, row: usize) -> Line {
        let line = Line::with(self.scales[row], NOTHING);
        line.codes(load_nibbles(&self.nibbles, row), |code| LEVELS[usize::from(code)] as i8)
    }
}

// SAFETY: as above.
unsafe impl Block for Mxfp4 {
    const COLUMNS: usize = 32;
    const SOURCE_BYTES: usize = 17;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.exponents[row] = source[0];
        store_nibbles(&mut self.nibbles, row, &from_nibbles(&part(source, 1)));
    }
}

impl Coded for Mxfp4 {
    fn line(&self, row: usize) -> Line {
        let mut line = Line::with(0, NOTHING);
        line.scales = [half_of_power(self.exponents[row]); 16];
        line.codes(load_nibbles(&self.nibbles, row), |code| FP4_LEVELS[usize::from(code)] as i8)
    }
}

impl Line {
    /// One scale, as the bits of a 16-bit float, and one minimum for all.
    fn with(scale: u16, minimum: f32) -> Self {
        Self { codes: [0; 256], scales: [f16::from_bits(scale).to_f32(); 16], minima: [minimum; 16] }
    }

    fn codes(mut self, codes: [u8; 32], number: impl Fn(u8) -> i8) -> Self {
        for (out, code) in self.codes.iter_mut().zip(codes) {
            *out = number(code);
        }
        self
    }
}
