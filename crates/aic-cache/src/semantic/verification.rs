use serde::Serialize;

use super::Interval;
use crate::{Error, Result};

/// How often an answer given to a similar question was the wrong one, from a random sample.
///
/// A sampled hit is computed anew beside being given, and the two answers are compared. The sample has to be
/// drawn by [`should_verify`](Self::should_verify) alone, without a look at the question: then the rate holds
/// for all hits. Answers of models vary, so the rate includes the times the model would contradict itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WrongHits {
    sampling: f64,
    verified: u64,
    wrong: u64,
}

/// Two in a hundred hits are computed anew.
impl Default for WrongHits {
    fn default() -> Self {
        Self { sampling: 0.02, verified: 0, wrong: 0 }
    }
}

impl WrongHits {
    /// An estimate from a sample of every hit with probability `sampling`, from 0 (none) to 1 (every one).
    ///
    /// # Errors
    /// [`Error::Ratio`] if `sampling` is not from 0 to 1.
    pub fn new(sampling: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&sampling) {
            return Err(Error::Ratio { name: "sampling", value: sampling, limits: "from 0 to 1" });
        }
        Ok(Self { sampling, ..Self::default() })
    }

    /// Whether this hit belongs to the sample. `random` is drawn evenly from 0 (inclusive) to 1 (exclusive).
    pub fn should_verify(&self, random: f64) -> bool {
        random < self.sampling
    }

    /// Counts one hit of the sample.
    pub fn record(&mut self, correct: bool) {
        self.verified += 1;
        self.wrong += u64::from(!correct);
    }

    /// Number of hits in the sample whose answers have been compared.
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// Number of them that were wrong.
    pub fn wrong(&self) -> u64 {
        self.wrong
    }

    /// The share of wrong hits, from 0 to 1; `None` before the first was verified.
    pub fn rate(&self) -> Option<f64> {
        (self.verified > 0).then(|| self.wrong as f64 / self.verified as f64)
    }

    /// Where the share of wrong hits lies with 95 % confidence: exact, so never too narrow
    /// ([Clopper and Pearson 1934](https://doi.org/10.1093/biomet/26.4.404)). `None` before the first was
    /// verified. Takes some microseconds.
    pub fn interval(&self) -> Option<Interval> {
        (self.verified > 0).then(|| Interval::of(self.wrong, self.verified))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantic::draws::Draws;

    #[test]
    fn rate_before_the_first_verification_is_unknown_rather_than_zero() {
        let hits = WrongHits::default();

        assert_eq!((hits.rate(), hits.interval()), (None, None));
    }

    #[test]
    fn verified_hits_give_their_share_and_its_interval() {
        let mut hits = WrongHits::default();
        (0..250).for_each(|hit| hits.record(hit >= 3));

        let interval = hits.interval().unwrap();

        assert_eq!((hits.verified(), hits.wrong(), hits.rate()), (250, 3, Some(0.012)));
        assert!((interval.low - 0.0025).abs() < 1e-4 && (interval.high - 0.0347).abs() < 1e-4);
    }

    #[test]
    fn sample_has_the_size_asked_for() {
        let mut draws = Draws::new(7);
        let hits = WrongHits::new(0.1).unwrap();
        let sampled = (0..10_000).filter(|_| hits.should_verify(draws.next())).count();

        assert!((900..1_100).contains(&sampled), "{sampled}");
        assert!(!WrongHits::new(0.0).unwrap().should_verify(0.0));
        assert!(WrongHits::new(1.0).unwrap().should_verify(0.999_999_999));
    }

    #[test]
    fn sampling_beyond_one_is_refused_with_its_limits() {
        let error = WrongHits::new(1.5).unwrap_err();

        assert_eq!(error.to_string(), "sampling has to be from 0 to 1, not 1.5");
        assert!(WrongHits::new(f64::NAN).is_err());
    }

    #[test]
    fn interval_covers_the_true_rate_at_least_95_times_in_100() {
        const RUNS: u32 = 600;
        let mut draws = Draws::new(11);
        for (rate, verified) in [(0.005, 150), (0.02, 100), (0.3, 40)] {
            let covered = (0..RUNS).filter(|_| {
                let mut hits = WrongHits::default();
                (0..verified).for_each(|_| hits.record(draws.next() >= rate));
                let interval = hits.interval().unwrap();
                (interval.low..=interval.high).contains(&rate)
            });
            // Three standard deviations of a share of 95 % below it.
            let floor = 0.95 - 3.0 * (0.95 * 0.05 / f64::from(RUNS)).sqrt();
            assert!(covered.count() as f64 / f64::from(RUNS) >= floor, "{rate}");
        }
    }
}
