use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::{Happening, Shared};
use crate::Progress;

/// Least time between two events of progress.
const EVENTS_APART: Duration = Duration::from_millis(100);

/// What a running job asks between two pieces of work: whether to go on.
pub struct Control<'a> {
    shared: &'a Shared,
    looked: Instant,
    told: Option<Instant>,
}

impl<'a> Control<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared, looked: Instant::now(), told: None }
    }

    /// Tells how far the job has come; waits here while the machine is under pressure.
    ///
    /// [`ControlFlow::Break`] says that the job is to return [`Error::Stopped`](crate::Error::Stopped) and to keep what it
    /// has, since it may be gone on with.
    pub fn progress(&mut self, progress: Progress<'_>) -> ControlFlow<()> {
        let mut inner = self.shared.lock();
        let now = Instant::now();
        if self.told.is_none_or(|told| now.duration_since(told) >= EVENTS_APART) {
            self.told = Some(now);
            let Progress { done_bytes, total_bytes, .. } = progress;
            if let Some(id) = inner.state.running().cloned() {
                inner.subscribers.tell(&id, Happening::Progress { done_bytes, total_bytes });
            }
        }
        if !inner.must_stop() && now.duration_since(self.looked) >= self.shared.interval {
            inner = self.shared.pause_if_pressed(inner);
            self.looked = Instant::now();
        }
        if inner.must_stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}
