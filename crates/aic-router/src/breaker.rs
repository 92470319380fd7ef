//! A circuit breaker as a pure state machine.
//!
//! Closed until `threshold` failures in a row, or until too few of a window's calls went well; then open for a
//! pause that doubles each time the probe fails; then half-open, with one call let through as a probe. After
//! linkerd2-proxy's unified breaker (`linkerd/app/outbound/src/http/breaker`), with two differences: a probe
//! that ends without a verdict gives its place back at once, so a cancelled caller cannot wedge the breaker
//! half-open; and being told to slow down counts in the rate only, for a provider that says so is well.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ErrorKind;
use crate::success_rate::SuccessRate;

/// The longest pause taken over from a provider; a longer one is likely a mistake.
const LONGEST_HOLD_OFF: Duration = Duration::from_secs(600);

/// The longest pause of all, within what the clock can count.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(24 * 3600);

/// Whether calls go through a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No call goes through until a pause is over.
    Open,
    /// One call is on its way to see whether the provider is well again.
    HalfOpen,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BreakerConfig {
    /// Failures in a row that open the breaker; at least 1.
    pub(crate) threshold: u32,
    /// The first pause.
    pub(crate) cooldown: Duration,
    /// The longest pause.
    pub(crate) cooldown_max: Duration,
    /// The share of calls that has to go well, 0 to 1; at 0 only failures in a row count.
    pub(crate) success_rate: f64,
    /// How far back the share looks.
    pub(crate) window: Duration,
    /// The number of calls in the window below which the share says nothing.
    pub(crate) calls_min: u32,
}

impl BreakerConfig {
    /// Sets the first pause, and the longest to twelve times that and a day at most.
    pub(crate) fn cooldown(mut self, cooldown: Duration) -> Self {
        self.cooldown = cooldown.min(LONGEST_COOLDOWN);
        self.cooldown_max = cooldown.saturating_mul(12).min(LONGEST_COOLDOWN);
        self
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            threshold: 5,
            cooldown: Duration::from_secs(10),
            cooldown_max: Duration::from_secs(120),
            success_rate: 0.5,
            window: Duration::from_secs(30),
            calls_min: 20,
        }
    }
}

/// How a call that was let through ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Well,
    Failed,
    /// The provider asked for fewer calls: no failure in a row, but a call that did not go well.
    Throttled,
    /// It was dropped, or its end says nothing about the provider.
    Unknown,
}

impl From<&ErrorKind> for Verdict {
    fn from(kind: &ErrorKind) -> Self {
        match (kind, kind.verdict()) {
            (ErrorKind::RateLimited { .. }, _) => Self::Throttled,
            (_, Some(true)) => Self::Well,
            (_, Some(false)) => Self::Failed,
            (_, None) => Self::Unknown,
        }
    }
}

/// The right to make one call. Verdicts of calls let through before the last change of state do not count.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, trips: u32 },
    HalfOpen { trips: u32 },
}

