//! Blocks of 256 columns, whose sub-blocks have whole numbers for scales: the K types and IQ4_XS.
use half::f16;

use super::{
    Block, Coded, Group, Line, NOTHING, ROWS, load_bits, load_crumbs, load_nibbles, load_sixes, store_bits,
    store_crumbs, store_nibbles, store_sixes,
};
use crate::codec::blocks::{from_nibbles, part};
use crate::codec::nonlinear::LEVELS;
use crate::codec::superblocks::{planes, six_bits};

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q2K {
    pub(crate) scales: [u16; ROWS],
    pub(crate) minima: [u16; ROWS],
    /// For each 16 columns: what multiplies the scale in the lower half, what multiplies the minimum in the upper.
    pub(crate) steps: [[u8; ROWS]; 16],
    pub(crate) crumbs: [Group; 16],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q3K {
    pub(crate) scales: [u16; ROWS],
    pub(crate) steps: [[i8; ROWS]; 16],
    pub(crate) crumbs: [Group; 16],
    pub(crate) bits: [Group; 8],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q4K {
    pub(crate) scales: [u16; ROWS],
    pub(crate) minima: [u16; ROWS],
    pub(crate) scale_steps: [[u8; ROWS]; 8],
    pub(crate) minimum_steps: [[u8; ROWS]; 8],
    pub(crate) nibbles: [[Group; 4]; 8],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q5K {
    pub(crate) scales: [u16; ROWS],
    pub(crate) minima: [u16; ROWS],
    pub(crate) scale_steps: [[u8; ROWS]; 8],
    pub(crate) minimum_steps: [[u8; ROWS]; 8],
    pub(crate) bits: [Group; 8],
    pub(crate) nibbles: [[Group; 4]; 8],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Q6K {
    pub(crate) scales: [u16; ROWS],
    pub(crate) steps: [[i8; ROWS]; 16],
    /// Of each part.
    pub(crate) sixes: [[Group; 3]; 16],
}

/// The nibbles stand for [`LEVELS`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Iq4Xs {
    pub(crate) scales: [u16; ROWS],
    pub(crate) steps: [[i8; ROWS]; 8],
    pub(crate) nibbles: [[Group; 4]; 8],
}

// SAFETY: a struct of whole numbers in the order of C, each part a multiple of 16 bytes.
unsafe impl Block for Q2K {
    const COLUMNS: usize = 256;
    const SOURCE_BYTES: usize = 84;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 80));
        self.minima[row] = u16::from_le_bytes(part(source, 82));
        for (steps, byte) in self.steps.iter_mut().zip(source) {
            steps[row] = *byte;
        }
        let mut codes = [0; 256];
        planes::unpack(&source[16..80], 0, 2, 32, &mut codes);
        for (crumbs, codes) in self.crumbs.iter_mut().zip(codes.chunks(16)) {
            store_crumbs(crumbs, row, codes);
        }
    }
}

impl Coded for Q2K {
    fn line(&self, row: usize) -> Line {
        let mut codes = [0; 256];
        for (codes, crumbs) in codes.as_chunks_mut().0.iter_mut().zip(&self.crumbs) {
            *codes = load_crumbs(crumbs, row);
        }
        let (scales, minima) =
            (self.steps.map(|steps| steps[row] & 15), self.steps.map(|steps| steps[row] >> 4));
        Line {
            codes: codes.map(|code| code as i8),
            scales: multiples(self.scales[row], scales.map(f32::from)),
            minima: multiples(self.minima[row], minima.map(f32::from)).map(|minimum| -minimum),
        }
    }
}

// SAFETY: as above.
unsafe impl Block for Q3K {
    const COLUMNS: usize = 256;
    const SOURCE_BYTES: usize = 110;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 108));
        for (steps, stored) in self.steps.iter_mut().zip(six_bits::unpack_scales(&part(source, 96))) {
            steps[row] = stored as i8 - 32;
        }
        let mut codes = [0; 256];
        planes::unpack(&source[..32], 2, 1, 32, &mut codes);
        planes::unpack(&source[32..96], 0, 2, 32, &mut codes);
        for (crumbs, codes) in self.crumbs.iter_mut().zip(codes.chunks(16)) {
            store_crumbs(crumbs, row, codes);
        }
        for (bits, codes) in self.bits.iter_mut().zip(codes.chunks(32)) {
            store_bits(bits, row, codes, 2);
        }
    }
}

impl Coded for Q3K {
    fn line(&self, row: usize) -> Line {
        let mut codes = [0; 256];
        for (codes, crumbs) in codes.as_chunks_mut().0.iter_mut().zip(&self.crumbs) {
            *codes = load_crumbs(crumbs, row);
        }
        for (bits, codes) in self.bits.iter().zip(codes.chunks_mut(32)) {
            load_bits(bits, row, codes, 2);
        }
        Line {
            codes: codes.map(|code| code as i8 - 4),
            scales: multiples(self.scales[row], self.steps.map(|steps| f32::from(steps[row]))),
            minima: [NOTHING; 16],
        }
    }
}

