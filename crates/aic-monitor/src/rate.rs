use std::collections::HashMap;
use std::time::Instant;

use crate::Absent;

/// Turns growing counters, one per key, into rates per second.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    last: HashMap<String, (Instant, f64)>,
}

impl Rates {
    /// The growth of the counter `key` per second since it was last seen.
    ///
    /// Absent for the first sample and where the counter went back, which means that it began again.
    pub(crate) fn update(&mut self, key: &str, at: Instant, total: f64) -> Result<f64, Absent> {
        let before = self.last.insert(key.to_owned(), (at, total));
        let (then, old) = before.ok_or(Absent::FirstSample)?;
        let seconds = at.saturating_duration_since(then).as_secs_f64();
        if seconds > 0.0 && total >= old { Ok((total - old) / seconds) } else { Err(Absent::FirstSample) }
    }

    /// Forgets the counters that were not updated at `at`: their device is gone.
    pub(crate) fn retain(&mut self, at: Instant) {
        self.last.retain(|_, (seen, _)| *seen == at);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_sample_is_absent_and_the_second_is_the_growth_per_second() {
        let (mut rates, start) = (Rates::default(), Instant::now());

        assert_eq!(rates.update("eth0", start, 100.0), Err(Absent::FirstSample));
        assert_eq!(rates.update("eth0", start + Duration::from_secs(2), 300.0), Ok(100.0));
    }

    #[test]
    fn counter_that_went_back_is_absent_once() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let second = Duration::from_secs(1);
        let _ = rates.update("eth0", start, 100.0);

        assert_eq!(rates.update("eth0", start + second, 10.0), Err(Absent::FirstSample));
        assert_eq!(rates.update("eth0", start + 2 * second, 15.0), Ok(5.0));
    }

    #[test]
    fn forgotten_key_starts_again() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let later = start + Duration::from_secs(1);
        let _ = rates.update("gone", start, 1.0);
        let _ = rates.update("here", later, 1.0);

        rates.retain(later);

        assert_eq!(rates.update("gone", later, 2.0), Err(Absent::FirstSample));
    }

    proptest! {
        #[test]
        fn a_rate_is_never_negative(totals in prop::collection::vec(0.0..1e15, 2..20)) {
            let (mut rates, start) = (Rates::default(), Instant::now());
            for (i, total) in totals.into_iter().enumerate() {
                if let Ok(rate) = rates.update("x", start + Duration::from_millis(i as u64), total) {
                    prop_assert!(rate >= 0.0);
                }
            }
        }
    }
}
