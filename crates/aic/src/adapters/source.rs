//! The monitor's history behind the door of the alerts.
use std::time::Duration;

use aic_alerts::{Labels, Observation, Source};
use aic_monitor::Monitor;

/// The latest snapshot and the history of a monitor.
#[derive(Clone, Debug)]
pub(crate) struct MonitorSource {
    monitor: Monitor,
}

impl MonitorSource {
    pub(crate) fn new(monitor: Monitor) -> Self {
        Self { monitor }
    }
}

impl Source for MonitorSource {
    fn latest(&self, metric: &str) -> Vec<Observation> {
        let snapshot = self.monitor.snapshot();
        let observation = |reading: &aic_monitor::Reading| Observation {
            labels: reading.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            value: reading.value.ok(),
        };
        snapshot.all(metric).map(observation).collect()
    }

    fn history(&self, metric: &str, labels: &Labels, range: Duration) -> Vec<f64> {
        let labels = labels.iter().fold(aic_monitor::Labels::new(), |labels, (name, value)| {
            labels.with(name.clone(), value.clone())
        });
        self.monitor.history(metric, &labels, range).into_iter().map(|sample| sample.value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_monitor_read_is_what_the_alerts_see() {
        let monitor = Monitor::builder().build().unwrap();
        monitor.poll();
        let source = MonitorSource::new(monitor);

        let [memory] = source.latest("memory_utilization_ratio").try_into().unwrap();

        assert!((0.0..=1.0).contains(&memory.value.unwrap()));
        let history = source.history("memory_utilization_ratio", &memory.labels, Duration::from_secs(60));
        assert_eq!(history, [memory.value.unwrap()]);
    }
}
