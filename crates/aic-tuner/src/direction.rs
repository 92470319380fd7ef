use serde::{Deserialize, Serialize};

/// Which way is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Smaller values: latency, cost.
    #[default]
    Minimize,
    /// Larger values: throughput, quality.
    Maximize,
}

impl Direction {
    /// The value as a loss: less is better, whatever the direction.
    pub(crate) fn loss(self, value: f64) -> f64 {
        match self {
            Self::Minimize => value,
            Self::Maximize => -value,
        }
    }
}
