use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::{Labels, Moment, Reading};

/// One remembered value, 40 bytes.
///
/// Serialized as `{at_unix_ms, value}`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it was read.
    pub at: Moment,
    /// The finite value.
    pub value: f64,
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Sample", 2)?;
        fields.serialize_field("at_unix_ms", &self.at.unix_ms())?;
        fields.serialize_field("value", &self.value)?;
        fields.end()
    }
}

/// What bounds the history: at most `series × points × 40` bytes of samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How far back samples are kept.
    pub(crate) retention: Duration,
    /// The most samples of one series; the oldest makes room.
    pub(crate) points: usize,
    /// The most series; the readings of further ones are not remembered.
    pub(crate) series: usize,
}

/// The last samples of each series. A reading without a value leaves a gap.
#[derive(Debug)]
pub(crate) struct History {
    bounds: Bounds,
    metrics: BTreeMap<Cow<'static, str>, BTreeMap<Labels, VecDeque<Sample>>>,
    series: usize,
    rejected: u64,
}

impl History {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, metrics: BTreeMap::new(), series: 0, rejected: 0 }
    }

    /// Remembers `reading`, unless it is absent, older than what is known, or of one series too many.
    pub(crate) fn record(&mut self, reading: &Reading) {
        let Ok(value) = reading.value else { return };
        let points = self.bounds.points;
        let Some(series) = self.series_of(reading) else {
            self.rejected += 1;
            return;
        };
        if series.back().is_some_and(|last| last.at.instant >= reading.at.instant) {
            return;
        }
        if series.len() == points {
            series.pop_front();
        }
        series.push_back(Sample { at: reading.at, value });
    }

    fn series_of(&mut self, reading: &Reading) -> Option<&mut VecDeque<Sample>> {
        let known = self.find(&reading.metric, &reading.labels).is_some();
        if !known {
            if self.series == self.bounds.series {
                return None;
            }
            self.series += 1;
        }
        let metric = self.metrics.entry(reading.metric.clone()).or_default();
        Some(metric.entry(reading.labels.clone()).or_default())
    }

    fn find(&self, metric: &str, labels: &Labels) -> Option<&VecDeque<Sample>> {
        self.metrics.get(metric)?.get(labels)
    }

    /// Forgets what is older than the retention at `now`, and series of which nothing is left.
    pub(crate) fn expire(&mut self, now: Instant) {
        let retention = self.bounds.retention;
        for series in self.metrics.values_mut() {
            series.retain(|_, samples| {
                while samples.front().is_some_and(|oldest| age(oldest, now) > retention) {
                    samples.pop_front();
                }
                !samples.is_empty()
            });
        }
        self.metrics.retain(|_, series| !series.is_empty());
        self.series = self.metrics.values().map(BTreeMap::len).sum();
    }

    /// The samples of one series that are at most `range` old at `now`, oldest first.
    pub(crate) fn samples(
        &self,
        metric: &str,
        labels: &Labels,
        range: Duration,
        now: Instant,
    ) -> Vec<Sample> {
        let Some(series) = self.find(metric, labels) else {
            return Vec::new();
        };
        let first = series.partition_point(|sample| age(sample, now) > range);
        series.range(first..).copied().collect()
    }

    /// The label sets under which `metric` was seen.
    pub(crate) fn labels(&self, metric: &str) -> Vec<Labels> {
        self.metrics.get(metric).map(|series| series.keys().cloned().collect()).unwrap_or_default()
    }

    /// How many readings were not remembered because there are too many series.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }
}

fn age(sample: &Sample, now: Instant) -> Duration {
    now.saturating_duration_since(sample.at.instant)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Absent, Clock, clock::manual::ManualClock};

    const SECOND: Duration = Duration::from_secs(1);

    fn history(points: usize, series: usize) -> History {
        History::new(Bounds { retention: 10 * SECOND, points, series })
    }

    fn reading(clock: &ManualClock, value: f64) -> Reading {
        Reading::new("x", Ok(value), Moment::of(clock))
    }

    fn values(history: &History, range: Duration, now: Instant) -> Vec<f64> {
        history.samples("x", &Labels::new(), range, now).iter().map(|sample| sample.value).collect()
    }

    #[test]
    fn full_series_drops_its_oldest_sample() {
        let (mut history, clock) = (history(2, 10), ManualClock::new());
        for value in [1.0, 2.0, 3.0] {
            history.record(&reading(&clock, value));
            clock.advance(SECOND);
        }

        assert_eq!(values(&history, 10 * SECOND, clock.now()), [2.0, 3.0]);
        assert_eq!(values(&history, SECOND, clock.now()), [3.0]);
    }

    #[test]
    fn absent_reading_leaves_a_gap_and_an_older_one_is_ignored() {
        let (mut history, clock) = (history(9, 10), ManualClock::new());
        let old = reading(&clock, 1.0);
        clock.advance(SECOND);
        history.record(&reading(&clock, 2.0));
        history.record(&old);
        history.record(&Reading { value: Err(Absent::Lost), ..reading(&clock, 0.0) });

        assert_eq!(values(&history, 10 * SECOND, clock.now()), [2.0]);
    }

    #[test]
    fn one_series_too_many_is_counted_and_has_room_again_after_expiry() {
        let (mut history, clock) = (history(9, 1), ManualClock::new());
        history.record(&reading(&clock, 1.0).label("gone", "soon"));
        history.record(&reading(&clock, 1.0));
        assert_eq!(history.rejected(), 1);

        clock.advance(11 * SECOND);
        history.expire(clock.now());
        history.record(&reading(&clock, 2.0));

        assert_eq!(history.labels("x"), [Labels::new()]);
        assert_eq!(history.rejected(), 1);
    }

    proptest! {
        #[test]
        fn bounds_hold_and_samples_are_in_order(
            steps in prop::collection::vec((0u64..5_000, 0u8..6), 1..200),
        ) {
            let (mut history, clock) = (history(5, 3), ManualClock::new());
            for (ms, label) in steps {
                clock.advance(Duration::from_millis(ms));
                history.record(&reading(&clock, 1.0).label("l", label.to_string()));
                history.expire(clock.now());
                prop_assert!(history.labels("x").len() <= 3);
                for labels in history.labels("x") {
                    let samples = history.samples("x", &labels, Duration::MAX, clock.now());
                    prop_assert!(samples.len() <= 5);
                    prop_assert!(samples.is_sorted_by(|a, b| a.at.instant < b.at.instant));
                    prop_assert!(samples.iter().all(|s| age(s, clock.now()) <= 10 * SECOND));
                }
            }
        }
    }
}
