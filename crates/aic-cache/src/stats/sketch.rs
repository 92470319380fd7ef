use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Serialize, Serializer, ser::SerializeStruct};

/// Every power of two of nanoseconds is split into `1 << SPLIT_BITS` buckets of equal width. A bucket is read as
/// its middle, which is off by half a width at most: 1/32 of the least duration in it.
const SPLIT_BITS: u32 = 4;
const SPLIT: u64 = 1 << SPLIT_BITS;
/// Longer durations count as this one, a little more than 68 seconds.
const LONGEST_NANOS: u64 = (1 << 36) - 1;
/// 528 buckets, 4224 bytes.
const BUCKETS: usize = bucket(LONGEST_NANOS) + 1;

/// Durations counted by many threads at once.
///
/// The buckets of [HdrHistogram](https://hdrhistogram.github.io/HdrHistogram/) (Tene), linear within a power of
/// two: the bucket is found with a shift and no logarithm. Unlike there nothing but the bucket is counted, so
/// recording is one relaxed addition, and mean and maximum are as exact as the quantiles. The crate of that name
/// takes `&mut self`, or else one recorder for each thread and a reader who waits for all of them.
#[derive(Debug)]
pub(super) struct Sketch([AtomicU64; BUCKETS]);

impl Default for Sketch {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Sketch {
    pub(super) fn record(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).min(LONGEST_NANOS);
        self.0[bucket(nanos)].fetch_add(1, Relaxed);
    }

    pub(super) fn snapshot(&self) -> Latency {
        Latency { counts: self.0.iter().map(|count| count.load(Relaxed)).collect() }
    }
}

/// How long something took, over all times it was done. A snapshot.
///
/// Quantiles, mean and maximum are off by 1/32 (3.1 %) of the true value at most, and exact below 32 ns. What
/// took longer than 68.7 s counts as 68.7 s.
///
/// Serialized with its count, mean, usual quantiles and maximum.
///
/// ```
/// # use aic_cache::{Cache, Fingerprint, MemoryStore, Tenant};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> aic_cache::Result<()> {
/// let cache = Cache::<String>::builder(MemoryStore::new(1 << 20)).build();
/// cache.get(&Fingerprint::of("greeting 1", &Tenant::default(), "world")?).await;
///
/// let misses = cache.stats().latency.misses;
/// println!("{} looks in vain, half of them within {:?}", misses.count(), misses.quantile(0.5).unwrap());
/// # Ok(()) }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Latency {
    /// As many as there are buckets, or none where nothing was recorded.
    counts: Vec<u64>,
}

impl Latency {
    /// How often it was done.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The duration that a share `q` of all does not exceed; `None` where there is none.
    ///
    /// `q` runs from 0, the shortest, to 1, the longest; what is outside counts as the nearer end, NaN as 0.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = ((q * self.count() as f64).ceil() as u64).clamp(1, self.count().max(1));
        let mut seen = 0_u64;
        let reached = |count: &u64| {
            seen = seen.saturating_add(*count);
            seen >= rank
        };
        self.counts.iter().position(reached).map(middle)
    }

    /// The longest duration; `None` where there is none.
    pub fn max(&self) -> Option<Duration> {
        self.counts.iter().rposition(|count| *count > 0).map(middle)
    }

    /// The mean duration; `None` where there is none.
    pub fn mean(&self) -> Option<Duration> {
        let nanos = |(index, count): (usize, &u64)| u128::from(middle_nanos(index)) * u128::from(*count);
        let sum: u128 = self.counts.iter().enumerate().map(nanos).sum();
        let mean = sum.checked_div(self.count().into())?;
        Some(Duration::from_nanos(u64::try_from(mean).unwrap_or(LONGEST_NANOS)))
    }

    /// Takes in what `other` has counted, as if all had been counted here.
    pub fn merge(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latency")
            .field("count", &self.count())
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs_f64());
        let mut fields = serializer.serialize_struct("Latency", 7)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("mean_seconds", &seconds(self.mean()))?;
        fields.serialize_field("p50_seconds", &seconds(self.quantile(0.5)))?;
        fields.serialize_field("p90_seconds", &seconds(self.quantile(0.9)))?;
        fields.serialize_field("p99_seconds", &seconds(self.quantile(0.99)))?;
        fields.serialize_field("p99_9_seconds", &seconds(self.quantile(0.999)))?;
        fields.serialize_field("max_seconds", &seconds(self.max()))?;
        fields.end()
    }
}

