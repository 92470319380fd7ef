use std::fmt;

use serde::{Deserialize, Serialize};

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The objective's value; never NaN in a study.
    Value(f64),
    /// It could not be measured: a crash, a timeout, no memory. Counts as worse than any value.
    Failed(String),
    /// It was measured and broke a constraint. Counts as worse than any value.
    Infeasible(String),
}

impl Outcome {
    /// The value, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Failed(_) | Self::Infeasible(_) => None,
        }
    }

    /// What is not a number cannot be ranked, so it is a failure.
    pub(crate) fn checked(self) -> Self {
        match self {
            Self::Value(value) if value.is_nan() => Self::Failed("the value is not a number".to_owned()),
            other => other,
        }
    }
}

impl From<f64> for Outcome {
    fn from(value: f64) -> Self {
        Self::Value(value).checked()
    }
}

impl<E: fmt::Display> From<Result<f64, E>> for Outcome {
    fn from(measured: Result<f64, E>) -> Self {
        measured.map_or_else(|error| Self::Failed(error.to_string()), Self::from)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::Infeasible(reason) => write!(f, "infeasible: {reason}"),
        }
    }
}
