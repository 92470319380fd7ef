use serde::{Deserialize, Serialize};

use crate::direction::Direction;
use crate::metrics::Means;

/// A metric that a change must not make worse than a bound beside the baseline.
///
/// ```
/// use aic_tuner::{Direction, Guardrail};
///
/// // p99 latency may rise by 5 %, the error ratio by one in a thousand.
/// let rails = [
///     Guardrail::new("latency_p99_seconds", Direction::Minimize).tolerance(0.05),
///     Guardrail::new("error_ratio", Direction::Minimize).slack(0.001),
/// ];
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use]
pub struct Guardrail {
    /// The metric's name.
    pub metric: String,
    /// Which way is better.
    pub direction: Direction,
    /// How much worse the mean may be, as a part of the baseline's. Below zero, it has to be better by that part.
    pub tolerance: f64,
    /// How much worse it may be on top, in the metric's unit; what counts where the baseline is zero.
    pub slack: f64,
}

impl Guardrail {
    /// A metric whose mean must not get worse at all.
    pub fn new(metric: impl Into<String>, direction: Direction) -> Self {
        Self { metric: metric.into(), direction, tolerance: 0.0, slack: 0.0 }
    }

    /// Sets how much worse the mean may be, as a part of the baseline's.
    ///
    /// Defaults to 0. Below zero, it has to be better by that part: -0.1 asks for an improvement of a tenth.
    pub fn tolerance(mut self, part: f64) -> Self {
        self.tolerance = part;
        self
    }

    /// Sets how much worse the mean may be on top, in the metric's own unit.
    ///
    /// Defaults to 0.
    pub fn slack(mut self, amount: f64) -> Self {
        self.slack = amount;
        self
    }

    /// Why the candidate breaks this guardrail, or `None` if it keeps it. What was not observed, or is not a number,
    /// breaks it: no reading is no proof.
    pub(crate) fn breach(&self, baseline: &Means, candidate: &Means) -> Option<String> {
        let metric = &self.metric;
        let Some(before) = baseline.mean(metric) else { return Some(format!("{metric} has no baseline")) };
        let Some(after) = candidate.mean(metric) else { return Some(format!("{metric} was not observed")) };
        let limit = self.direction.loss(before) + before.abs() * self.tolerance + self.slack;
        let kept = self.direction.loss(after) <= limit;
        (!kept).then(|| {
            let (bound, limit) = match self.direction {
                Direction::Minimize => ("most", limit),
                Direction::Maximize => ("least", -limit),
            };
            format!("{metric} went from {before:.4} to {after:.4}; at {bound} {limit:.4} is allowed")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach(rail: &Guardrail, before: f64, after: f64) -> Option<String> {
        let [baseline, candidate] = [before, after].map(|value| {
            let mut means = Means::default();
            means.observe(&[("m".to_owned(), value)].into());
            means
        });
        rail.breach(&baseline, &candidate)
    }

    #[test]
    fn a_bound_holds_in_either_direction() {
        let latency = Guardrail::new("m", Direction::Minimize).tolerance(0.1);
        let throughput = Guardrail::new("m", Direction::Maximize).tolerance(0.1);

        assert_eq!(breach(&latency, 100.0, 109.0), None);
        assert_eq!(
            breach(&latency, 100.0, 111.0).unwrap(),
            "m went from 100.0000 to 111.0000; at most 110.0000 is allowed"
        );
        assert_eq!(breach(&throughput, 100.0, 91.0), None);
        assert!(breach(&throughput, 100.0, 89.0).unwrap().ends_with("at least 90.0000 is allowed"));
    }

    #[test]
    fn slack_counts_where_the_baseline_is_zero() {
        let errors = Guardrail::new("m", Direction::Minimize).tolerance(0.5);

        assert!(breach(&errors, 0.0, 0.001).is_some());
        assert_eq!(breach(&errors.slack(0.01), 0.0, 0.001), None);
    }

    #[test]
    fn a_tolerance_below_zero_asks_for_improvement() {
        let faster = Guardrail::new("m", Direction::Minimize).tolerance(-0.1);

        assert!(breach(&faster, 100.0, 95.0).is_some());
        assert_eq!(breach(&faster, 100.0, 85.0), None);
    }

    #[test]
    fn what_is_not_a_number_or_not_observed_is_no_proof() {
        let rail = Guardrail::new("m", Direction::Minimize);

        assert!(breach(&rail, 1.0, f64::NAN).is_some());
        assert!(breach(&rail, f64::NAN, 1.0).is_some());
        assert_eq!(rail.breach(&Means::default(), &Means::default()).unwrap(), "m has no baseline");
    }
}
