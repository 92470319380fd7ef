use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::distribution::Distribution;

/// Draws medians of resamples of a distribution.
///
/// The median of n draws with replacement is the quantile function at the middle of n sorted uniform numbers, and that
/// one is Beta(m, n − m + 1) distributed with m = ⌈n/2⌉ (David and Nagaraja, Order Statistics, 2003, section 2.3). So a
/// median costs the same for any n, and is distributed exactly as if n values had been drawn and sorted.
pub(crate) struct Medians {
    /// Values in seconds with the number of values up to and including them.
    cumulative: Vec<(f64, u64)>,
    rng: StdRng,
}

impl Medians {
    pub(crate) fn new(distribution: &Distribution, seed: u64) -> Self {
        let mut seen = 0_u64;
        let cumulative = distribution
            .buckets()
            .map(|(nanos, count)| {
                seen = seen.saturating_add(count);
                (nanos as f64 / 1e9, seen)
            })
            .collect();
        Self { cumulative, rng: StdRng::seed_from_u64(seed) }
    }

    /// The median of one resample, in seconds; `None` if there is nothing to draw from.
    pub(crate) fn draw(&mut self) -> Option<f64> {
        let total = self.cumulative.last()?.1;
        let middle = total.div_ceil(2);
        let low = gamma(&mut self.rng, middle as f64);
        let high = gamma(&mut self.rng, (total - middle + 1) as f64);
        let rank = low / (low + high) * total as f64;
        let place = self.cumulative.partition_point(|(_, up_to)| (*up_to as f64) < rank);
        self.cumulative.get(place).or(self.cumulative.last()).map(|(seconds, _)| *seconds)
    }
}

/// A gamma variate with scale 1 and `shape` of at least 1: Marsaglia and Tsang 2000, "A simple method for generating
/// gamma variables".
fn gamma(rng: &mut StdRng, shape: f64) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - rng.random::<f64>()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// A standard normal variate: Box and Muller 1958.
fn normal(rng: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn squares(count: u64) -> Distribution {
        let mut distribution = Distribution::new();
        (1..=count).for_each(|n| distribution.record(Duration::from_millis(n * n)));
        distribution
    }

    fn mean_and_spread(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn drawn_medians_are_distributed_as_those_of_real_resamples() {
        for count in [3, 10, 101] {
            let distribution = squares(count);
            let mut rng = StdRng::seed_from_u64(1);
            let real: Vec<f64> = (0..20_000)
                .map(|_| {
                    let mut drawn: Vec<u64> = (0..count).map(|_| rng.random_range(1..=count)).collect();
                    drawn.sort_unstable();
                    let middle = drawn[count.div_ceil(2) as usize - 1];
                    (middle * middle) as f64 / 1000.0
                })
                .collect();
            let mut medians = Medians::new(&distribution, 2);
            let drawn: Vec<f64> = (0..20_000).map(|_| medians.draw().unwrap()).collect();

            let ((real_mean, real_spread), (mean, spread)) =
                (mean_and_spread(&real), mean_and_spread(&drawn));
            assert!((mean / real_mean - 1.0).abs() < 0.02, "{count}: {mean} and {real_mean}");
            assert!((spread / real_spread - 1.0).abs() < 0.04, "{count}: {spread} and {real_spread}");
        }
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Medians::new(&Distribution::new(), 0).draw(), None);
    }

    #[test]
    fn gamma_variates_have_their_mean_and_variance() {
        let mut rng = StdRng::seed_from_u64(3);
        for shape in [1.0, 2.5, 400.0] {
            let values: Vec<f64> = (0..20_000).map(|_| gamma(&mut rng, shape)).collect();
            let (mean, spread) = mean_and_spread(&values);
            assert!((mean / shape - 1.0).abs() < 0.04, "{shape}: {mean}");
            assert!((spread / shape.sqrt() - 1.0).abs() < 0.05, "{shape}: {spread}");
        }
    }
}
