use std::fmt;

use serde::Serialize;

use super::Estimate;

/// Whether the candidate may take the reference's place.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// Every interval lies within its limit.
    Pass,
    /// At least one interval lies beyond its limit, or something is plainly broken.
    Fail {
        /// What is wrong, a phrase for each.
        reasons: Vec<String>,
    },
    /// The sample is too small to tell; nothing speaks for a failure.
    Inconclusive {
        /// What would settle it, a phrase for each.
        needs: Vec<String>,
    },
}

impl Verdict {
    /// Whether this is [`Pass`](Self::Pass).
    pub fn is_pass(&self) -> bool {
        *self == Self::Pass
    }

    pub(super) fn fail(reason: impl Into<String>) -> Self {
        Self::Fail { reasons: vec![reason.into()] }
    }

    pub(super) fn inconclusive(need: impl Into<String>) -> Self {
        Self::Inconclusive { needs: vec![need.into()] }
    }

    /// Both together: a failure stands, and then a doubt.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fail { mut reasons }, Self::Fail { reasons: more }) => {
                reasons.extend(more);
                Self::Fail { reasons }
            }
            (fail @ Self::Fail { .. }, _) | (_, fail @ Self::Fail { .. }) => fail,
            (Self::Inconclusive { mut needs }, Self::Inconclusive { needs: more }) => {
                needs.extend(more);
                Self::Inconclusive { needs }
            }
            (doubt @ Self::Inconclusive { .. }, Self::Pass) | (Self::Pass, doubt) => doubt,
        }
    }

    /// Judges `estimate` of `what`, taken from `sample` things called `unit`, against the highest value allowed.
    pub(super) fn at_most(what: &str, estimate: Estimate, limit: f64, sample: (usize, &str)) -> Self {
        if estimate.high <= limit {
            return Self::Pass;
        }
        if estimate.low > limit {
            return Self::fail(format!("{what} is {}, above the limit {limit}", span(estimate)));
        }
        Self::inconclusive(more(what, estimate, limit, sample))
    }

    /// As [`at_most`](Self::at_most), against the lowest value allowed.
    pub(super) fn at_least(what: &str, estimate: Estimate, limit: f64, sample: (usize, &str)) -> Self {
        if estimate.low >= limit {
            return Self::Pass;
        }
        if estimate.high < limit {
            return Self::fail(format!("{what} is {}, below the limit {limit}", span(estimate)));
        }
        Self::inconclusive(more(what, estimate, limit, sample))
    }
}

/// One line in plain words.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass: the candidate keeps within every limit"),
            Self::Fail { reasons } => write!(f, "fail: {}", reasons.join("; ")),
            Self::Inconclusive { needs } => write!(f, "inconclusive: {}", needs.join("; ")),
        }
    }
}

fn span(estimate: Estimate) -> String {
    format!("{:.4} to {:.4}", estimate.low, estimate.high)
}

/// What would settle a comparison whose interval holds the limit; intervals shrink with the root of the sample.
fn more(what: &str, estimate: Estimate, limit: f64, (sample, unit): (usize, &str)) -> String {
    let doubt = format!("{what} is {}, around the limit {limit}", span(estimate));
    let half =
        if estimate.value <= limit { estimate.high - estimate.value } else { estimate.value - estimate.low };
    let factor = (half / (estimate.value - limit)).powi(2);
    if factor.is_finite() && factor < 20.0 {
        let wanted = (sample as f64 * factor * 1.2).ceil();
        format!("{doubt}; about {wanted} {unit} would tell")
    } else {
        format!("{doubt}; many more than {sample} {unit} would be needed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(low: f64, value: f64, high: f64) -> Estimate {
        Estimate { value, low, high }
    }

    #[test]
    fn whole_interval_decides_and_one_around_the_limit_asks_for_more() {
        let judge = |estimate| Verdict::at_most("loss", estimate, 1.0, (100, "tokens"));
        assert_eq!(judge(estimate(0.5, 0.8, 1.0)), Verdict::Pass);
        assert_eq!(
            judge(estimate(1.1, 1.2, 1.3)).to_string(),
            "fail: loss is 1.1000 to 1.3000, above the limit 1"
        );
        assert_eq!(
            judge(estimate(0.5, 0.75, 1.25)).to_string(),
            "inconclusive: loss is 0.5000 to 1.2500, around the limit 1; about 480 tokens would tell"
        );
        assert!(judge(estimate(0.5, 0.75, f64::INFINITY)).to_string().contains("many more than 100 tokens"));

        let judge = |estimate| Verdict::at_least("share", estimate, 1.0, (100, "tokens"));
        assert_eq!(judge(estimate(1.0, 1.1, 1.2)), Verdict::Pass);
        assert!(matches!(judge(estimate(0.5, 0.7, 0.9)), Verdict::Fail { .. }));
        assert!(matches!(judge(estimate(0.5, 0.7, 1.0)), Verdict::Inconclusive { .. }));
    }

    #[test]
    fn measures_that_are_not_numbers_never_pass() {
        let nan = estimate(f64::NAN, f64::NAN, f64::NAN);
        assert!(!Verdict::at_most("loss", nan, 1.0, (1, "tokens")).is_pass());
        assert!(!Verdict::at_least("share", nan, 1.0, (1, "tokens")).is_pass());
    }

    #[test]
    fn failure_outweighs_doubt_and_doubt_outweighs_a_pass() {
        let (fail, doubt) = (Verdict::fail("a"), Verdict::inconclusive("b"));
        assert_eq!(Verdict::Pass.and(Verdict::Pass), Verdict::Pass);
        for [one, other] in
            [[&fail, &doubt], [&doubt, &fail], [&fail, &Verdict::Pass], [&Verdict::Pass, &fail]]
        {
            assert_eq!(one.clone().and(other.clone()), fail);
        }
        assert_eq!(doubt.clone().and(Verdict::Pass), doubt);
        assert_eq!(Verdict::Pass.and(doubt.clone()), doubt);
        assert_eq!(fail.clone().and(fail).to_string(), "fail: a; a");
    }
}