// SAFETY: as above.
unsafe impl Block for Q4K {
    const COLUMNS: usize = 256;
    const SOURCE_BYTES: usize = 144;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 0));
        self.minima[row] = u16::from_le_bytes(part(source, 2));
        let (scales, minima) = six_bits::unpack_pairs(&part(source, 4));
        let mut codes = [0; 256];
        planes::unpack(&source[16..144], 0, 4, 32, &mut codes);
        for (j, codes) in codes.chunks(32).enumerate() {
            (self.scale_steps[j][row], self.minimum_steps[j][row]) = (scales[j], minima[j]);
            store_nibbles(&mut self.nibbles[j], row, codes);
        }
    }
}

impl Coded for Q4K {
    fn line(&self, row: usize) -> Line {
        let mut codes = [0; 256];
        for (codes, nibbles) in codes.as_chunks_mut().0.iter_mut().zip(&self.nibbles) {
            *codes = load_nibbles(nibbles, row);
        }
        Line {
            codes: codes.map(|code| code as i8),
            scales: multiples(self.scales[row], twice(&self.scale_steps, row)),
            minima: multiples(self.minima[row], twice(&self.minimum_steps, row)).map(|minimum| -minimum),
        }
    }
}

// SAFETY: as above.
unsafe impl Block for Q5K {
    const COLUMNS: usize = 256;
    const SOURCE_BYTES: usize = 176;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 0));
        self.minima[row] = u16::from_le_bytes(part(source, 2));
        let (scales, minima) = six_bits::unpack_pairs(&part(source, 4));
        let mut codes = [0; 256];
        planes::unpack(&source[16..48], 4, 1, 32, &mut codes);
        planes::unpack(&source[48..176], 0, 4, 32, &mut codes);
        for (j, codes) in codes.chunks(32).enumerate() {
            (self.scale_steps[j][row], self.minimum_steps[j][row]) = (scales[j], minima[j]);
            store_nibbles(&mut self.nibbles[j], row, codes);
            store_bits(&mut self.bits[j], row, codes, 4);
        }
    }
}

impl Coded for Q5K {
    fn line(&self, row: usize) -> Line {
        let mut codes = [0; 256];
        for (j, codes) in codes.as_chunks_mut().0.iter_mut().enumerate() {
            *codes = load_nibbles(&self.nibbles[j], row);
            load_bits(&self.bits[j], row, codes, 4);
        }
        Line {
            codes: codes.map(|code| code as i8),
            scales: multiples(self.scales[row], twice(&self.scale_steps, row)),
            minima: multiples(self.minima[row], twice(&self.minimum_steps, row)).map(|minimum| -minimum),
        }
    }
}

// SAFETY: as above.
unsafe impl Block for Q6K {
    const COLUMNS: usize = 256;
    const SOURCE_BYTES: usize = 210;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 208));
        for (steps, byte) in self.steps.iter_mut().zip(&source[192..]) {
            steps[row] = *byte as i8;
        }
        let mut codes = [0; 256];
        planes::unpack(&source[..128], 0, 4, 64, &mut codes);
        planes::unpack(&source[128..192], 4, 2, 32, &mut codes);
        for (sixes, codes) in self.sixes.iter_mut().zip(codes.chunks(16)) {
            store_sixes(sixes, row, codes);
        }
    }
}

impl Coded for Q6K {
    fn line(&self, row: usize) -> Line {
        let mut codes = [0; 256];
        for (codes, sixes) in codes.as_chunks_mut().0.iter_mut().zip(&self.sixes) {
            *codes = load_sixes(sixes, row);
        }
        Line {
            codes: codes.map(|code| code as i8 - 32),
            scales: multiples(self.scales[row], self.steps.map(|steps| f32::from(steps[row]))),
            minima: [NOTHING; 16],
        }
    }
}

// SAFETY: as above.
unsafe impl Block for Iq4Xs {
    const COLUMNS: usize = 256;
    const SOURCE_BYTES: usize = 136;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.scales[row] = u16::from_le_bytes(part(source, 0));
        let high = u16::from_le_bytes(part(source, 2));
        for j in 0..8 {
            let low = source[4 + j / 2] >> (j % 2 * 4) & 15;
            self.steps[j][row] = (low | (((high >> (2 * j)) & 3) as u8) << 4) as i8 - 32;
            store_nibbles(&mut self.nibbles[j], row, &from_nibbles(&part(source, 8 + 16 * j)));
        }
    }
}

impl Coded for Iq4Xs {
    fn line(&self, row: usize) -> Line {
        let mut codes = [0; 256];
        for (codes, nibbles) in codes.as_chunks_mut::<32>().0.iter_mut().zip(&self.nibbles) {
            *codes = load_nibbles(nibbles, row).map(|code| LEVELS[usize::from(code)] as i8);
        }
        let steps = |i: usize| f32::from(self.steps[i / 2][row]);
        Line { codes, scales: multiples(self.scales[row], std::array::from_fn(steps)), minima: [NOTHING; 16] }
    }
}

/// Multiples of the number with the bits `half` for each 16 columns.
fn multiples(half: u16, steps: [f32; 16]) -> [f32; 16] {
    let scale = f16::from_bits(half).to_f32();
    steps.map(|step| scale * step)
}

/// A row's steps, which are for 32 columns each, for each 16.
fn twice(steps: &[[u8; ROWS]; 8], row: usize) -> [f32; 16] {
    std::array::from_fn(|i| f32::from(steps[i / 2][row]))
}
