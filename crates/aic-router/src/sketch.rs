//! Quantiles of durations in little memory, with the newest counting most.

use std::ops::Range;

/// How far a quantile may be off, as a share of it.
const RELATIVE_ERROR: f64 = 0.05;
/// Each bucket's upper edge is so many times its lower one.
const GAMMA: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);
/// The least duration told apart from 0, in seconds.
const LEAST: f64 = 1e-5;
/// Reaches from [`LEAST`] to about three hours; 832 bytes.
const BUCKETS: usize = 208;
/// A bucket that has faded below this is empty.
const NOTHING: f32 = 1e-6;

/// A histogram with logarithmic buckets: the DDSketch of
/// [Masson et al. 2019](https://arxiv.org/abs/1908.10693), section 2.
///
/// Unlike there, its counts fade, and its buckets are fixed: what lies outside of 10 µs to 3 h goes into the
/// outermost ones. Within that range a quantile is off by 5 % at most.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    weights: Box<[f32; BUCKETS]>,
    /// All other buckets are empty, and most are: calls to one model differ by a few times, not by millions.
    used: Range<usize>,
    total: f32,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { weights: Box::new([0.0; BUCKETS]), used: 0..0, total: 0.0 }
    }
}

impl Sketch {
    /// Takes in one duration in seconds.
    pub(crate) fn observe(&mut self, seconds: f64) {
        let bucket = bucket(seconds);
        self.weights[bucket] += 1.0;
        self.total += 1.0;
        let Range { start, end } = self.used;
        self.used = if start == end { bucket..bucket + 1 } else { start.min(bucket)..end.max(bucket + 1) };
    }

    /// Makes everything seen count `keep` times as much.
    pub(crate) fn fade(&mut self, keep: f64) {
        let used = &mut self.weights[self.used.clone()];
        for weight in used.iter_mut() {
            *weight *= keep as f32;
            if *weight < NOTHING {
                *weight = 0.0;
            }
        }
        self.total = used.iter().sum();
        self.shrink();
    }

    fn shrink(&mut self) {
        let Range { start, end } = self.used;
        let full = |weight: &f32| *weight > 0.0;
        let first = self.weights[start..end].iter().position(full);
        let last = self.weights[start..end].iter().rposition(full);
        self.used = first.zip(last).map_or(0..0, |(first, last)| start + first..start + last + 1);
    }

    /// How many observations are left after fading.
    pub(crate) fn total(&self) -> f64 {
        f64::from(self.total)
    }

    /// The duration in seconds that a share `q` of all does not exceed; `None` where none was seen.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        // A millionth less, so that a sum's rounding does not skip the bucket that ends at the rank.
        let rank = (q * self.total() * (1.0 - 1e-6)) as f32;
        let mut below = 0.0;
        let reached = |index: &usize| {
            below += self.weights[*index];
            below >= rank && self.weights[*index] > 0.0
        };
        let last = self.used.end.checked_sub(1);
        self.used.clone().find(reached).or(last).map(middle)
    }
}

/// The bucket of a duration. Not-a-number counts as 0.
fn bucket(seconds: f64) -> usize {
    let steps = (seconds.max(LEAST) / LEAST).ln() / GAMMA.ln();
    (steps as usize).min(BUCKETS - 1)
}

/// The value of a bucket that is equally wrong, as a share, at both of its edges.
fn middle(bucket: usize) -> f64 {
    LEAST * GAMMA.powi(bucket as i32) * 2.0 * GAMMA / (GAMMA + 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch_of(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.observe(*value));
        sketch
    }

    #[test]
    fn nothing_seen_has_no_quantiles() {
        assert_eq!(Sketch::default().quantile(0.5), None);
    }

    #[test]
    fn durations_out_of_range_go_to_the_ends() {
        let sketch = sketch_of(&[0.0, -1.0, f64::NAN, 1e9, f64::INFINITY]);

        assert!(sketch.quantile(0.5).unwrap() < 2.0 * LEAST);
        assert!(sketch.quantile(1.0).unwrap() > 9_000.0);
    }

    #[test]
    fn old_durations_fade() {
        let mut sketch = sketch_of(&[100.0; 50]);
        for _ in 0..50 {
            sketch.fade(0.9);
            sketch.observe(1.0);
        }

        assert!(sketch.quantile(0.95).unwrap() < 1.1);
        assert!((sketch.total() - 10.0).abs() < 0.5);
    }

    #[test]
    fn all_that_was_seen_can_be_forgotten() {
        let mut sketch = sketch_of(&[1.0, 2.0]);

        (0..1_000).for_each(|_| sketch.fade(0.5));

        assert_eq!((sketch.quantile(0.5), sketch.total()), (None, 0.0));
    }

    proptest! {
        #[test]
        fn quantile_is_off_by_five_percent_at_most(
            values in proptest::collection::vec(1e-4..1e4, 1..300), q in 0.01..=1.0,
        ) {
            let found = sketch_of(&values).quantile(q).unwrap();

            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let rank = (q * sorted.len() as f64 * (1.0 - 1e-6)).ceil() as usize;
            let exact = sorted[rank.clamp(1, sorted.len()) - 1];
            prop_assert!((found - exact).abs() <= exact * RELATIVE_ERROR * 1.001, "{found} for {exact}");
        }

        #[test]
        fn fading_alone_changes_no_quantile(
            values in proptest::collection::vec(1e-4..1e4, 1..100), q in 0.01..=1.0, keep in 0.1..=1.0,
        ) {
            let before = sketch_of(&values);
            let mut after = before.clone();
            after.fade(keep);

            let (before, after) = (before.quantile(q).unwrap(), after.quantile(q).unwrap());
            // A rank on the edge of a bucket may fall to its neighbour by rounding; no more than that.
            let sorted_neighbours = values.iter().any(|value| (value - after).abs() <= value * 0.06);
            prop_assert!(before == after || sorted_neighbours);
        }
    }
}
