use std::time::Duration;

use tokio::time::Instant;

use super::{End, Limits, Outcome, Progress, Warmed};
use crate::{BoxError, Worth};

/// What a warming has done and spent, and whether it may go on.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: Limits,
    start: Instant,
    /// `elapsed` and `left` are filled in when it is asked for.
    progress: Progress,
    failures_in_a_row: u32,
    last_failure: Option<String>,
    /// Why nothing more may begin, whatever becomes of what has begun.
    ended: Option<End>,
}

/// Whether another prompt may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Perhaps, when one of those that are being worked on is done.
    Wait,
    Shut(End),
}

impl Ledger {
    pub(super) fn new(limits: Limits, total: Option<u64>, start: Instant) -> Self {
        let progress = Progress { total, ..Progress::default() };
        Self { limits, start, progress, failures_in_a_row: 0, last_failure: None, ended: None }
    }

    /// Whether another prompt may begin beside `running` others.
    pub(super) fn gate(&self, running: usize) -> Gate {
        match (self.ended, self.within(running as u64)) {
            (Some(end), _) => Gate::Shut(end),
            (None, Err(end)) if running == 0 => Gate::Shut(end),
            (None, Ok(())) if running < self.limits.concurrency => Gate::Open,
            (None, _) => Gate::Wait,
        }
    }

    /// Whether all limits leave room for one more beside `running` others.
    fn within(&self, running: u64) -> Result<(), End> {
        let (limits, spent) = (&self.limits, &self.progress);
        let entries = limits.entries.is_none_or(|limit| spent.computed + running < limit);
        let affordable =
            |limit: Option<u64>, spent| limit.is_none_or(|limit| self.fits(limit, spent, running));
        if !entries {
            Err(End::Entries)
        } else if affordable(limits.nano_usd, spent.nano_usd) && affordable(limits.tokens, spent.tokens) {
            Ok(())
        } else {
            Err(End::Budget)
        }
    }

    /// Whether `limit` leaves the mean price for one more and for `running` others. The first price is learned
    /// from one alone.
    fn fits(&self, limit: u64, spent: u64, running: u64) -> bool {
        if self.progress.computed == 0 {
            return limit > 0 && running == 0;
        }
        let mean = spent.div_ceil(self.progress.computed);
        spent.saturating_add(mean.saturating_mul(running + 1)) <= limit
    }

    pub(super) fn finished(&mut self, outcome: Outcome) {
        self.progress.done += 1;
        self.failures_in_a_row =
            if matches!(outcome, Outcome::Failed(_)) { self.failures_in_a_row + 1 } else { 0 };
        match outcome {
            Outcome::Known => self.progress.known += 1,
            Outcome::Computed(worth) => self.spend(worth),
            Outcome::Failed(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &BoxError) {
        self.progress.failed += 1;
        self.last_failure = Some(error.to_string());
        if self.failures_in_a_row >= self.limits.failures {
            self.ended = Some(End::Failures);
        }
    }

    fn spend(&mut self, Worth { tokens, nano_usd }: Worth) {
        let progress = &mut self.progress;
        progress.computed += 1;
        progress.tokens = progress.tokens.saturating_add(tokens.unwrap_or(0));
        progress.nano_usd = progress.nano_usd.saturating_add(nano_usd.unwrap_or(0));
        progress.unpriced += u64::from(nano_usd.is_none());
        let unknown = |limit: Option<u64>, price: Option<u64>| limit.is_some() && price.is_none();
        if unknown(self.limits.nano_usd, nano_usd) || unknown(self.limits.tokens, tokens) {
            self.ended = Some(End::Unpriced);
        }
    }

    pub(super) fn progress(&self, now: Instant) -> Progress {
        let elapsed = now - self.start;
        Progress { elapsed, left: self.left(elapsed), ..self.progress.clone() }
    }

    /// As long for each prompt to come as for each so far.
    fn left(&self, elapsed: Duration) -> Option<Duration> {
        let to_come = self.progress.total?.checked_sub(self.progress.done)?;
        let each = elapsed.as_secs_f64() / self.progress.done as f64;
        Duration::try_from_secs_f64(each * to_come as f64).ok()
    }

    pub(super) fn close(self, end: End, now: Instant) -> Warmed {
        Warmed { progress: self.progress(now), end, last_failure: self.last_failure }
    }
}
