//! What one request may still use up: its time and its retries.

use std::time::{Duration, Instant};

use super::Inner;
use crate::backoff::Backoff;
use crate::{Attempt, Error, NextStep};

/// A deadline beyond this is as good as none, and stays within what the clock can count.
const LONGEST_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is left of a request's time and retries, and what was done with the rest.
#[derive(Debug)]
pub(super) struct Allowance {
    limit: Duration,
    deadline: Instant,
    retries: u32,
    attempts: Vec<Attempt>,
}

impl Allowance {
    pub(super) fn new(router: &Inner, limit: Option<Duration>) -> Self {
        let limit = limit.unwrap_or(router.settings.deadline);
        let deadline = router.clock.now() + limit.min(LONGEST_DEADLINE);
        Self { limit, deadline, retries: router.settings.retries, attempts: Vec::new() }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Notes a failed attempt.
    pub(super) fn note(&mut self, failed: Attempt) {
        self.attempts.push(failed);
    }

    /// Notes a failed attempt; returns how long to pause if the same model is to be tried again.
    pub(super) fn retry(
        &mut self,
        failed: Attempt,
        backoff: &mut Backoff,
        longest: Duration,
        now: Instant,
    ) -> Result<Duration, NextStep> {
        let kind = failed.error.kind().clone();
        self.note(failed);
        let step = kind.next_step();
        if step != NextStep::Retry {
            return Err(step);
        }
        let pause = kind.retry_after().unwrap_or_else(|| backoff.pause());
        let left = self.deadline.saturating_duration_since(now);
        if pause >= left.min(longest) || !self.take_retry() {
            return Err(NextStep::NextModel);
        }
        Ok(pause)
    }

    /// Uses up one retry, if there is one.
    pub(super) fn take_retry(&mut self) -> bool {
        let left = self.retries.checked_sub(1);
        self.retries = left.unwrap_or(0);
        left.is_some()
    }

    pub(super) fn into_error(self, now: Instant) -> Error {
        let Self { limit, deadline, attempts, .. } = self;
        if now >= deadline { Error::DeadlineExceeded { limit, attempts } } else { Error::Failed { attempts } }
    }
}
