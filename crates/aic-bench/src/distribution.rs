use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longer durations count as this one.
const LONGEST_NANOS: u64 = 3_600_000_000_000;

/// Durations, counted in buckets of at most 0.1 % width, or 1 µs where that is wider; an hour at most.
///
/// Serialized with its usual percentiles for readers, and with its buckets, from which it is read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Buckets", into = "Summary")]
pub struct Distribution(Histogram<u64>);

impl Distribution {
    /// No durations yet.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1_000, LONGEST_NANOS, 3);
        Self(histogram.expect("the bounds and three digits are within what hdrhistogram allows"))
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }

    /// Adds the durations of another distribution.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all distributions have the same bounds");
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The smallest duration that at least this share (0 to 1) of all durations does not pass; `None` if empty.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        self.known(|histogram| Duration::from_nanos(histogram.value_at_quantile(share)))
    }

    /// The middle one; `None` if empty.
    pub fn median(&self) -> Option<Duration> {
        self.quantile(0.5)
    }

    /// The average; `None` if empty.
    pub fn mean(&self) -> Option<Duration> {
        self.known(|histogram| Duration::from_nanos(histogram.mean() as u64))
    }

    /// The shortest; `None` if empty.
    pub fn min(&self) -> Option<Duration> {
        self.known(|histogram| Duration::from_nanos(histogram.min()))
    }

    /// The longest; `None` if empty.
    pub fn max(&self) -> Option<Duration> {
        self.known(|histogram| Duration::from_nanos(histogram.max()))
    }

    /// Whether there are enough durations to speak about this quantile: with fewer than ln 0.01 / ln `share`, not one
    /// beyond it may have been seen by chance alone (1 %), as in MLPerf's early stopping. p99 needs 459, p99.9 4603.
    pub fn supports(&self, share: f64) -> bool {
        self.count() as f64 >= samples_needed(share)
    }

    /// The counted durations in nanoseconds with how often each came, shortest first.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter_recorded().map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
    }

    fn known<T>(&self, read: impl Fn(&Histogram<u64>) -> T) -> Option<T> {
        (!self.0.is_empty()).then(|| read(&self.0))
    }
}

/// How many samples [`Distribution::supports`] asks for.
pub(crate) fn samples_needed(share: f64) -> f64 {
    (0.01_f64.ln() / share.ln()).ceil()
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Serialize)]
struct Summary {
    count: u64,
    mean_seconds: Option<f64>,
    min_seconds: Option<f64>,
    p50_seconds: Option<f64>,
    p90_seconds: Option<f64>,
    p95_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    p999_seconds: Option<f64>,
    max_seconds: Option<f64>,
    buckets_nanoseconds: Vec<(u64, u64)>,
}

#[derive(Deserialize)]
struct Buckets {
    buckets_nanoseconds: Vec<(u64, u64)>,
}

impl From<Distribution> for Summary {
    fn from(of: Distribution) -> Self {
        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
        Self {
            count: of.count(),
            mean_seconds: seconds(of.mean()),
            min_seconds: seconds(of.min()),
            p50_seconds: seconds(of.quantile(0.5)),
            p90_seconds: seconds(of.quantile(0.9)),
            p95_seconds: seconds(of.quantile(0.95)),
            p99_seconds: seconds(of.quantile(0.99)),
            p999_seconds: seconds(of.quantile(0.999)),
            max_seconds: seconds(of.max()),
            buckets_nanoseconds: of.buckets().collect(),
        }
    }
}

impl From<Buckets> for Distribution {
    fn from(buckets: Buckets) -> Self {
        let mut distribution = Self::new();
        for (nanos, count) in buckets.buckets_nanoseconds {
            distribution.0.saturating_record_n(nanos, count);
        }
        distribution
    }
}

impl fmt::Display for Distribution {
    /// A bar for each of eight ranges between the shortest and the longest, in equal ratios.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::pretty::bars(f, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::new();
        millis.into_iter().for_each(|millis| distribution.record(Duration::from_millis(millis)));
        distribution
    }

    fn close(found: Option<Duration>, millis: f64) -> bool {
        let found = found.unwrap().as_secs_f64() * 1000.0;
        (found - millis).abs() <= millis * 0.001
    }

    #[test]
    fn quantiles_of_a_thousand_known_durations_are_exact_within_a_thousandth() {
        let distribution = of(1..=1000);

        assert!(close(distribution.quantile(0.5), 500.0));
        assert!(close(distribution.quantile(0.9), 900.0));
        assert!(close(distribution.quantile(0.999), 999.0));
        assert!(close(distribution.max(), 1000.0));
        assert!(close(distribution.mean(), 500.5));
    }

    #[test]
    fn an_empty_distribution_has_no_quantile_rather_than_zero() {
        assert_eq!(Distribution::new().quantile(0.5), None);
        assert_eq!(Distribution::new().max(), None);
    }

    #[test]
    fn a_percentile_is_supported_from_the_mlperf_sample_count_on() {
        assert!(!of(std::iter::repeat_n(1, 458)).supports(0.99));
        assert!(of(std::iter::repeat_n(1, 459)).supports(0.99));
        assert_eq!([0.9, 0.95, 0.999].map(samples_needed), [44.0, 90.0, 4603.0]);
    }

    #[test]
    fn a_duration_beyond_the_hour_is_counted_as_an_hour() {
        assert!(close(of([100 * 3_600_000]).max(), 3_600_000.0));
    }

    proptest! {
        #[test]
        fn merged_distributions_equal_the_whole(
            a in proptest::collection::vec(0..100_000_u64, 0..50),
            b in proptest::collection::vec(0..100_000_u64, 0..50),
        ) {
            let mut merged = of(a.clone());
            merged.merge(&of(b.clone()));
            prop_assert_eq!(merged, of(a.into_iter().chain(b)));
        }

        #[test]
        fn a_distribution_survives_being_written_and_read(millis in proptest::collection::vec(0..10_000_000_u64, 0..50)) {
            let written = serde_json::to_string(&of(millis.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Distribution>(&written).unwrap(), of(millis));
        }

        #[test]
        fn quantiles_never_fall(millis in proptest::collection::vec(0..100_000_u64, 1..50), a in 0.0..1.0, b in 0.0..1.0) {
            let distribution = of(millis);
            let (low, high): (f64, f64) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(distribution.quantile(low) <= distribution.quantile(high));
        }
    }
}
