use serde::Serialize;

use crate::error::{Error, Result};
use crate::guardrail::Guardrail;
use crate::metrics::{Means, Metrics};

/// A candidate is not judged by fewer observations than this before its window ends.
const EARLIEST_VERDICT: usize = 3;
/// So many changes are remembered, the latest.
const MEMORY: usize = 1000;

/// The pure part of a safe change: which configuration is in force, and what has to happen next.
///
/// While settled, observations describe the accepted configuration and are the baseline, the latest window of them. A
/// proposed candidate is in force until it has been observed for a window: kept if it breaks no guardrail, taken back as
/// soon as one is broken (from the third observation on), or on [`Input::Fail`]. No input can leave a candidate in force
/// that was taken back.
///
/// [`SafeApply`](crate::SafeApply) carries the effects out.
#[derive(Clone, Debug)]
pub struct Promotion<C> {
    guardrails: Vec<Guardrail>,
    window: usize,
    accepted: C,
    baseline: Vec<Metrics>,
    trial: Option<(C, Means)>,
    history: Vec<Change<C>>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<C> {
    /// A configuration to try out. Ignored while another one is tried out.
    Propose(C),
    /// What was observed of the configuration in force.
    Observe(Metrics),
    /// Something went wrong, in words: the candidate could not be applied or observed, or the process is leaving.
    Fail(String),
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<C> {
    /// Nothing yet.
    Nothing,
    /// Put this candidate in force.
    Apply(C),
    /// The candidate in force is the accepted configuration from now on.
    Keep,
    /// Put this accepted configuration back in force.
    Restore(C),
}

/// A candidate and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change<C> {
    /// The configuration that was tried out.
    pub candidate: C,
    /// What became of it.
    pub decision: Decision,
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is in force.
    Accepted,
    /// The configuration before it is in force again, for this reason.
    RolledBack(String),
}

impl<C: Clone> Promotion<C> {
    /// Starts settled on a configuration. Without guardrails, every candidate that can be applied and observed is kept.
    ///
    /// # Errors
    /// [`Error::EmptyWindow`] if `window`, in observations, is zero.
    pub fn new(accepted: C, guardrails: Vec<Guardrail>, window: usize) -> Result<Self> {
        if window == 0 {
            return Err(Error::EmptyWindow);
        }
        Ok(Self { guardrails, window, accepted, baseline: Vec::new(), trial: None, history: Vec::new() })
    }

    /// The configuration in force: the candidate under observation, or else the accepted one.
    pub fn active(&self) -> &C {
        self.trial.as_ref().map_or(&self.accepted, |(candidate, _)| candidate)
    }

    /// The last accepted configuration.
    pub fn accepted(&self) -> &C {
        &self.accepted
    }

    /// Whether a candidate is under observation.
    pub fn is_observing(&self) -> bool {
        self.trial.is_some()
    }

    /// The changes so far, oldest first; the last thousand.
    pub fn history(&self) -> &[Change<C>] {
        &self.history
    }

    /// Takes an input in and says what has to be done.
    pub fn step(&mut self, input: Input<C>) -> Effect<C> {
        match input {
            Input::Propose(candidate) => self.propose(candidate),
            Input::Observe(metrics) => self.observe(metrics),
            Input::Fail(reason) => self.roll_back(reason),
        }
    }

    fn propose(&mut self, candidate: C) -> Effect<C> {
        if self.is_observing() {
            return Effect::Nothing;
        }
        self.trial = Some((candidate.clone(), Means::default()));
        Effect::Apply(candidate)
    }

    fn observe(&mut self, metrics: Metrics) -> Effect<C> {
        let Some((_, means)) = &mut self.trial else {
            self.remember_baseline(metrics);
            return Effect::Nothing;
        };
        means.observe(&metrics);
        let seen = means.observations();
        match self.breach().filter(|_| seen >= EARLIEST_VERDICT.min(self.window)) {
            Some(reason) => self.roll_back(reason),
            None if seen >= self.window => self.keep(),
            None => Effect::Nothing,
        }
    }

    fn remember_baseline(&mut self, metrics: Metrics) {
        if self.baseline.len() == self.window {
            self.baseline.remove(0);
        }
        self.baseline.push(metrics);
    }

    fn breach(&self) -> Option<String> {
        let (_, candidate) = self.trial.as_ref()?;
        let mut baseline = Means::default();
        self.baseline.iter().for_each(|metrics| baseline.observe(metrics));
        self.guardrails.iter().find_map(|guardrail| guardrail.breach(&baseline, candidate))
    }

