//! Weights packed once, and their products with activations.
//!
//! A linear layer is `output = input × weightsᵀ`: weights `[rows, columns]` as a model file has them, input `[tokens, columns]`
//! and output `[tokens, rows]`, both plain `f32`. [`Packed`] holds the weights, in an [order](layout) made for vectors and in
//! no more memory than the file needs; [`multiply`] computes.
//!
//! With quantized weights the input is [quantized](activations) to 8 bits, and what is summed over each 16 or 32 columns is whole
//! numbers. Plain weights are multiplied as `f32`.
//!
//! An instruction set is one function that computes a [`Tile`](product::Tile) of the output; [`scalar`] is the one that the
//! others are compared with.
mod activations;
#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod buffer;
mod dot;
mod layout;
#[cfg(target_arch = "aarch64")]
mod neon;
mod product;
mod scalar;
#[cfg(test)]
mod tests;
mod trial;

use std::fmt;
use std::ops::Range;

use self::buffer::Buffer;
use self::layout::{Block, Coded, Plain, ROWS, with_coded, with_plain};
#[cfg(target_arch = "aarch64")]
pub(super) use self::neon::Neon;
pub(crate) use self::product::{Product, Scratch, multiply};
pub(super) use self::trial::try_out;
#[cfg(target_arch = "x86_64")]
pub(super) use self::{amx::Amx, avx::Avx, avx512::Avx512};
use super::{InstructionSet, Parts, Pool};
use crate::{DType, Error, Result};

/// Bytes of a model file that are held while they are packed.
const SLAB_BYTES: usize = 4 << 20;

/// A matrix of weights in the order that kernels read it.
pub(crate) struct Packed {
    dtype: DType,
    rows: usize,
    columns: usize,
    instructions: InstructionSet,
    panel_bytes: usize,
    bytes: Buffer,
}

impl Packed {
    /// Packs a matrix `[rows, columns]` of `dtype`, to be multiplied with `instructions`.
    ///
    /// `read` puts the bytes of a range of rows, as a model file has them, into the slice it is given. It is called for some
    /// megabytes at a time, first rows first, so that the matrix is never held twice.
    ///
    /// # Errors
    /// [`Error::UnsupportedDType`] for types that cannot be multiplied, [`Error::Unsupported`] for instructions that this
    /// processor lacks, [`Error::Tensor`] if the columns do not divide into blocks, [`Error::Io`] if there is no memory; and
    /// those of `read`.
    pub(crate) fn pack(
        dtype: DType,
        rows: usize,
        columns: usize,
        instructions: InstructionSet,
        pool: &Pool,
        read: impl FnMut(Range<usize>, &mut [u8]) -> Result<()>,
    ) -> Result<Self> {
        if !columns.is_multiple_of(dtype.block_size()) {
            let problem = format!(
                "have {columns} columns, which do not divide into {dtype} blocks of {}",
                dtype.block_size()
            );
            return Err(Error::tensor("weights", problem));
        }
        if !InstructionSet::available().contains(&instructions) {
            let supported = "those of this processor; leave it to the best";
            return Err(Error::Unsupported {
                what: "instruction set",
                name: instructions.to_string(),
                supported,
            });
        }
        Self::pack_untried(dtype, rows, columns, instructions, pool, read)
    }

    /// Packs for instructions that need not be available.
    fn pack_untried(
        dtype: DType,
        rows: usize,
        columns: usize,
        instructions: InstructionSet,
        pool: &Pool,
        read: impl FnMut(Range<usize>, &mut [u8]) -> Result<()>,
    ) -> Result<Self> {
        let empty = Self::zeroed(dtype, rows, columns, instructions)?;
        with_coded!(dtype, B => empty.fill::<B>(pool, read), else
            with_plain!(dtype, B => empty.fill::<B>(pool, read), else Err(unsupported(dtype))))
    }

    fn zeroed(dtype: DType, rows: usize, columns: usize, instructions: InstructionSet) -> Result<Self> {
        let panel_bytes = panel_bytes(dtype, columns)?;
        let too_large =
            || Error::tensor("weights", format!("are too large: {rows} rows of {columns} columns"));
        let length = rows.div_ceil(ROWS).checked_mul(panel_bytes).ok_or_else(too_large)?;
        Ok(Self { dtype, rows, columns, instructions, panel_bytes, bytes: Buffer::zeroed(length)? })
    }

