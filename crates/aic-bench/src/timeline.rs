use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When the outputs of one request came.
///
/// A handle: clones write to the same request, so that a target may hand it to the task that reads the stream. Time
/// is tokio's, and stands still in a test with paused time.
#[derive(Clone, Debug, Default)]
pub struct Timeline(Arc<Mutex<Outputs>>);

/// What a timeline has seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) first: Option<Instant>,
    pub(crate) last: Option<Instant>,
    pub(crate) gaps: Vec<Duration>,
    pub(crate) tokens: u64,
}

impl Timeline {
    /// Notes that `count` tokens have come just now. Empty chunks (a count of zero) are not outputs.
    pub fn tokens(&self, count: u64) {
        if count > 0 {
            self.lock().note(Instant::now(), count);
        }
    }

    /// Corrects the number of output tokens, where the server reports it at the end; chunks are not always tokens.
    pub fn set_output_tokens(&self, count: u64) {
        self.lock().tokens = count;
    }

    pub(crate) fn outputs(&self) -> Outputs {
        std::mem::take(&mut *self.lock())
    }

    /// A panic in another holder cannot leave the plain data half written.
    fn lock(&self) -> MutexGuard<'_, Outputs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outputs {
    fn note(&mut self, now: Instant, count: u64) {
        self.gaps.extend(self.last.map(|last| now - last));
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.tokens = self.tokens.saturating_add(count);
    }
}
