use super::reading::CHUNK;
use super::runner::{Runner, Wanted};
use super::step::Slice;
use crate::{Error, Result};

/// What one generation has seen.
pub(super) struct Context {
    runner: Box<dyn Runner>,
    pages: Vec<u32>,
    length: usize,
}

impl Context {
    pub(super) fn new(runner: Box<dyn Runner>) -> Self {
        Self { pages: (0..runner.pages() as u32).collect(), runner, length: 0 }
    }

    /// Runs `tokens` and returns the logits after the last.
    pub(super) fn next_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        for chunk in tokens.chunks(CHUNK) {
            let slice =
                Slice { sequence: 0, tokens: chunk, start: self.length, pages: &self.pages, logits: true };
            self.runner.run(&[slice], Wanted::Last, &mut ())?;
            self.length += chunk.len();
        }
        self.runner.logits(0..1)?.pop().ok_or(Error::Empty { what: "prompt" })
    }
}
