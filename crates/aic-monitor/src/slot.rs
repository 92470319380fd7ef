use std::time::{Duration, Instant};

use crate::worker::Worker;
use crate::{Moment, Probe, Reading, Result};

/// A probe's place in a round.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Returns at once, so it is read on the polling thread.
    Inline(Box<dyn Probe>),
    /// May hang, so it has a thread.
    Thread(String, Worker),
}

impl Slot {
    pub(crate) fn on_thread(probe: Box<dyn Probe>) -> Result<Self> {
        Ok(Self::Thread(probe.name().to_owned(), Worker::spawn(probe)?))
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Inline(probe) => probe.name(),
            Self::Thread(name, _) => name,
        }
    }

    /// Lets a probe with a thread begin.
    pub(crate) fn ask(&mut self, at: Moment) {
        if let Self::Thread(_, worker) = self {
            worker.ask(at);
        }
    }

    /// The readings of this round; waits until `until` if it has to. `deadline` is what to call that in an error.
    pub(crate) fn collect(&mut self, at: Moment, until: Instant, deadline: Duration) -> Result<Vec<Reading>> {
        match self {
            Self::Inline(probe) => probe.read(at),
            Self::Thread(name, worker) => {
                worker.collect(name, until.saturating_duration_since(Instant::now()), deadline)
            }
        }
    }
}
