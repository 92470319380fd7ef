use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::NanoUsd;

/// What matters most when choosing a model: a preset of one optimisation.
///
/// The model with the least expected cost goes first among those that meet the goal, then those that do not,
/// by how far they miss it. The goals:
///
/// | priority | [quality](crate::Quality) at least | p95 of the whole answer at most |
/// |---|---|---|
/// | [`Quality`](Self::Quality) | the best one's, less 0.02 | – |
/// | [`Speed`](Self::Speed) | 0.5 | 1.25 times the quickest one's |
/// | [`Cost`](Self::Cost) | 0.5 | – |
///
/// "Best" and "quickest" are found among the models that may take the request now; the quickest, among those
/// of them with the quality. An unknown price is dearer than every known one. What ties on cost is ordered by
/// quality, then by p95, then by the chain. A goal is a wish: where nobody meets it, the nearest one answers.
/// What must not be missed belongs into [`Constraints`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// The answer should be whole soon.
    Speed,
    /// The answer should be good.
    #[default]
    Quality,
    /// The answer should be cheap.
    Cost,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Speed => "speed",
            Self::Quality => "quality",
            Self::Cost => "cost",
        })
    }
}

/// What a choice must keep to, whatever the priority. A model that does not is refused, with the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Constraints {
    /// The least chance of a good answer, 0 to 1.
    pub quality_min: Option<f64>,
    /// The longest a whole answer may take in 19 cases of 20.
    pub latency_p95_max: Option<Duration>,
    /// The most one answer may be expected to cost. Models of unknown price are refused.
    pub cost_max: Option<NanoUsd>,
}
