use std::ops::Range;

use super::observer::Observer;
use super::runner::{Runner, Wanted};
use super::step::Slice;
use crate::Result;

/// Tokens that go through the layers at once; bounds the memory of intermediate results.
pub(super) const CHUNK: usize = 256;

/// One text going through a model from an empty context, a chunk at a time.
pub(super) struct Reading<'a> {
    runner: Box<dyn Runner>,
    tokens: &'a [u32],
    pages: Vec<u32>,
    rows: Range<usize>,
}

impl<'a> Reading<'a> {
    /// `runner` has room for the `tokens`.
    pub(super) fn new(runner: Box<dyn Runner>, tokens: &'a [u32]) -> Self {
        let pages = (0..tokens.len().div_ceil(runner.page_size()) as u32).collect();
        Self { runner, tokens, pages, rows: 0..0 }
    }

    /// Runs the next chunk; false if there is none.
    pub(super) fn advance(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        self.rows = self.rows.end..self.tokens.len().min(self.rows.end + CHUNK);
        if self.rows.is_empty() {
            return Ok(false);
        }
        let slice = Slice {
            sequence: 0,
            tokens: &self.tokens[self.rows.clone()],
            start: self.rows.start,
            pages: &self.pages,
            logits: false,
        };
        self.runner.run(&[slice], Wanted::All, observer)?;
        Ok(true)
    }

    /// The tokens of the chunk.
    pub(super) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The normalised last hidden states of the chunk, one after the other.
    pub(super) fn states(&mut self) -> Result<&[f32]> {
        self.runner.states()
    }

    /// The logits after some tokens of the chunk, counted from its start.
    pub(super) fn logits(&mut self, rows: Range<usize>) -> Result<Vec<Vec<f32>>> {
        self.runner.logits(rows)
    }
}
