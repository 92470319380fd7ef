use std::fmt;

use serde::Serialize;

use crate::{Labels, Reading};

/// The latest reading of every series, sorted by metric and labels.
///
/// [`fmt::Display`] prints it as a table, one reading a line.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The readings, sorted.
    pub readings: Vec<Reading>,
    /// Probes that failed, with how often and why; empty is good.
    pub failures: Vec<Failure>,
    /// Readings left out of the history because it has as many series as it may.
    pub rejected: u64,
}

/// A probe that failed at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// The probe's name.
    pub probe: String,
    /// How often it failed since the monitor was built.
    pub count: u64,
    /// What went wrong the last time, with its causes.
    pub last: String,
}

impl Snapshot {
    /// All series of `metric`.
    pub fn all<'a>(&'a self, metric: &str) -> impl Iterator<Item = &'a Reading> {
        let first = self.readings.partition_point(|reading| *reading.metric < *metric);
        let end = self.readings.partition_point(|reading| *reading.metric <= *metric);
        self.readings[first..end].iter()
    }

    /// The reading of one series.
    pub fn get(&self, metric: &str, labels: &Labels) -> Option<&Reading> {
        self.all(metric).find(|reading| reading.labels == *labels)
    }

    /// The value of the series of `metric` without labels; `None` where it is unknown or absent.
    pub fn value(&self, metric: &str) -> Option<f64> {
        self.get(metric, &Labels::new())?.value.ok()
    }

    /// The largest value over all series of `metric`; `None` where there is no value.
    pub fn max(&self, metric: &str) -> Option<f64> {
        self.all(metric).filter_map(|reading| reading.value.ok()).reduce(f64::max)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |reading: &Reading| format!("{}{}", reading.metric, reading.labels);
        let width = self.readings.iter().map(|reading| name(reading).chars().count()).max().unwrap_or(0);
        for reading in &self.readings {
            writeln!(f, "{:width$}  {}", name(reading), reading.pretty_value())?;
        }
        for failure in &self.failures {
            writeln!(f, "probe {} failed {} times: {}", failure.probe, failure.count, failure.last)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Absent, Moment, SystemClock};

    fn snapshot() -> Snapshot {
        let at = Moment::of(&SystemClock);
        let failure = Failure { probe: "gpu".into(), count: 2, last: "gone".into() };
        Snapshot {
            readings: vec![
                Reading::new("disk_utilization_ratio", Ok(0.5), at).label("mount", "/"),
                Reading::new("disk_utilization_ratio", Ok(0.7), at).label("mount", "/data"),
                Reading::new("gpu_power_watts", Err(Absent::NoDriver), at),
            ],
            failures: vec![failure],
            rejected: 0,
        }
    }

    #[test]
    fn readings_are_found_by_metric_and_labels() {
        let snapshot = snapshot();

        assert_eq!(snapshot.all("disk_utilization_ratio").count(), 2);
        assert_eq!(snapshot.max("disk_utilization_ratio"), Some(0.7));
        let data = Labels::from([("mount", "/data")]);
        assert_eq!(snapshot.get("disk_utilization_ratio", &data).unwrap().value, Ok(0.7));
        assert_eq!(snapshot.value("disk_utilization_ratio"), None);
        assert_eq!(snapshot.value("gpu_power_watts"), None);
        assert_eq!(snapshot.all("disk").count(), 0);
    }

    #[test]
    fn table_is_aligned_and_tells_failures() {
        let expected = "\
disk_utilization_ratio{mount=\"/\"}      50.0 %
disk_utilization_ratio{mount=\"/data\"}  70.0 %
gpu_power_watts                        absent: no driver
probe gpu failed 2 times: gone
";

        assert_eq!(snapshot().to_string(), expected);
    }
}
