//! Everything that was shown, for machines.
use std::time::Duration;

use aic::monitor::Machine;
use aic::profiles::Recommendation;
use aic::{Answer, Explanation, Finding, Status};
use serde::Serialize;

/// One run of the quickstart.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) profile: Option<&'a Recommendation>,
    pub(crate) findings: &'a [Finding],
    pub(crate) question: &'a str,
    pub(crate) first: &'a Answer,
    pub(crate) again: &'a Answer,
    pub(crate) routed: &'a str,
    pub(crate) route: &'a Explanation,
    pub(crate) status: &'a Status,
    pub(crate) start_to_first_text: Duration,
    pub(crate) total: Duration,
}

impl Report<'_> {
    pub(crate) fn print(&self) {
        match serde_json::to_string_pretty(self) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("error: the report cannot be written as JSON: {error}"),
        }
    }
}
