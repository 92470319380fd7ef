use std::fmt;

use serde::{Deserialize, Serialize};

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
