use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Names and values that tell the series of one metric apart.
pub type Labels = BTreeMap<String, String>;

/// The present of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Which series.
    pub labels: Labels,
    /// The value, or `None` where it is missing.
    pub value: Option<f64>,
}

/// Where the numbers come from.
///
/// Both methods answer from memory; they are called on an asynchronous runtime's thread and must not block.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// The latest value of each series of `metric`; empty for an unknown metric.
    ///
    /// A series that has stopped should be here without a value, or not at all: both count as missing data.
    fn latest(&self, metric: &str) -> Vec<Observation>;

    /// The values of one series over the last `range`, oldest first, without gaps; empty if there are none.
    fn history(&self, metric: &str, labels: &Labels, range: Duration) -> Vec<f64>;
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn latest(&self, metric: &str) -> Vec<Observation> {
        (**self).latest(metric)
    }

    fn history(&self, metric: &str, labels: &Labels, range: Duration) -> Vec<f64> {
        (**self).history(metric, labels, range)
    }
}

/// A table of values that stay as they are until they are set anew.
#[derive(Debug, Default)]
pub struct TableSource {
    metrics: Mutex<BTreeMap<String, BTreeMap<Labels, Option<f64>>>>,
}

impl TableSource {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of one series; `None` where it is missing from now on.
    pub fn set<N, V>(&self, metric: &str, labels: impl IntoIterator<Item = (N, V)>, value: Option<f64>)
    where
        N: Into<String>,
        V: Into<String>,
    {
        let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self.lock().entry(metric.to_owned()).or_default().insert(labels, value);
    }

    /// Sets the value of the series of `metric` that has no labels.
    pub fn set_plain(&self, metric: &str, value: Option<f64>) {
        self.set::<String, String>(metric, [], value);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<Labels, Option<f64>>>> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for TableSource {
    fn latest(&self, metric: &str) -> Vec<Observation> {
        let observation =
            |(labels, value): (&Labels, &Option<f64>)| Observation { labels: labels.clone(), value: *value };
        self.lock().get(metric).map(|series| series.iter().map(observation).collect()).unwrap_or_default()
    }

    /// The present value, as if it had always been so.
    fn history(&self, metric: &str, labels: &Labels, _range: Duration) -> Vec<f64> {
        let value = self.lock().get(metric).and_then(|series| *series.get(labels)?);
        value.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_answers_what_was_set_last() {
        let table = TableSource::new();
        table.set("disk", [("mount", "/")], Some(0.5));
        table.set("disk", [("mount", "/")], Some(0.7));
        table.set("disk", [("mount", "/gone")], None);

        let latest = table.latest("disk");

        assert_eq!(latest.iter().map(|o| o.value).collect::<Vec<_>>(), [Some(0.7), None]);
        assert_eq!(table.history("disk", &latest[0].labels, Duration::ZERO), [0.7]);
        assert!(table.history("disk", &latest[1].labels, Duration::ZERO).is_empty());
        assert!(table.latest("unknown").is_empty());
    }
}
