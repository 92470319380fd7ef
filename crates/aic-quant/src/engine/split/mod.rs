//! Models whose first layers run on candle's tensors and the others on this crate's kernels: models that are larger than a GPU.
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use super::observer::Observer;
use super::runner::{self, Wanted};
use super::step::Slice;
use super::{candle, cpu};
use crate::{CacheType, Result};

/// Runs slices through the first layers, one sequence after the other, and then all together through the others.
///
/// The first layers keep the keys and values of each sequence by its number, the others in its pages: a sequence that ends must
/// be forgotten by both, and no two can share pages.
pub(super) struct Runner {
    first: candle::Runner,
    last: cpu::Runner,
}

impl Runner {
    /// A runner for `positions` of all sequences together.
    ///
    /// # Errors
    /// If the system refuses the memory.
    pub(super) fn new(
        first: Arc<candle::Decoder>,
        last: Arc<cpu::Decoder>,
        positions: usize,
        cache_types: [CacheType; 2],
    ) -> Result<Self> {
        let last = cpu::Runner::new(last, positions, cache_types)?;
        Ok(Self { first: candle::Runner::new(first, positions), last })
    }
}

impl runner::Runner for Runner {
    fn page_size(&self) -> usize {
        self.last.page_size()
    }

    fn pages(&self) -> usize {
        self.last.pages()
    }

    fn shares_pages(&self) -> bool {
        self.first.shares_pages() && self.last.shares_pages()
    }

    fn run(&mut self, slices: &[Slice<'_>], wanted: Wanted, observer: &mut dyn Observer) -> Result<()> {
        self.first.run(slices, Wanted::All, observer)?;
        self.last.run_from(self.first.states()?, slices, wanted, observer)
    }

    fn states(&mut self) -> Result<&[f32]> {
        self.last.states()
    }

    fn logits(&mut self, rows: Range<usize>) -> Result<Vec<Vec<f32>>> {
        self.last.logits(rows)
    }

    fn end(&mut self, sequence: u64) {
        self.first.end(sequence);
        self.last.end(sequence);
    }

    fn trim(&mut self, pages: &[u32]) {
        self.first.trim(pages);
        self.last.trim(pages);
    }
}
