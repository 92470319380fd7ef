use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attempt::Sample;

/// A service level objective: what a good request keeps. Bounds are inclusive; what is `None` is not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Slo {
    /// Longest latency.
    pub latency: Option<Duration>,
    /// Longest time to the first token; a request without output does not keep it.
    pub ttft: Option<Duration>,
    /// Longest time per output token; a request with a single token keeps it, one without output does not.
    pub tpot: Option<Duration>,
}

impl Slo {
    /// Sets the longest latency. Defaults to none.
    #[must_use]
    pub fn latency(mut self, longest: Duration) -> Self {
        self.latency = Some(longest);
        self
    }

    /// Sets the longest time to the first token. Defaults to none.
    #[must_use]
    pub fn ttft(mut self, longest: Duration) -> Self {
        self.ttft = Some(longest);
        self
    }

    /// Sets the longest time per output token. Defaults to none.
    #[must_use]
    pub fn tpot(mut self, longest: Duration) -> Self {
        self.tpot = Some(longest);
        self
    }

    /// Whether a request ended well and kept every bound.
    pub fn is_kept_by(&self, sample: &Sample) -> bool {
        let single = sample.outputs.tokens == 1;
        sample.outcome.is_ok()
            && keeps(Some(sample.latency()), self.latency)
            && keeps(sample.ttft(), self.ttft)
            && (single || keeps(sample.tpot(), self.tpot))
    }
}

fn keeps(measured: Option<Duration>, longest: Option<Duration>) -> bool {
    longest.is_none_or(|longest| measured.is_some_and(|measured| measured <= longest))
}
