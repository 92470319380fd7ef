//! What happens between matrix products, row by row: norms, rotations, activations.
//!
//! Each function is written once, over groups of eight numbers, and compiled twice: for any processor, and for those with
//! [`InstructionSet::Avx2`], where products are added with one rounding.
mod activations;
#[cfg(target_arch = "aarch64")]
pub(super) mod arm;
mod functions;
mod level;
mod norms;
mod rope;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
pub(super) mod x86;

use std::ops::Range;

pub(super) use functions::{exp, tanh};
#[cfg(target_arch = "x86_64")]
pub(super) use level::has_avx2;
pub(super) use level::{FUSED, multiply_add, vectorize};
pub(crate) use rope::{Angles, Pairs};

use super::{InstructionSet, Pool};

/// Numbers in a vector.
pub(super) const LANES: usize = 8;

/// Numbers below which a second thread costs more than it saves.
const SHARED: usize = 1 << 15;

/// Who does the arithmetic, and with which instructions.
#[derive(Clone, Copy)]
pub(crate) struct Vectors<'a> {
    pool: &'a Pool,
    instructions: InstructionSet,
}

impl<'a> Vectors<'a> {
    pub(crate) fn new(pool: &'a Pool, instructions: InstructionSet) -> Self {
        Self { pool, instructions }
    }

    pub(crate) fn pool(&self) -> &'a Pool {
        self.pool
    }

    pub(crate) fn instructions(&self) -> InstructionSet {
        self.instructions
    }

    /// Calls `work` with ranges that together are all of `rows` rows of `size` numbers, on all threads if that is worth it.
    pub(super) fn by_rows(&self, rows: usize, size: usize, work: impl Fn(Range<usize>) + Sync) {
        let tasks = if rows * size < SHARED { 1 } else { self.pool.threads() * 4 };
        let step = rows.div_ceil(tasks).max(1);
        self.pool.run(rows.div_ceil(step), |task| work(task * step..((task + 1) * step).min(rows)));
    }
}
