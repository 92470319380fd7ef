use super::observer::Observer;
use super::step::{Slice, Step};
use crate::Result;

/// The rows whose last hidden states are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Of every token.
    All,
    /// Of the last token of each slice that asks for logits.
    Last,
}

/// A loaded decoder together with the keys and values of the sequences it runs.
pub(super) trait Runner: Send {
    /// Positions in one page of keys and values.
    fn page_size(&self) -> usize;

    /// Pages there are.
    fn pages(&self) -> usize;

    /// Whether sequences may share pages.
    fn shares_pages(&self) -> bool;

    /// Runs `slices` in one pass, under the eyes of `observer`.
    fn run(&mut self, slices: &[Slice<'_>], wanted: Wanted, observer: &mut dyn Observer) -> Result<()>;

    /// The normalised last hidden states of the wanted rows, one after the other.
    fn states(&mut self) -> Result<&[f32]>;

    /// The logits after some of the wanted rows.
    fn logits(&mut self, rows: std::ops::Range<usize>) -> Result<Vec<Vec<f32>>>;

    /// The sequence is over.
    fn end(&mut self, sequence: u64);

    /// The memory of `pages` can go back to the system.
    fn trim(&mut self, pages: &[u32]);
}

/// A runner as a scheduler drives it.
pub(super) struct Stepper(pub(super) Box<dyn Runner>);

impl Step for Stepper {
    fn page_size(&self) -> usize {
        self.0.page_size()
    }

    fn pages(&self) -> usize {
        self.0.pages()
    }

    fn shares_pages(&self) -> bool {
        self.0.shares_pages()
    }

    fn step(&mut self, slices: &[Slice<'_>]) -> Result<Vec<Vec<f32>>> {
        self.0.run(slices, Wanted::Last, &mut ())?;
        self.0.logits(0..slices.iter().filter(|slice| slice.logits).count())
    }

    fn end(&mut self, sequence: u64) {
        self.0.end(sequence);
    }

    fn trim(&mut self, pages: &[u32]) {
        self.0.trim(pages);
    }
}
