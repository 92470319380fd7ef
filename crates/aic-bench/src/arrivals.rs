use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// How the requests of an open loop follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Arrivals {
    /// At random and independently, as from many users: exponential gaps.
    #[default]
    Poisson,
    /// Evenly.
    Constant,
}

impl Arrivals {
    /// The starts of all requests, counted from the beginning: an absolute schedule, which delays cannot shift.
    pub(crate) fn schedule(self, rate: f64, seed: u64) -> Box<dyn Iterator<Item = Duration> + Send> {
        match self {
            Self::Constant => Box::new((0_u64..).map(move |n| seconds(n as f64 / rate))),
            Self::Poisson => Box::new(poisson(rate, StdRng::seed_from_u64(seed))),
        }
    }
}

/// Sums of exponential gaps, by inversion.
fn poisson(rate: f64, mut rng: StdRng) -> impl Iterator<Item = Duration> + Send {
    let mut at = 0.0;
    std::iter::repeat_with(move || {
        at -= (1.0 - rng.random::<f64>()).ln() / rate;
        seconds(at)
    })
}

/// The longest duration stands in for what does not fit one.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_do_not_drift() {
        let thousandth = Arrivals::Constant.schedule(3.0, 0).nth(3_000).unwrap();

        assert_eq!(thousandth, Duration::from_secs(1000));
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_spread_of_their_rate() {
        let starts: Vec<_> =
            Arrivals::Poisson.schedule(10.0, 7).take(20_000).map(|at| at.as_secs_f64()).collect();
        let gaps: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;

        // An exponential's standard deviation is its mean. Five standard errors of 20 000 gaps are 3.5 %.
        assert!((mean - 0.1).abs() < 0.0035, "{mean}");
        assert!((variance.sqrt() - 0.1).abs() < 0.005, "{variance}");
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals() {
        let first = |seed| Arrivals::Poisson.schedule(5.0, seed).take(10).collect::<Vec<_>>();

        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }
}
