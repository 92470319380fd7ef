use std::time::Duration;

use tokio::time::Instant;

use super::Outcome;

/// As good as never, and within the range of an [`Instant`].
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// When the next prompt may begin.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    due: Option<Instant>,
    /// The prompt that began last, and what was due then.
    last: Option<(usize, Option<Instant>)>,
}

impl Pace {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, due: None, last: None }
    }

    /// `None` means at once.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The next one is due an interval from now, not from when this one was due: a stall is not made up for.
    pub(super) fn started(&mut self, number: usize, now: Instant) {
        self.last = Some((number, self.due));
        // Without an interval no timer is waited for, which would take up to a millisecond.
        self.due = (!self.interval.is_zero()).then(|| now + self.interval.min(CENTURY));
    }

    /// What was known has cost nobody anything, so the next one need not wait for it. Only if it began last:
    /// otherwise another one has begun since, for which the next one does wait.
    pub(super) fn finished(&mut self, number: usize, outcome: &Outcome) {
        if let (Outcome::Known, Some((last, due))) = (outcome, self.last)
            && last == number
        {
            self.due = due;
        }
    }
}