#[derive(Debug)]
pub(crate) struct Breaker {
    config: BreakerConfig,
    state: State,
    /// How calls went since it was last closed.
    rate: SuccessRate,
    epoch: u64,
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self { config, state: State::Closed { failures: 0 }, rate: SuccessRate::new(config.window), epoch: 0 }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How long until a call may go through; zero where one may now, `None` while a probe is on its way.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Closed { .. } => Some(Duration::ZERO),
            State::Open { until, .. } => Some(until.saturating_duration_since(now)),
            State::HalfOpen { .. } => None,
        }
    }

    /// Lets a call through, or not.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Ticket> {
        match self.state {
            State::Closed { .. } => Some(Ticket(self.epoch)),
            State::Open { until, trips } if until <= now => {
                self.enter(State::HalfOpen { trips });
                Some(Ticket(self.epoch))
            }
            State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// Takes a call's end into account.
    pub(crate) fn record(&mut self, ticket: &Ticket, verdict: Verdict, now: Instant) {
        if ticket.0 != self.epoch {
            return;
        }
        match (self.state, verdict) {
            (State::Closed { failures }, verdict) => self.count(failures, verdict, now),
            (State::HalfOpen { .. }, Verdict::Well) => self.close(),
            (State::HalfOpen { trips }, Verdict::Failed) => self.open(trips.saturating_add(1), now),
            (State::HalfOpen { trips }, Verdict::Throttled) => self.open(trips, now),
            (State::HalfOpen { trips }, Verdict::Unknown) => self.enter(State::Open { until: now, trips }),
            (State::Open { .. }, _) => {}
        }
    }

    /// Keeps an open breaker open for at least `pause`, as the provider asked for; at most 10 min.
    pub(crate) fn hold_off(&mut self, pause: Duration, now: Instant) {
        if let State::Open { until, .. } = &mut self.state {
            *until = (*until).max(now + pause.min(LONGEST_HOLD_OFF));
        }
    }

    /// Takes the end of a call through the closed breaker into account.
    fn count(&mut self, failures: u32, verdict: Verdict, now: Instant) {
        let failures = match verdict {
            Verdict::Well => 0,
            Verdict::Failed => failures.saturating_add(1),
            Verdict::Throttled => failures,
            Verdict::Unknown => return,
        };
        self.rate.record(verdict == Verdict::Well, now);
        // A call that went well never opens it, however many before it did not.
        if verdict != Verdict::Well && (failures >= self.config.threshold || self.is_failing(now)) {
            self.open(0, now);
        } else {
            self.state = State::Closed { failures };
        }
    }

    fn is_failing(&mut self, now: Instant) -> bool {
        self.rate.rate(self.config.calls_min, now).is_some_and(|rate| rate < self.config.success_rate)
    }

    fn close(&mut self) {
        self.rate = SuccessRate::new(self.config.window);
        self.enter(State::Closed { failures: 0 });
    }

    fn open(&mut self, trips: u32, now: Instant) {
        let pause = self.config.cooldown.saturating_mul(1u32.checked_shl(trips).unwrap_or(u32::MAX));
        self.enter(State::Open { until: now + pause.min(self.config.cooldown_max), trips });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker(threshold: u32) -> Breaker {
        Breaker::new(BreakerConfig {
            threshold,
            cooldown: 10 * SECOND,
            cooldown_max: 30 * SECOND,
            window: 10 * SECOND,
            calls_min: 6,
            ..BreakerConfig::default()
        })
    }

    fn fail(breaker: &mut Breaker, now: Instant) {
        call(breaker, Verdict::Failed, now);
    }

    fn call(breaker: &mut Breaker, verdict: Verdict, now: Instant) {
        let ticket = breaker.admit(now).unwrap();
        breaker.record(&ticket, verdict, now);
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let (mut breaker, now) = (breaker(2), Instant::now());

        fail(&mut breaker, now);
        let ticket = breaker.admit(now).unwrap();
        breaker.record(&ticket, Verdict::Well, now);
        fail(&mut breaker, now);
        assert_eq!(breaker.state(), BreakerState::Closed);

        fail(&mut breaker, now);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.admit(now).is_none());
    }

    #[test]
    fn after_the_pause_one_probe_goes_through_and_its_success_closes() {
        let (mut breaker, now) = (breaker(1), Instant::now());
        fail(&mut breaker, now);

        let later = now + 10 * SECOND;
        let probe = breaker.admit(later).unwrap();

        assert!(breaker.admit(later).is_none());
        breaker.record(&probe, Verdict::Well, later);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_the_longest() {
        let (mut breaker, mut now) = (breaker(1), Instant::now());
        fail(&mut breaker, now);
        let mut pauses = vec![];

        for _ in 0..4 {
            let pause = breaker.wait(now).unwrap();
            pauses.push(pause / SECOND.as_secs() as u32);
            now += pause;
            fail(&mut breaker, now);
        }

        assert_eq!(pauses, [10, 20, 30, 30].map(Duration::from_secs));
    }

    #[test]
    fn dropped_probe_gives_its_place_to_the_next_caller() {
        let (mut breaker, now) = (breaker(1), Instant::now());
        fail(&mut breaker, now);
        let later = now + 10 * SECOND;
        let probe = breaker.admit(later).unwrap();

        breaker.record(&probe, Verdict::Unknown, later);

        assert!(breaker.admit(later).is_some());
    }

    #[test]
    fn call_from_before_the_opening_does_not_close_it() {
        let (mut breaker, now) = (breaker(1), Instant::now());
        let slow = breaker.admit(now).unwrap();
        fail(&mut breaker, now);

        breaker.record(&slow, Verdict::Well, now);

        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn too_few_calls_gone_well_open_it_though_no_two_failed_in_a_row() {
        let (mut breaker, now) = (breaker(2), Instant::now());

        for verdict in [Verdict::Failed, Verdict::Throttled, Verdict::Well, Verdict::Failed, Verdict::Well] {
            call(&mut breaker, verdict, now);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);

        call(&mut breaker, Verdict::Throttled, now);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn calls_that_left_the_window_no_longer_count() {
        let (mut breaker, now) = (breaker(9), Instant::now());
        for _ in 0..5 {
            call(&mut breaker, Verdict::Throttled, now);
        }

        call(&mut breaker, Verdict::Throttled, now + 10 * SECOND);

        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn being_told_to_slow_down_neither_counts_nor_ends_failures_in_a_row() {
        let (mut breaker, now) = (breaker(2), Instant::now());

        for _ in 0..3 {
            call(&mut breaker, Verdict::Throttled, now);
        }
        fail(&mut breaker, now);
        assert_eq!(breaker.state(), BreakerState::Closed);

        call(&mut breaker, Verdict::Throttled, now + 10 * SECOND);
        fail(&mut breaker, now + 10 * SECOND);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn closing_begins_a_new_window() {
        let (mut breaker, now) = (breaker(9), Instant::now());
        for _ in 0..6 {
            call(&mut breaker, Verdict::Throttled, now);
        }
        let later = now + 10 * SECOND;
        call(&mut breaker, Verdict::Well, later);

        call(&mut breaker, Verdict::Failed, later);

        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn provider_may_lengthen_the_pause_but_not_for_ever() {
        let (mut breaker, now) = (breaker(1), Instant::now());
        breaker.hold_off(20 * SECOND, now);
        assert_eq!(breaker.wait(now), Some(Duration::ZERO));
        fail(&mut breaker, now);

        let waits = [5u32, 20, 1_000_000].map(|seconds| {
            breaker.hold_off(seconds * SECOND, now);
            breaker.wait(now).unwrap()
        });

        assert_eq!(waits, [10 * SECOND, 20 * SECOND, 600 * SECOND]);
    }

    /// One step of a made-up history: wait, let a call in, or end one of those on their way.
    fn steps() -> impl Strategy<Value = Vec<(u8, u64, usize)>> {
        proptest::collection::vec((0u8..6, 0u64..15, 0usize..8), 0..200)
    }

    proptest! {
        #[test]
        fn at_most_one_call_is_out_while_not_closed_and_it_always_recovers(steps in steps()) {
            let (mut breaker, mut now) = (breaker(3), Instant::now());
            let mut out: Vec<Ticket> = vec![];
            for (action, seconds, which) in steps {
                match action {
                    0 => now += Duration::from_secs(seconds),
                    1 => out.extend(breaker.admit(now)),
                    _ if out.is_empty() => {}
                    action => {
                        let ticket = out.remove(which % out.len());
                        let verdicts = [Verdict::Well, Verdict::Failed, Verdict::Throttled, Verdict::Unknown];
                        let verdict = verdicts[action as usize - 2];
                        breaker.record(&ticket, verdict, now);
                    }
                }
                let current = out.iter().filter(|ticket| ticket.0 == breaker.epoch).count();
                match breaker.state() {
                    BreakerState::Closed => {}
                    BreakerState::Open => prop_assert_eq!(current, 0),
                    BreakerState::HalfOpen => prop_assert_eq!(current, 1),
                }
            }
            for ticket in out {
                breaker.record(&ticket, Verdict::Unknown, now);
            }
            prop_assert!(breaker.admit(now + Duration::from_secs(31)).is_some());
        }

        /// Beside the breaker, a list of how its calls went since it was closed.
        #[test]
        fn closed_breaker_opens_exactly_when_it_is_said_to(
            verdicts in proptest::collection::vec((0usize..4, 0u64..800), 1..80),
        ) {
            let (mut breaker, start) = (breaker(4), Instant::now());
            let (mut at, mut all, mut in_a_row): (u64, Vec<(u64, bool)>, u32) = (0, vec![], 0);
            for (verdict, pause_ms) in verdicts {
                let verdict = [Verdict::Well, Verdict::Failed, Verdict::Throttled, Verdict::Unknown][verdict];
                at = if all.is_empty() { 0 } else { at + pause_ms };
                call(&mut breaker, verdict, start + Duration::from_millis(at));
                if verdict == Verdict::Unknown {
                    continue;
                }
                all.push((at / 1_000, verdict == Verdict::Well));
                in_a_row = match verdict {
                    Verdict::Well => 0,
                    Verdict::Failed => in_a_row + 1,
                    _ => in_a_row,
                };
                let recent: Vec<_> = all.iter().filter(|(second, _)| second + 10 > at / 1_000).collect();
                let well = recent.iter().filter(|(_, well)| *well).count();
                let failing = recent.len() >= 6 && 2 * well < recent.len();
                let opens = verdict != Verdict::Well && (in_a_row >= 4 || failing);
                prop_assert_eq!(breaker.state() == BreakerState::Open, opens);
                if opens {
                    break;
                }
            }
        }
    }
}
