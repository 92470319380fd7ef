//! The life of one alert, as a pure function.
//!
//! | from | input | to |
//! |---|---|---|
//! | inactive, resolved | breach | pending, or firing at once where `for` is zero |
//! | pending | breach, `for` is over | firing |
//! | pending | clear | inactive |
//! | firing | clear for all of `keep_firing_for` | resolved |
//! | pending, firing | absent | as it was |
//! | pending | absent for all of `absent_for` | inactive |
//! | firing | absent for all of `absent_for` | resolved, for lack of data |
//!
//! `for` and `keep_firing_for` are those of Prometheus (`rules/alerting.go`). Unlike there, missing data
//! neither resolves a firing alert nor resets a pending one: a sensor that is lost tells nothing good. While data is
//! missing nothing fires either, and `keep_firing_for` starts anew after it.
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// All is well.
    Inactive,
    /// The rule is broken, but not for long enough yet.
    Pending,
    /// The rule is broken, and somebody was told.
    Firing,
    /// It was firing and is over.
    Resolved,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        })
    }
}

/// The durations of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long the rule must be broken before the alert fires.
    pub pending_for: Duration,
    /// How long the rule must hold again before the alert resolves.
    pub keep_firing_for: Duration,
    /// How long data may be missing before the alert is given up.
    pub absent_for: Duration,
}

/// What one evaluation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The value breaks the rule.
    Breach,
    /// The value is fine.
    Clear,
    /// There is no value.
    Absent,
}

/// All that is remembered of one alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// Firing only: since when the value has been fine without a gap.
    clear_since: Option<Instant>,
    /// Since when the value has been missing.
    absent_since: Option<Instant>,
}

/// What a step led to, besides the new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The phase before.
    pub from: Phase,
    /// The phase after, which is another.
    pub to: Phase,
    /// Whether it changed because data was missing for too long.
    pub for_lack_of_data: bool,
}

impl State {
    /// An alert that is inactive since `now`.
    pub fn inactive(now: Instant) -> Self {
        Self::new(Phase::Inactive, now)
    }

    /// The phase it is in.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When that phase began.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Whether the last input was absent.
    pub fn is_absent(&self) -> bool {
        self.absent_since.is_some()
    }

    fn new(phase: Phase, since: Instant) -> Self {
        Self { phase, since, clear_since: None, absent_since: None }
    }

    /// The state after `input` at `now`, and the effect if the phase changed.
    ///
    /// A `now` before an earlier one counts as no time having passed.
    pub fn step(self, timing: &Timing, input: Input, now: Instant) -> (Self, Option<Effect>) {
        let next = match (self.phase, input) {
            (Phase::Inactive | Phase::Resolved, Input::Breach) => {
                Self::new(Phase::Pending, now).ripen(timing, now)
            }
            (Phase::Inactive | Phase::Resolved, _) => self,
            (Phase::Pending, Input::Breach) => Self { absent_since: None, ..self }.ripen(timing, now),
            (Phase::Pending, Input::Clear) => Self::inactive(now),
            (Phase::Firing, Input::Breach) => Self { clear_since: None, absent_since: None, ..self },
            (Phase::Firing, Input::Clear) => self.clear(timing, now),
            (Phase::Pending, Input::Absent) => self.miss(timing, Phase::Inactive, now),
            (Phase::Firing, Input::Absent) => self.miss(timing, Phase::Resolved, now),
        };
        let for_lack_of_data = input == Input::Absent;
        let effect = Effect { from: self.phase, to: next.phase, for_lack_of_data };
        (next, (effect.from != effect.to).then_some(effect))
    }

    fn ripen(self, timing: &Timing, now: Instant) -> Self {
        let ripe = elapsed(self.since, now) >= timing.pending_for;
        if ripe { Self::new(Phase::Firing, now) } else { self }
    }

    fn clear(self, timing: &Timing, now: Instant) -> Self {
        let since = self.clear_since.unwrap_or(now);
        if elapsed(since, now) >= timing.keep_firing_for {
            return Self::new(Phase::Resolved, now);
        }
        Self { clear_since: Some(since), absent_since: None, ..self }
    }

    fn miss(self, timing: &Timing, given_up: Phase, now: Instant) -> Self {
        let since = self.absent_since.unwrap_or(now);
        if elapsed(since, now) >= timing.absent_for {
            return Self::new(given_up, now);
        }
        Self { absent_since: Some(since), clear_since: None, ..self }
    }
}