/// The bucket of a duration. The first 32 hold one nanosecond each.
const fn bucket(nanos: u64) -> usize {
    let power = nanos.checked_ilog2();
    let shift = match power {
        Some(power) => power.saturating_sub(SPLIT_BITS),
        None => 0,
    };
    ((shift as u64 * SPLIT) + (nanos >> shift)) as usize
}

/// The nanoseconds in the middle of a bucket.
fn middle_nanos(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / SPLIT).saturating_sub(1);
    let least = (bucket - shift * SPLIT) << shift;
    least + (1 << shift) / 2
}

fn middle(bucket: usize) -> Duration {
    Duration::from_nanos(middle_nanos(bucket))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn latency(nanos: &[u64]) -> Latency {
        let sketch = Sketch::default();
        nanos.iter().for_each(|nanos| sketch.record(Duration::from_nanos(*nanos)));
        sketch.snapshot()
    }

    /// Durations of every size up to the longest.
    fn nanos() -> impl Strategy<Value = u64> {
        (0u32..=35, any::<u64>()).prop_map(|(power, random)| (1 << power) | (random & ((1 << power) - 1)))
    }

    fn within_a_32nd(found: Option<Duration>, exact: u64) -> bool {
        let found = found.map(|found| found.as_nanos() as u64);
        found.is_some_and(|found| found.abs_diff(exact) * 32 <= exact)
    }

    #[test]
    fn nothing_recorded_has_no_quantile_no_mean_and_no_maximum() {
        for none in [Latency::default(), latency(&[])] {
            assert_eq!((none.count(), none.quantile(0.5), none.mean(), none.max()), (0, None, None, None));
        }
    }

    #[test]
    fn neighbouring_buckets_leave_no_gap_between_them() {
        let first_of = |index: usize| {
            let shift = (index as u64 / SPLIT).saturating_sub(1);
            (index as u64 - shift * SPLIT) << shift
        };
        for index in 1..BUCKETS {
            assert_eq!((bucket(first_of(index) - 1), bucket(first_of(index))), (index - 1, index));
        }
    }

    #[test]
    fn longest_duration_of_all_counts_as_the_longest_told_apart() {
        let sketch = Sketch::default();
        sketch.record(Duration::MAX);

        assert!(within_a_32nd(sketch.snapshot().max(), LONGEST_NANOS));
    }

    #[test]
    fn share_outside_of_0_to_1_counts_as_the_nearer_end() {
        let latency = latency(&[1, 2, 3]);

        let found = [-1.0, f64::NAN, 0.0, 0.5, 1.0, 7.0].map(|q| latency.quantile(q).unwrap().as_nanos());
        assert_eq!(found, [1, 1, 1, 2, 3, 3]);
    }

    #[test]
    fn serialized_form_is_a_few_quantiles_in_seconds() {
        let json = serde_json::to_value(latency(&[10, 20, 30])).unwrap();

        let expected = serde_json::json!({
            "count": 3, "mean_seconds": 2e-8, "p50_seconds": 2e-8, "p90_seconds": 3e-8, "p99_seconds": 3e-8,
            "p99_9_seconds": 3e-8, "max_seconds": 3e-8,
        });
        assert_eq!(json, expected);
    }

    proptest! {
        #[test]
        fn quantile_mean_and_maximum_are_off_by_a_32nd_at_most(
            mut values in vec(nanos(), 1..300), q in 0.0..=1.0_f64,
        ) {
            let latency = latency(&values);

            values.sort_unstable();
            let rank = (q * values.len() as f64).ceil() as usize;
            prop_assert!(within_a_32nd(latency.quantile(q), values[rank.max(1) - 1]));
            prop_assert!(within_a_32nd(latency.max(), values[values.len() - 1]));
            // The mean is rounded down to whole nanoseconds on top.
            let mean = values.iter().sum::<u64>() as f64 / values.len() as f64;
            let found = latency.mean().unwrap().as_nanos() as f64;
            prop_assert!((found - mean).abs() <= mean / 32.0 + 1.0, "{found} for {mean}");
        }

        #[test]
        fn merged_parts_equal_the_whole(one in vec(nanos(), 0..100), other in vec(nanos(), 0..100)) {
            let mut merged = Latency::default();
            merged.merge(&latency(&one));
            merged.merge(&latency(&other));

            prop_assert_eq!(merged, latency(&[one, other].concat()));
        }
    }
}
