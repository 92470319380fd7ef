use std::fmt;

use serde::Serialize;

use super::paired::sign_test;
use super::{Probe, Verdict};

/// How the answers to the probes compare.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Behaviour {
    /// Probes that were asked.
    pub probes: usize,
    /// Those the reference answered as wanted.
    pub reference_passed: usize,
    /// Those the candidate answered as wanted.
    pub candidate_passed: usize,
    /// Those the reference answered and the candidate did not, in the order they were given.
    pub lost: Vec<Lost>,
    /// How many the candidate answered and the reference did not.
    pub gained: usize,
    /// How likely as many losses, or more, are among what changed, if losing were no likelier than gaining (exact McNemar
    /// test, one-sided).
    pub p_value: f64,
}

/// A probe whose answer went wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Lost {
    /// What was asked, and what for.
    pub probe: Probe,
    /// What the candidate said.
    pub answer: String,
}

impl Behaviour {
    /// Of each probe: whether the reference passed, and the candidate's answer with whether it passed.
    #[cfg_attr(not(feature = "engine"), allow(dead_code, reason = "only models answer probes"))]
    pub(super) fn new(outcomes: Vec<(Probe, bool, String, bool)>) -> Self {
        let count = |of: fn(bool, bool) -> bool| outcomes.iter().filter(|(_, a, _, b)| of(*a, *b)).count();
        let (probes, gained) = (outcomes.len(), count(|reference, candidate| candidate && !reference));
        let (reference_passed, candidate_passed) =
            (count(|reference, _| reference), count(|_, candidate| candidate));
        let lost: Vec<Lost> = outcomes
            .into_iter()
            .filter(|(_, reference, _, candidate)| *reference && !candidate)
            .map(|(probe, _, answer, _)| Lost { probe, answer })
            .collect();
        let p_value = sign_test(lost.len(), gained);
        Self { probes, reference_passed, candidate_passed, lost, gained, p_value }
    }

    /// Probes can fail a candidate, and never save one: fewer than five losses prove nothing at the usual 95 %.
    #[cfg_attr(not(feature = "engine"), allow(dead_code, reason = "only models answer probes"))]
    pub(super) fn judge(&self, confidence: f64) -> Verdict {
        if self.p_value > 1.0 - confidence {
            return Verdict::Pass;
        }
        let (lost, gained, p) = (self.lost.len(), self.gained, self.p_value);
        Verdict::fail(format!("{lost} probes lost and {gained} gained, by chance with probability {p:.4}"))
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} probes: {} passed by the reference, {} by the candidate, {} lost, {} gained",
            self.probes,
            self.reference_passed,
            self.candidate_passed,
            self.lost.len(),
            self.gained
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Expectation;
    use super::*;

    fn behaviour(outcomes: &[(bool, bool)]) -> Behaviour {
        let outcome = |(reference, candidate): &(bool, bool)| {
            (Probe::new("q", Expectation::Ends), *reference, "a".to_owned(), *candidate)
        };
        Behaviour::new(outcomes.iter().map(outcome).collect())
    }

    #[test]
    fn five_losses_without_a_gain_fail_and_four_do_not() {
        let mut outcomes = vec![(true, true); 30];
        outcomes.extend([(true, false); 4]);
        assert!(behaviour(&outcomes).judge(0.95).is_pass());

        outcomes.push((true, false));
        let five = behaviour(&outcomes);
        assert_eq!((five.probes, five.reference_passed, five.candidate_passed), (35, 35, 30));
        assert!(matches!(five.judge(0.95), Verdict::Fail { .. }));

        outcomes.push((false, true));
        assert!(behaviour(&outcomes).judge(0.95).is_pass());
    }
}
