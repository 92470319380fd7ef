use std::time::Duration;

use serde::Serialize;

use crate::Sample;

/// What a stretch of history looked like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many samples there were, at least 1.
    pub count: usize,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
}

impl Summary {
    /// Summarizes `values`; `None` where there are none. Values that are not finite are left out.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let count = sorted.len();
        // Dividing first keeps the sum of huge values finite; the clamp undoes its rounding.
        let mean = sorted.iter().map(|value| value / count as f64).sum::<f64>().clamp(min, max);
        let p = |q| percentile(&sorted, q);
        Some(Self { count, min, max, mean, p50: p(0.50), p95: p(0.95), p99: p(0.99) })
    }
}

/// The quantile `q` (0 to 1) of sorted values, between neighbours by their distance: definition 7 of Hyndman and
/// Fan, "Sample Quantiles in Statistical Packages", 1996.
fn percentile(sorted: &[f64], q: f64) -> f64 {
    let rank = q * (sorted.len() - 1) as f64;
    let (below, part) = (rank.floor() as usize, rank.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] * (1.0 - part) + sorted[above] * part
}

/// Where a series is and where it is going.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Trend {
    /// The smoothed present value.
    pub level: f64,
    /// The smoothed change per second.
    pub slope_per_second: f64,
}

impl Trend {
    /// Fits a line through `samples` (oldest first) by least squares, where a sample's weight halves for each
    /// `half_life` of its age.
    ///
    /// On a straight line it is exact, however irregular the samples lie. `None` for fewer than two samples,
    /// samples of one instant, or a `half_life` of zero.
    pub fn of(samples: &[Sample], half_life: Duration) -> Option<Self> {
        let newest = samples.last()?.at.instant;
        let half_life = half_life.as_secs_f64();
        if half_life <= 0.0 {
            return None;
        }
        let mut sums = Sums::default();
        for sample in samples {
            let age = newest.saturating_duration_since(sample.at.instant).as_secs_f64();
            sums.add((-age / half_life).exp2(), -age, sample.value);
        }
        sums.line()
    }

    /// How long until the line reaches `limit`: zero if it is there already, `None` if it does not go there or
    /// the time is beyond what a [`Duration`] holds.
    pub fn time_to_reach(&self, limit: f64) -> Option<Duration> {
        let missing = limit - self.level;
        if missing == 0.0 {
            return Some(Duration::ZERO);
        }
        Duration::try_from_secs_f64(missing / self.slope_per_second).ok()
    }
}

/// Weighted sums of a straight-line fit, with running means so that nothing large is subtracted.
#[derive(Default)]
struct Sums {
    weight: f64,
    mean_time: f64,
    mean_value: f64,
    time_squared: f64,
    time_value: f64,
}

impl Sums {
    /// West's update of weighted means and co-moments (CACM 22(9), 1979).
    fn add(&mut self, weight: f64, time: f64, value: f64) {
        self.weight += weight;
        if self.weight <= 0.0 {
            return; // So old that its weight is nothing.
        }
        let part = weight / self.weight;
        let (from_time, from_value) = (time - self.mean_time, value - self.mean_value);
        self.mean_time += part * from_time;
        self.mean_value += part * from_value;
        self.time_squared += weight * from_time * (time - self.mean_time);
        self.time_value += weight * from_time * (value - self.mean_value);
    }

    /// The line at time 0, the newest sample.
    fn line(&self) -> Option<Trend> {
        let slope = self.time_value / self.time_squared;
        let level = self.mean_value - slope * self.mean_time;
        slope.is_finite().then_some(Trend { level, slope_per_second: slope })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::{Clock, Moment, SystemClock};

    fn samples(points: &[(f64, f64)]) -> Vec<Sample> {
        let (start, wall) = (Instant::now(), SystemClock.wall());
        let at = |seconds| Moment { instant: start + Duration::from_secs_f64(seconds), wall };
        points.iter().map(|&(seconds, value)| Sample { at: at(seconds), value }).collect()
    }

    #[test]
    fn summary_of_one_to_a_hundred_is_known() {
        let summary = Summary::of((1..=100).map(f64::from)).unwrap();

        assert_eq!((summary.count, summary.min, summary.max), (100, 1.0, 100.0));
        assert!((summary.mean - 50.5).abs() < 1e-12);
        assert!((summary.p50 - 50.5).abs() < 1e-12);
        assert!((summary.p95 - 95.05).abs() < 1e-12);
        assert!((summary.p99 - 99.01).abs() < 1e-12);
    }

    #[test]
    fn nothing_has_no_summary_and_one_sample_no_trend() {
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([f64::NAN]), None);
        assert_eq!(Trend::of(&samples(&[(0.0, 1.0)]), Duration::from_secs(1)), None);
        assert_eq!(Trend::of(&samples(&[(0.0, 1.0), (0.0, 2.0)]), Duration::from_secs(1)), None);
    }

    #[test]
    fn after_a_kink_the_trend_follows_the_newer_part() {
        let flat_then_steep: Vec<_> =
            (0..100).map(|i| (f64::from(i), if i < 50 { 0.0 } else { f64::from(i - 50) })).collect();

        let trend = Trend::of(&samples(&flat_then_steep), Duration::from_secs(5)).unwrap();

        assert!((trend.slope_per_second - 1.0).abs() < 0.01, "{trend:?}");
    }

    #[test]
    fn limit_is_reached_after_the_rest_divided_by_the_slope() {
        let trend = Trend { level: 80.0, slope_per_second: 0.5 };

        assert_eq!(trend.time_to_reach(100.0), Some(Duration::from_secs(40)));
        assert_eq!(trend.time_to_reach(80.0), Some(Duration::ZERO));
        assert_eq!(trend.time_to_reach(60.0), None);
        assert_eq!(Trend { slope_per_second: 0.0, ..trend }.time_to_reach(100.0), None);
    }

    proptest! {
        #[test]
        fn order_of_statistics_holds(values in prop::collection::vec(-1e300..1e300, 1..200)) {
            let s = Summary::of(values).unwrap();
            let ordered = [s.min, s.p50, s.p95, s.p99, s.max];
            prop_assert!(ordered.is_sorted(), "{s:?}");
            prop_assert!(s.min <= s.mean && s.mean <= s.max);
        }

        #[test]
        fn a_straight_line_is_found_exactly(
            slope in -100.0..100.0f64,
            level in -1e6..1e6f64,
            gaps in prop::collection::vec(0.1..10.0, 2..50),
        ) {
            let mut seconds = 0.0f64;
            let points: Vec<_> = gaps.iter().map(|gap| { seconds += gap; (seconds, level + slope * seconds) }).collect();
            let trend = Trend::of(&samples(&points), Duration::from_secs(20)).unwrap();
            prop_assert!((trend.slope_per_second - slope).abs() < 1e-4, "{trend:?}");
            prop_assert!((trend.level - points.last().unwrap().1).abs() < 1e-3, "{trend:?}");
        }
    }
}
