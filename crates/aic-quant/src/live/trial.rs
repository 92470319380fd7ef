use std::time::Duration;

use super::sequence::Sequence;
use crate::{Error, Result};

/// Which of two a request was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// What is in use.
    Current,
    /// What is tried out.
    Candidate,
}

/// How one request went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Whether it failed. Its latency and quality then do not count.
    pub failed: bool,
    /// How long it took, by whatever measure suits requests of different size: time to the first token, time per token.
    pub latency: Duration,
    /// How good the answer was, from 0 to 1, if somebody judged it.
    pub quality: Option<f64>,
}

/// How much worse a candidate may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Failures more than before, as a share of all requests. Above 0. Defaults to 0.02.
    pub more_failures: f64,
    /// A request is slow if it takes this many times as long as 95 % of the current ones do. Above 0. Defaults to 1.2.
    pub slow_factor: f64,
    /// Slow requests more than before, as a share of all. Above 0. Defaults to 0.05.
    pub more_slow: f64,
    /// Mean quality less than before. Above 0. Defaults to 0.03.
    pub less_quality: f64,
    /// The chance of a wrong verdict, above 0 and below 1. Defaults to 0.05.
    pub alpha: f64,
    /// Candidate requests after which a trial that could not decide ends with [`Verdict::Inconclusive`]. Defaults to
    /// 20,000.
    pub most_requests: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            more_failures: 0.02,
            slow_factor: 1.2,
            more_slow: 0.05,
            less_quality: 0.03,
            alpha: 0.05,
            most_requests: 20_000,
        }
    }
}

/// What a trial found.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The candidate is no worse than the limits allow, in everything that was measured: it is current now.
    Accept,
    /// It is worse: it is gone.
    Reject {
        /// In what, and by how much.
        reason: String,
    },
    /// Neither could be shown in [`Limits::most_requests`]: it is gone.
    Inconclusive,
}

/// Compares a candidate with what is in use, request by request, and stops as soon as it may.
///
/// Each of failures, slow requests and quality is a number from 0 to 1 for each request. Confidence sequences for both arms'
/// means hold at all times together with probability 1 − alpha, so a decision may be taken the moment they allow: worse if
/// the difference is surely more than allowed, in any of the three; no worse if it is surely less, in all of them. What is
/// slow is fixed by the first [`Trial::CALIBRATION`] requests of the current one.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    limits: Limits,
    /// Latencies by which it is decided what is slow, in seconds.
    calibration: Vec<f64>,
    slow: Option<f64>,
    failures: Pair,
    slowness: Pair,
    faults: Pair,
}

/// The same number of both arms; more of it is worse.
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    current: Sequence,
    candidate: Sequence,
}

impl Trial {
    /// Requests of the current one that decide what is slow.
    pub const CALIBRATION: usize = 200;

    /// A trial that has seen nothing yet.
    ///
    /// # Errors
    /// [`Error::Option`] if a limit is out of its range.
    pub fn new(limits: Limits) -> Result<Self> {
        limits.check()?;
        // Three numbers of two arms share the chance of an error.
        let pair = || Pair {
            current: Sequence::new(limits.alpha / 6.0),
            candidate: Sequence::new(limits.alpha / 6.0),
        };
        Ok(Self {
            limits,
            calibration: Vec::new(),
            slow: None,
            failures: pair(),
            slowness: pair(),
            faults: pair(),
        })
    }

    /// Takes in how a request of `arm` went; returns the verdict if that decides it.
    pub fn add(&mut self, arm: Arm, sample: &Sample) -> Option<Verdict> {
        self.failures.of(arm).add(share(sample.failed));
        if !sample.failed {
            self.add_latency(arm, sample.latency.as_secs_f64());
            if let Some(quality) = sample.quality.filter(|quality| quality.is_finite()) {
                self.faults.of(arm).add(1.0 - quality.clamp(0.0, 1.0));
            }
        }
        self.verdict()
    }

    /// Requests of the current one and of the candidate.
    pub fn requests(&self) -> (u64, u64) {
        (self.failures.current.count(), self.failures.candidate.count())
    }