    fn fill<B: Block>(
        mut self,
        pool: &Pool,
        mut read: impl FnMut(Range<usize>, &mut [u8]) -> Result<()>,
    ) -> Result<Self> {
        let row_bytes = self.columns / self.dtype.block_size() * self.dtype.block_bytes();
        let step = (SLAB_BYTES / row_bytes.max(1) / ROWS).max(1) * ROWS;
        // Not the allocator's, which would keep the memory after the last of many matrices.
        let mut slab = Buffer::zeroed(step.min(self.rows) * row_bytes)?;
        for start in (0..self.rows).step_by(step) {
            let rows = start..self.rows.min(start + step);
            let slab = &mut slab.bytes_mut()[..rows.len() * row_bytes];
            read(rows.clone(), slab)?;
            self.fill_rows::<B>(pool, rows, slab, row_bytes);
        }
        Ok(self)
    }

    /// Packs `rows`, which begin a panel.
    fn fill_rows<B: Block>(&mut self, pool: &Pool, rows: Range<usize>, source: &[u8], row_bytes: usize) {
        let (first, size) = (rows.start / ROWS, self.panel_bytes);
        let panels = Parts::new(self.bytes.bytes_mut());
        pool.run(rows.len().div_ceil(ROWS), |index| {
            let panel = first + index;
            // SAFETY: each task takes a panel of its own.
            let panel = blocks_mut::<B>(unsafe { panels.part(panel * size..(panel + 1) * size) });
            for (row, source) in source.chunks(row_bytes.max(1)).skip(index * ROWS).take(ROWS).enumerate() {
                for (block, source) in panel.iter_mut().zip(source.chunks(B::SOURCE_BYTES)) {
                    block.store(row, source);
                }
            }
        });
    }

    /// Outputs of the layer.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs of the layer.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The type it was packed from.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Bytes of memory it takes.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.bytes.bytes().len()
    }

    /// Bytes of memory that a matrix takes once it is packed; `None` for types that cannot be multiplied.
    pub(crate) fn bytes_of(dtype: DType, rows: usize, columns: usize) -> Option<u64> {
        let panels = rows.div_ceil(ROWS) as u64;
        panels.checked_mul(panel_bytes(dtype, columns).ok()? as u64)
    }

    /// One row as numbers, bit for bit those that [`decode`](crate::decode) makes of it; `out` is as long as there are
    /// columns.
    ///
    /// # Panics
    /// If `index` or the length of `out` is wrong.
    pub(crate) fn row(&self, index: usize, out: &mut [f32]) {
        assert!(index < self.rows && out.len() == self.columns, "row {index} of {self:?} into {}", out.len());
        with_coded!(self.dtype, B => self.coded_row::<B>(index, out), else
            with_plain!(self.dtype, B => self.plain_row::<B>(index, out), else unreachable!("not packed")));
    }

    fn coded_row<B: Coded>(&self, index: usize, out: &mut [f32]) {
        for (block, out) in self.panel::<B>(index / ROWS).iter().zip(out.chunks_mut(B::COLUMNS)) {
            block.line(index % ROWS).numbers(out);
        }
    }

    fn plain_row<B: Plain>(&self, index: usize, out: &mut [f32]) {
        for (block, out) in self.panel::<B>(index / ROWS).iter().zip(out.chunks_mut(B::COLUMNS)) {
            block.numbers(index % ROWS, out);
        }
    }

    fn panels(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// The blocks of a panel, which must be of the type this was packed with.
    fn panel<B: Block>(&self, panel: usize) -> &[B] {
        blocks(&self.bytes.bytes()[panel * self.panel_bytes..][..self.panel_bytes])
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}, {}] for {}", self.dtype, self.rows, self.columns, self.instructions)
    }
}

fn unsupported(dtype: DType) -> Error {
    let supported = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS and MXFP4";
    Error::UnsupportedDType { dtype, action: "multiplied", supported }
}

fn panel_bytes(dtype: DType, columns: usize) -> Result<usize> {
    fn of<B: Block>(columns: usize) -> Option<usize> {
        columns.div_ceil(B::COLUMNS).checked_mul(size_of::<B>())
    }
    let bytes = with_coded!(dtype, B => of::<B>(columns), else
        with_plain!(dtype, B => of::<B>(columns), else return Err(unsupported(dtype))));
    bytes.ok_or_else(|| Error::tensor("weights", format!("are too large: {columns} columns")))
}

fn blocks<B: Block>(bytes: &[u8]) -> &[B] {
    // SAFETY: all bit patterns are valid blocks.
    let (before, blocks, after) = unsafe { bytes.align_to() };
    assert!(before.is_empty() && after.is_empty(), "a panel is whole blocks");
    blocks
}

fn blocks_mut<B: Block>(bytes: &mut [u8]) -> &mut [B] {
    // SAFETY: all bit patterns are valid blocks, and blocks have no padding.
    let (before, blocks, after) = unsafe { bytes.align_to_mut() };
    assert!(before.is_empty() && after.is_empty(), "a panel is whole blocks");
    blocks
}
