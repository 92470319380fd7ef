use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{BreakerState, NanoUsd, ProviderKind};

/// What a router has done since it was built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// One entry per provider and model, in the router's order.
    pub models: Vec<ModelStats>,
}

impl Stats {
    /// Everything spent on calls whose cost is known.
    pub fn cost(&self) -> NanoUsd {
        self.models.iter().map(|model| model.cost).sum()
    }

    /// All calls made.
    pub fn calls(&self) -> u64 {
        self.models.iter().map(|model| model.calls).sum()
    }
}

/// What one model of one provider has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelStats {
    /// The provider's name.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// Where the provider's models run.
    pub kind: ProviderKind,
    /// Whether calls go through.
    pub breaker: BreakerState,
    /// Calls made; those not counted below are still on their way.
    pub calls: u64,
    /// Calls answered whole.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Calls dropped by the caller before their end.
    pub cancelled: u64,
    /// The median time to the first content of the latest calls, to 5 %; `None` before the first.
    pub first_content: Option<Duration>,
    /// Tokens written per second, the median of the latest answers to 5 %; `None` before the first.
    pub tokens_per_second: Option<f64>,
    /// Tokens read, where the provider said.
    pub input_tokens: u64,
    /// Tokens written, where the provider said.
    pub output_tokens: u64,
    /// Money spent, as far as it is known.
    pub cost: NanoUsd,
    /// Answers whose cost is unknown, for want of a price or of usage.
    pub unpriced: u64,
}

/// Whether a model can be called now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Health {
    /// It can.
    Ready,
    /// The provider asked for a pause.
    Resting {
        /// How long the pause still lasts.
        remaining: Duration,
    },
    /// It failed too often; a probe is due.
    Down {
        /// How long until the probe may go; `None` while it is on its way.
        probe_in: Option<Duration>,
    },
}

/// The health of one model of one provider.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ModelHealth {
    /// The provider's name.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// Whether it can be called now.
    #[serde(flatten)]
    pub health: Health,
}