    fn add_latency(&mut self, arm: Arm, seconds: f64) {
        if let Some(slow) = self.slow {
            self.slowness.of(arm).add(share(seconds > slow));
        } else if arm == Arm::Current {
            self.calibration.push(seconds);
            if self.calibration.len() == Self::CALIBRATION {
                self.calibration.sort_by(f64::total_cmp);
                self.slow = Some(self.calibration[Self::CALIBRATION * 95 / 100] * self.limits.slow_factor);
                self.calibration = Vec::new();
            }
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        let limits = &self.limits;
        let measures = [
            ("failures", &self.failures, limits.more_failures),
            ("slow requests", &self.slowness, limits.more_slow),
            ("loss of quality", &self.faults, limits.less_quality),
        ];
        if let Some((what, pair, limit)) = measures.iter().find(|(_, pair, limit)| pair.surely_worse(*limit))
        {
            let percent = |sequence: &Sequence| sequence.mean().unwrap_or_default() * 100.0;
            let (now, before) = (percent(&pair.candidate), percent(&pair.current));
            let reason = format!(
                "{what}: {now:.1} % against {before:.1} %, and {:.1} % more are allowed",
                limit * 100.0
            );
            return Some(Verdict::Reject { reason });
        }
        // Quality that nobody judges need not be shown.
        let judged = self.faults.current.count() + self.faults.candidate.count() > 0;
        let needed = if judged { &measures[..] } else { &measures[..2] };
        if needed.iter().all(|(_, pair, limit)| pair.surely_no_worse(*limit)) {
            return Some(Verdict::Accept);
        }
        (self.failures.candidate.count() >= limits.most_requests).then_some(Verdict::Inconclusive)
    }
}

impl Pair {
    fn of(&mut self, arm: Arm) -> &mut Sequence {
        match arm {
            Arm::Current => &mut self.current,
            Arm::Candidate => &mut self.candidate,
        }
    }

    fn surely_worse(&self, limit: f64) -> bool {
        self.candidate.low() > self.current.high() + limit
    }

    fn surely_no_worse(&self, limit: f64) -> bool {
        self.candidate.high() <= self.current.low() + limit
    }
}

impl Limits {
    fn check(&self) -> Result<()> {
        let shares = [
            ("more_failures", self.more_failures),
            ("more_slow", self.more_slow),
            ("less_quality", self.less_quality),
            ("alpha", self.alpha),
        ];
        let wrong = |(option, value): (&'static str, f64), expected| {
            Err(Error::Option { option, value: value.to_string(), expected })
        };
        if let Some(share) = shares.into_iter().find(|(_, share)| !(*share > 0.0 && *share < 1.0)) {
            return wrong(share, "above 0 and below 1");
        }
        if !(self.slow_factor > 0.0 && self.slow_factor.is_finite()) {
            return wrong(("slow_factor", self.slow_factor), "a number above 0");
        }
        Ok(())
    }
}

fn share(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Runs a trial with half of the requests for each; returns the verdict and the candidate's requests.
    fn run(seed: u64, limits: Limits, sample: impl Fn(Arm, &mut StdRng) -> Sample) -> (Verdict, u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut trial = Trial::new(limits).unwrap();
        loop {
            let arm = if random.random() { Arm::Current } else { Arm::Candidate };
            let sample = sample(arm, &mut random);
            if let Some(verdict) = trial.add(arm, &sample) {
                return (verdict, trial.requests().1);
            }
        }
    }

    fn sample(random: &mut StdRng, failures: f64, mean_ms: f64, quality: f64) -> Sample {
        let latency = Duration::from_secs_f64(mean_ms / 1000.0 * (0.5 + random.random::<f64>()));
        let quality = (quality + 0.2 * (random.random::<f64>() - 0.5)).clamp(0.0, 1.0);
        Sample { failed: random.random::<f64>() < failures, latency, quality: Some(quality) }
    }

    #[test]
    fn equal_candidate_is_accepted_nearly_always() {
        let accepted = (0..40).filter(|seed| {
            let (verdict, _) = run(*seed, Limits::default(), |_, random| sample(random, 0.005, 20.0, 0.8));
            verdict == Verdict::Accept
        });
        let accepted = accepted.count();
        assert!(accepted >= 38, "{accepted} of 40");
    }

    #[test]
    fn worse_candidate_is_rejected_for_what_is_worse_with_it() {
        let worse = [
            ("failures", (0.10, 20.0, 0.8)),
            ("slow requests", (0.005, 40.0, 0.8)),
            ("loss of quality", (0.005, 20.0, 0.7)),
        ];
        for (what, (failures, latency, quality)) in worse {
            for seed in 0..10 {
                let (verdict, requests) = run(seed, Limits::default(), |arm, random| match arm {
                    Arm::Current => sample(random, 0.005, 20.0, 0.8),
                    Arm::Candidate => sample(random, failures, latency, quality),
                });
                let Verdict::Reject { reason } = verdict else { panic!("{what}: {verdict:?}") };
                assert!(reason.starts_with(what), "{reason}");
                assert!(requests < 3_000, "{what}: {requests}");
            }
        }
    }

    #[test]
    fn trial_that_cannot_decide_ends() {
        let limits = Limits { most_requests: 300, ..Limits::default() };
        let (verdict, requests) = run(1, limits, |_, random| sample(random, 0.2, 20.0, 0.5));
        assert_eq!((verdict, requests), (Verdict::Inconclusive, 300));
    }

    #[test]
    fn limits_out_of_range_are_refused_by_name() {
        let wrong = Limits { more_slow: 0.0, ..Limits::default() };
        assert!(matches!(Trial::new(wrong), Err(Error::Option { option: "more_slow", .. })));
        let wrong = Limits { slow_factor: f64::NAN, ..Limits::default() };
        assert!(matches!(Trial::new(wrong), Err(Error::Option { option: "slow_factor", .. })));
    }
}
