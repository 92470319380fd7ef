use crate::Result;

/// Tokens of one sequence that go through the model together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice<'a> {
    /// The sequence's number, not used for another as long as the decoder lives.
    #[cfg_attr(not(feature = "candle"), allow(dead_code))]
    pub(crate) sequence: u64,
    /// At least one.
    pub(crate) tokens: &'a [u32],
    /// Position of the first of them; all earlier ones have been run, or are in pages shared with a sequence that ran them.
    pub(crate) start: usize,
    /// The pages of the sequence's keys and values, in order; they have room for these tokens.
    pub(crate) pages: &'a [u32],
    /// Whether the logits after the last of these tokens are wanted.
    pub(crate) logits: bool,
}

/// A model that runs tokens of several sequences in one pass.
pub(crate) trait Step: Send {
    /// Positions in one page of keys and values.
    fn page_size(&self) -> usize;

    /// Pages there are; numbers of pages lie below it.
    fn pages(&self) -> usize;

    /// Whether sequences that begin alike may share full pages.
    fn shares_pages(&self) -> bool;

    /// Runs `slices`, whose sequences all differ. Returns the logits after the last token of each slice that asks for them,
    /// one vector for each, in order.
    fn step(&mut self, slices: &[Slice<'_>]) -> Result<Vec<Vec<f32>>>;

    /// The sequence is over; its pages may be used for others.
    fn end(&mut self, sequence: u64);

    /// Nobody needs what is in `pages`, and nobody may for a while: their memory can go back to the system.
    fn trim(&mut self, pages: &[u32]);
}
