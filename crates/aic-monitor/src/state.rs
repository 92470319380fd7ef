use std::error::Error as _;

use tracing::warn;

use crate::history::History;
use crate::{Absent, Error, Failure, Moment, Reading, Result, Snapshot};

/// All that is known after the last round.
#[derive(Debug)]
pub(crate) struct State {
    probes: Vec<Known>,
    pub(crate) history: History,
}

/// What is known of one probe.
#[derive(Debug)]
struct Known {
    latest: Vec<Reading>,
    failure: Failure,
    /// Whether the last answer was a failure.
    failing: bool,
}

impl State {
    pub(crate) fn new(names: impl Iterator<Item = String>, history: History) -> Self {
        let failure = |probe| Failure { probe, count: 0, last: String::new() };
        let probes =
            names.map(|name| Known { latest: Vec::new(), failure: failure(name), failing: false }).collect();
        Self { probes, history }
    }

    /// Takes in what the probe of place `index` answered.
    pub(crate) fn take(&mut self, index: usize, answer: Result<Vec<Reading>>, at: Moment) {
        let known = &mut self.probes[index];
        match answer {
            Ok(readings) => {
                readings.iter().for_each(|reading| self.history.record(reading));
                known.latest = readings;
                known.failing = false;
            }
            Err(error) => known.fail(&error, at),
        }
    }

    /// The latest readings of `metric`, sorted by labels.
    pub(crate) fn latest(&self, metric: &str) -> Vec<Reading> {
        let all = self.probes.iter().flat_map(|known| &known.latest);
        let mut readings: Vec<_> = all.filter(|reading| reading.metric == metric).cloned().collect();
        readings.sort_by(|a, b| a.labels.cmp(&b.labels));
        readings
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut readings: Vec<_> =
            self.probes.iter().flat_map(|known| known.latest.iter().cloned()).collect();
        readings.sort_by(|a, b| (&a.metric, &a.labels).cmp(&(&b.metric, &b.labels)));
        let failed = self.probes.iter().map(|known| &known.failure).filter(|failure| failure.count > 0);
        Snapshot { readings, failures: failed.cloned().collect(), rejected: self.history.rejected() }
    }
}

impl Known {
    /// Old values must not pass for current ones: each of them becomes absent.
    fn fail(&mut self, error: &Error, at: Moment) {
        let reason =
            if matches!(error, Error::ProbeTimeout { .. }) { Absent::Timeout } else { Absent::Failed };
        for reading in &mut self.latest {
            reading.value = Err(reason);
            reading.at = at;
        }
        let last = chain(error);
        if !self.failing || last != self.failure.last {
            warn!(probe = self.failure.probe, error = last, "probe failed");
        }
        self.failing = true;
        self.failure.count += 1;
        self.failure.last = last;
    }
}

/// The error and its causes in one line.
fn chain(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    line
}
