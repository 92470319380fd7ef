//! The pause between two attempts: the one place that knows the `backoff` crate.
//!
//! Full jitter: uniform between zero and a bound that doubles
//! ([Brooker 2015](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)). The crate
//! draws from `interval ± factor · interval`, so a factor of 1 around half the bound is exactly that.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// The bound of the first pause.
const FIRST: Duration = Duration::from_millis(500);
/// The bound no pause exceeds.
const LONGEST: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(crate) struct Backoff(ExponentialBackoff);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(ExponentialBackoff {
            current_interval: FIRST / 2,
            initial_interval: FIRST / 2,
            randomization_factor: 1.0,
            multiplier: 2.0,
            max_interval: LONGEST / 2,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    pub(crate) fn pause(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(LONGEST).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_below_a_doubling_bound() {
        for _ in 0..200 {
            let mut backoff = Backoff::new();
            for bound in [500, 1000, 2000, 4000, 8000, 8000] {
                assert!(backoff.pause() <= Duration::from_millis(bound + 1));
            }
        }
    }

    #[test]
    fn pauses_differ_between_callers() {
        let pauses: Vec<Duration> = (0..20).map(|_| Backoff::new().pause()).collect();

        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
