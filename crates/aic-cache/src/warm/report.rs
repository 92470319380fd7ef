use std::{fmt, time::Duration};

use crate::stats::{dollars, duration, grouped};

/// How far a warming has come. Prints as one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many prompts there are; `None` if their number is not known beforehand.
    pub total: Option<u64>,
    /// Prompts that are done with: the sum of the next three.
    pub done: u64,
    /// Prompts whose answer was in the cache.
    pub known: u64,
    /// Prompts whose answer was computed.
    pub computed: u64,
    /// Prompts that failed.
    pub failed: u64,
    /// Tokens that computing took, as far as known.
    pub tokens: u64,
    /// Billionths of a dollar that computing cost, as far as known.
    pub nano_usd: u64,
    /// Computed answers of unknown price. They are not in `nano_usd`.
    pub unpriced: u64,
    /// Time since the start.
    pub elapsed: Duration,
    /// Time until all prompts are done, if those to come take as long as those so far and no limit is reached
    /// before. `None` before the first is done, or if the number of prompts is not known.
    pub left: Option<Duration>,
}

/// Why a warming ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// All prompts are done.
    Complete,
    /// As many answers were computed as were allowed.
    Entries,
    /// Another prompt would have passed the budget.
    Budget,
    /// An answer did not say what it cost, so nobody can tell whether the budget holds.
    Unpriced,
    /// Too many prompts failed in a row.
    Failures,
}

/// What a warming has come to. Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warmed {
    /// What was done.
    pub progress: Progress,
    /// Why no more was done.
    pub end: End,
    /// What the last prompt that failed has said.
    pub last_failure: Option<String>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { known, computed, failed, .. } = self;
        let of = self.total.map(|total| format!(" of {}", grouped(total))).unwrap_or_default();
        write!(f, "{}{of} in {}: ", grouped(self.done), duration(self.elapsed))?;
        write!(f, "{} known, {} computed, {} failed", grouped(*known), grouped(*computed), grouped(*failed))?;
        write!(f, "; {} tokens, {}", grouped(self.tokens), dollars(self.nano_usd))?;
        if self.unpriced > 0 {
            write!(f, " and {} without a price", grouped(self.unpriced))?;
        }
        match self.left.filter(|left| !left.is_zero()) {
            Some(left) => write!(f, "; {} left", duration(left)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            End::Complete => "all were done",
            End::Entries => "as many were computed as allowed",
            End::Budget => "the budget is used up",
            End::Unpriced => "an answer has no known price, so the budget cannot be kept",
            End::Failures => "too many failed in a row",
        })
    }
}

impl fmt::Display for Warmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", Progress { left: None, ..self.progress.clone() }, self.end)?;
        match &self.last_failure {
            Some(failure) => write!(f, "; the last failure: {failure}"),
            None => Ok(()),
        }
    }
}
