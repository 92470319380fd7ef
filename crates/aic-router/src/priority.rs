use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::NanoUsd;

/// What matters most when choosing a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// The answer should begin and end soon.
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
