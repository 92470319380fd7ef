use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::bootstrap::Medians;
use crate::error::{Error, Result};
use crate::pretty;
use crate::report::Report;

const RESAMPLES: usize = 2000;

/// The median latencies of two reports, and how sure their difference is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The baseline's median.
    pub baseline: Duration,
    /// The candidate's median.
    pub candidate: Duration,
    /// Candidate minus baseline, in seconds: negative is faster.
    pub difference_seconds: f64,
    /// The 95 % confidence interval of the difference, in seconds.
    pub interval_seconds: (f64, f64),
    /// What the interval says.
    pub verdict: Verdict,
}

/// What a confidence interval says about the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The whole interval is below zero.
    Faster,
    /// The whole interval is above zero.
    Slower,
    /// The interval contains zero: no difference was shown, which is not to say that there is none.
    Undecided,
}

/// Compares the median latencies of two runs by the percentile bootstrap (Efron 1979): 2000 pairs of resamples, drawn
/// from `seed`.
///
/// The interval speaks of these two runs. Requests of one run share its luck (a warm cache, a busy neighbour), so
/// differences between *runs* are larger than it says: interleave runs of both, or repeat the comparison.
///
/// # Errors
/// [`Error::NothingToCompare`] if no request of a report ended well.
pub fn compare(baseline: &Report, candidate: &Report, seed: u64) -> Result<Comparison> {
    let baseline_median = median(baseline, "baseline")?;
    let candidate_median = median(candidate, "candidate")?;
    let interval_seconds = interval(baseline, candidate, seed);
    Ok(Comparison {
        baseline: baseline_median,
        candidate: candidate_median,
        difference_seconds: candidate_median.as_secs_f64() - baseline_median.as_secs_f64(),
        interval_seconds,
        verdict: Verdict::of(interval_seconds),
    })
}

fn median(report: &Report, which: &'static str) -> Result<Duration> {
    report.latency.median().ok_or(Error::NothingToCompare { which })
}

fn interval(baseline: &Report, candidate: &Report, seed: u64) -> (f64, f64) {
    let mut baseline = Medians::new(&baseline.latency, seed);
    let mut candidate = Medians::new(&candidate.latency, !seed);
    let mut differences: Vec<f64> =
        (0..RESAMPLES).filter_map(|_| Some(candidate.draw()? - baseline.draw()?)).collect();
    differences.sort_by(f64::total_cmp);
    let outside = RESAMPLES / 40;
    (differences[outside], differences[RESAMPLES - 1 - outside])
}

impl Verdict {
    fn of((low, high): (f64, f64)) -> Self {
        match () {
            () if high < 0.0 => Self::Faster,
            () if low > 0.0 => Self::Slower,
            () => Self::Undecided,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [baseline, candidate] = [self.baseline, self.candidate].map(pretty::duration);
        let percent = |seconds: f64| seconds / self.baseline.as_secs_f64() * 100.0;
        let (low, high) = self.interval_seconds;
        write!(
            f,
            "{}: median {baseline} -> {candidate} ({:+.1}%, 95% interval {:+.1}% to {:+.1}%)",
            self.verdict,
            percent(self.difference_seconds),
            percent(low),
            percent(high)
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Undecided => "undecided",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;
    use crate::report::Load;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn report(millis: impl Iterator<Item = f64>) -> Report {
        let mut recorder = Recorder::new(None);
        millis.for_each(|millis| recorder.latency.record(Duration::from_secs_f64(millis / 1000.0)));
        recorder.finish(Load::Closed { concurrency: 1 }, Duration::from_secs(1))
    }

    fn noisy(centre: f64, seed: u64) -> Report {
        let mut rng = StdRng::seed_from_u64(seed);
        report((0..200).map(move |_| centre * rng.random_range(0.8..1.2)))
    }

    #[test]
    fn a_clear_difference_is_named_with_its_sign() {
        assert_eq!(compare(&noisy(100.0, 1), &noisy(120.0, 2), 0).unwrap().verdict, Verdict::Slower);
        assert_eq!(compare(&noisy(120.0, 1), &noisy(100.0, 2), 0).unwrap().verdict, Verdict::Faster);
    }

    #[test]
    fn equal_targets_are_called_different_about_as_often_as_the_confidence_allows() {
        let wrong = (0..100).filter(|&n| {
            compare(&noisy(100.0, 2 * n), &noisy(100.0, 2 * n + 1), n).unwrap().verdict != Verdict::Undecided
        });

        // 5 % of 100 is 5; more than 14 would happen once in 5000 times.
        assert!(wrong.count() <= 14);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let (a, b) = (noisy(100.0, 1), noisy(101.0, 2));

        assert_eq!(compare(&a, &b, 5).unwrap(), compare(&a, &b, 5).unwrap());
    }

    #[test]
    fn an_empty_report_is_refused_by_name() {
        let refused = compare(&noisy(1.0, 1), &report(std::iter::empty()), 0);

        assert_eq!(refused, Err(Error::NothingToCompare { which: "candidate" }));
    }
}