    fn keep(&mut self) -> Effect<C> {
        let Some((candidate, _)) = self.trial.take() else { return Effect::Nothing };
        self.accepted = candidate.clone();
        // What was observed of the old configuration says nothing about the new one.
        self.baseline.clear();
        self.remember(Change { candidate, decision: Decision::Accepted });
        Effect::Keep
    }

    fn roll_back(&mut self, reason: String) -> Effect<C> {
        let Some((candidate, _)) = self.trial.take() else { return Effect::Nothing };
        self.remember(Change { candidate, decision: Decision::RolledBack(reason) });
        Effect::Restore(self.accepted.clone())
    }

    fn remember(&mut self, change: Change<C>) {
        if self.history.len() == MEMORY {
            self.history.remove(0);
        }
        self.history.push(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direction::Direction;
    use proptest::prelude::*;

    fn latency(value: f64) -> Input<u32> {
        Input::Observe([("latency".to_owned(), value)].into())
    }

    fn promotion(window: usize) -> Promotion<u32> {
        let rail = Guardrail::new("latency", Direction::Minimize).tolerance(0.1);
        Promotion::new(0, vec![rail], window).unwrap()
    }

    fn proposed(window: usize) -> Promotion<u32> {
        let mut promotion = promotion(window);
        for _ in 0..window {
            assert_eq!(promotion.step(latency(100.0)), Effect::Nothing);
        }
        assert_eq!(promotion.step(Input::Propose(1)), Effect::Apply(1));
        promotion
    }

    #[test]
    fn a_candidate_within_its_guardrails_is_kept_after_its_window() {
        let mut promotion = proposed(4);

        let effects: Vec<_> = (0..4).map(|_| promotion.step(latency(105.0))).collect();

        assert_eq!(effects, [Effect::Nothing, Effect::Nothing, Effect::Nothing, Effect::Keep]);
        assert_eq!((promotion.active(), promotion.accepted()), (&1, &1));
    }

    #[test]
    fn a_candidate_beyond_a_guardrail_is_taken_back_at_the_third_observation() {
        let mut promotion = proposed(10);

        let effects: Vec<_> = (0..3).map(|_| promotion.step(latency(150.0))).collect();

        assert_eq!(effects, [Effect::Nothing, Effect::Nothing, Effect::Restore(0)]);
        let reason = "latency went from 100.0000 to 150.0000; at most 110.0000 is allowed".to_owned();
        assert_eq!(promotion.history(), [Change { candidate: 1, decision: Decision::RolledBack(reason) }]);
    }

    #[test]
    fn a_candidate_without_baseline_is_not_kept() {
        let mut promotion = promotion(1);
        promotion.step(Input::Propose(1));

        assert_eq!(promotion.step(latency(1.0)), Effect::Restore(0));
    }

    #[test]
    fn a_second_proposal_waits_for_the_first() {
        let mut promotion = proposed(4);

        assert_eq!(promotion.step(Input::Propose(2)), Effect::Nothing);
        assert_eq!(promotion.active(), &1);
    }

    fn any_input() -> impl Strategy<Value = Input<u32>> {
        prop_oneof![
            (1..100_u32).prop_map(Input::Propose),
            prop_oneof![Just(100.0), Just(105.0), Just(200.0), Just(f64::NAN)].prop_map(latency),
            Just(Input::Observe(Metrics::new())),
            Just(Input::Fail("crash".to_owned())),
        ]
    }

    proptest! {
        #[test]
        fn the_world_always_runs_the_last_accepted_configuration_or_the_candidate_under_observation(
            inputs in proptest::collection::vec(any_input(), 0..200),
            window in 1..6_usize,
        ) {
            let mut promotion = promotion(window);
            let (mut world, mut accepted) = (0, 0);
            for input in inputs {
                let failed = matches!(input, Input::Fail(_));
                match promotion.step(input) {
                    Effect::Nothing => {}
                    Effect::Apply(candidate) => world = candidate,
                    Effect::Keep => accepted = world,
                    Effect::Restore(previous) => world = previous,
                }
                prop_assert_eq!(&world, promotion.active());
                prop_assert_eq!(&accepted, promotion.accepted());
                prop_assert!(promotion.is_observing() || world == accepted);
                prop_assert!(!failed || world == accepted);
            }
        }
    }
}