fn elapsed(since: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(since)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timing(pending_for: u64, keep_firing_for: u64, absent_for: u64) -> Timing {
        let [pending_for, keep_firing_for, absent_for] =
            [pending_for, keep_firing_for, absent_for].map(Duration::from_secs);
        Timing { pending_for, keep_firing_for, absent_for }
    }

    /// The phases after each input, one second apart.
    fn phases(timing: &Timing, inputs: &str) -> String {
        let start = Instant::now();
        let mut state = State::inactive(start);
        let after = inputs.chars().zip(0..).map(|(input, second)| {
            state = state.step(timing, input_of(input), start + Duration::from_secs(second)).0;
            state.phase().to_string().remove(0)
        });
        after.collect()
    }

    fn input_of(letter: char) -> Input {
        match letter {
            '!' => Input::Breach,
            '.' => Input::Clear,
            _ => Input::Absent,
        }
    }

    #[test]
    fn life_of_an_alert() {
        assert_eq!(phases(&timing(2, 2, 9), ".!!!.....!"), "ippfffrrrp");
    }

    #[test]
    fn zero_durations_fire_and_resolve_at_once() {
        assert_eq!(phases(&timing(0, 0, 9), ".!!.!"), "iffrf");
    }

    #[test]
    fn pending_alert_that_clears_is_inactive_and_begins_anew() {
        assert_eq!(phases(&timing(2, 0, 9), "!!.!!!"), "ppippf");
    }

    #[test]
    fn a_breach_while_it_is_kept_firing_starts_the_keeping_anew() {
        assert_eq!(phases(&timing(0, 2, 9), "!..!..."), "ffffffr");
    }

    #[test]
    fn missing_data_keeps_firing_until_it_is_given_up() {
        assert_eq!(phases(&timing(0, 0, 3), "!????"), "ffffr");
        assert_eq!(phases(&timing(0, 2, 9), "!.?.?..."), "fffffffr");
    }

    #[test]
    fn missing_data_keeps_pending_and_does_not_fire() {
        assert_eq!(phases(&timing(2, 0, 9), "!????!"), "pppppf");
        assert_eq!(phases(&timing(9, 0, 2), "!???"), "pppi");
    }

    fn inputs() -> impl Strategy<Value = Vec<(u64, Input)>> {
        let input = prop_oneof![Just(Input::Breach), Just(Input::Clear), Just(Input::Absent)];
        prop::collection::vec((0u64..4_000, input), 1..120)
    }

    /// Each step with its time since the start, and state before and after.
    fn run(timing: &Timing, inputs: &[(u64, Input)]) -> Vec<(Duration, Input, Option<Effect>)> {
        let start = Instant::now();
        let (mut state, mut at) = (State::inactive(start), Duration::ZERO);
        let mut steps = Vec::new();
        for &(ms, input) in inputs {
            at += Duration::from_millis(ms);
            let (next, effect) = state.step(timing, input, start + at);
            state = next;
            steps.push((at, input, effect));
        }
        steps
    }

    proptest! {
        #[test]
        fn never_fires_before_its_time_nor_without_a_breach(
            inputs in inputs(), wait in 0u64..8, keep in 0u64..8, absent in 1u64..8,
        ) {
            let timing = timing(wait, keep, absent);
            let mut broken_since = None;
            for (at, input, effect) in run(&timing, &inputs) {
                match input {
                    Input::Breach => { broken_since.get_or_insert(at); }
                    Input::Clear => broken_since = None,
                    Input::Absent => {}
                }
                if effect.is_some_and(|effect| effect.to == Phase::Firing) {
                    prop_assert_eq!(input, Input::Breach);
                    prop_assert!(at - broken_since.unwrap() >= timing.pending_for);
                }
            }
        }

        #[test]
        fn each_firing_resolves_at_most_once_and_nothing_else_resolves(
            inputs in inputs(), wait in 0u64..8, keep in 0u64..8, absent in 1u64..8,
        ) {
            let mut firing = false;
            for (_, input, effect) in run(&timing(wait, keep, absent), &inputs) {
                match effect.map(|effect| effect.to) {
                    Some(Phase::Firing) => { prop_assert!(!firing); firing = true; }
                    Some(Phase::Resolved) => {
                        prop_assert!(firing);
                        prop_assert!(input != Input::Breach);
                        firing = false;
                    }
                    Some(Phase::Inactive | Phase::Pending) => prop_assert!(!firing),
                    None => {}
                }
            }
        }

        #[test]
        fn resolves_only_when_clear_or_absent_for_long_enough(
            inputs in inputs(), keep in 0u64..8, absent in 1u64..8,
        ) {
            let timing = timing(0, keep, absent);
            let mut same: Option<(Input, Duration)> = None;
            for (at, input, effect) in run(&timing, &inputs) {
                if same.is_none_or(|(before, _)| before != input) {
                    same = Some((input, at));
                }
                if let Some(effect) = effect.filter(|effect| effect.to == Phase::Resolved) {
                    let lasted = at - same.unwrap().1;
                    let needed = if effect.for_lack_of_data { timing.absent_for } else { timing.keep_firing_for };
                    prop_assert!(lasted >= needed);
                }
            }
        }
    }
}
