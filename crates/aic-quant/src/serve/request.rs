use std::time::Instant;

use super::key::Key;
use crate::{Error, Result};

/// Says what comes next in one answer, and passes it on to whoever asked. Dropped before the end, it tells them so.
pub(super) trait Speaker: Send {
    /// The request has its turn; also after each preemption.
    fn started(&mut self, now: Instant);

    /// Chooses the next token by the `logits` after the last one; `None` when the answer is over. No token follows if this
    /// one is the `last`.
    fn next(&mut self, logits: Vec<f32>, last: bool, now: Instant) -> Result<Option<u32>>;

    /// Whether anybody waits for the answer still.
    fn wanted(&self) -> bool;

    /// The answer ends here.
    fn fail(&mut self, error: Error);
}

/// Something to be answered, from its submission to its end.
pub(super) struct Request {
    /// The prompt, then what was answered so far.
    pub(super) tokens: Vec<u32>,
    /// How many of them are the prompt.
    pub(super) prompt: usize,
    /// Most tokens of prompt and answer.
    pub(super) limit: usize,
    /// Keys of the full pages of `tokens`, as far as they were needed.
    pub(super) keys: Vec<Key>,
    pub(super) submitted: Instant,
    /// When the request is of no use any more if it still waits.
    pub(super) start_by: Option<Instant>,
    pub(super) speaker: Box<dyn Speaker>,
}

impl Request {
    /// Asks for up to `max_tokens` after `prompt`.
    pub(super) fn new(
        prompt: Vec<u32>,
        max_tokens: usize,
        submitted: Instant,
        start_by: Option<Instant>,
        speaker: Box<dyn Speaker>,
    ) -> Self {
        let limit = prompt.len().saturating_add(max_tokens);
        Self { prompt: prompt.len(), tokens: prompt, limit, keys: Vec::new(), submitted, start_by, speaker }
    }

    /// Whether starting it would be of no use.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        !self.speaker.wanted() || self.start_by.is_some_and(|start_by| start_by < now)
    }
}
