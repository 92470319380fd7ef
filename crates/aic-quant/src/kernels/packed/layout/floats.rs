//! Plain numbers, column by column.
use half::f16;

use super::{Block, Plain, ROWS};

/// A column.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct F32(pub(crate) [f32; ROWS]);

/// A column.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct F16(pub(crate) [u16; ROWS]);

/// Two neighbouring columns, which instructions for such numbers take in pairs; the first in the lower halves. Where the
/// columns are an odd number, the last is zero.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) [u32; ROWS]);

// SAFETY: an array of numbers.
unsafe impl Block for F32 {
    const COLUMNS: usize = 1;
    const SOURCE_BYTES: usize = 4;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.0[row] = f32::from_le_bytes(source.as_chunks().0[0]);
    }
}

impl Plain for F32 {
    fn numbers(&self, row: usize, out: &mut [f32]) {
        out[0] = self.0[row];
    }
}

// SAFETY: an array of numbers.
unsafe impl Block for F16 {
    const COLUMNS: usize = 1;
    const SOURCE_BYTES: usize = 2;

    fn store(&mut self, row: usize, source: &[u8]) {
        self.0[row] = u16::from_le_bytes(source.as_chunks().0[0]);
    }
}

impl Plain for F16 {
    fn numbers(&self, row: usize, out: &mut [f32]) {
        out[0] = f16::from_bits(self.0[row]).to_f32();
    }
}

// SAFETY: an array of numbers.
unsafe impl Block for Bf16 {
    const COLUMNS: usize = 2;
    const SOURCE_BYTES: usize = 4;

    fn store(&mut self, row: usize, source: &[u8]) {
        let mut columns = [0; 4];
        columns[..source.len()].copy_from_slice(source);
        self.0[row] = u32::from_le_bytes(columns);
    }
}

impl Plain for Bf16 {
    fn numbers(&self, row: usize, out: &mut [f32]) {
        let columns = self.0[row];
        for (number, bits) in out.iter_mut().zip([columns << 16, columns & 0xffff_0000]) {
            *number = f32::from_bits(bits);
        }
    }
}
