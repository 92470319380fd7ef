use std::time::SystemTime;

use serde::Serialize;

use crate::{Labels, Phase, Severity, timestamp};

/// A series that breaks a rule at present.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Alert {
    /// The rule's name.
    pub rule: String,
    /// The series.
    pub labels: Labels,
    /// How urgent it is.
    pub severity: Severity,
    /// [`Phase::Pending`] or [`Phase::Firing`].
    pub phase: Phase,
    /// When that phase began.
    #[serde(serialize_with = "timestamp::serialize")]
    pub since: SystemTime,
    /// The last value; `None` while the data is missing.
    pub value: Option<f64>,
    /// The rule's summary, filled in.
    pub summary: String,
}

/// A change of one alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Transition {
    /// The rule's name.
    pub rule: String,
    /// The series.
    pub labels: Labels,
    /// How urgent it is.
    pub severity: Severity,
    /// The phase before.
    pub from: Phase,
    /// The phase after.
    pub to: Phase,
    /// Whether it changed because data was missing for too long.
    pub for_lack_of_data: bool,
    /// The value that decided; `None` where the data is missing.
    pub value: Option<f64>,
    /// The rule's summary, filled in.
    pub summary: String,
    /// When it changed.
    #[serde(serialize_with = "timestamp::serialize")]
    pub at: SystemTime,
}
