//! A circuit breaker as a pure state machine.
//!
//! Closed until `threshold` failures in a row; then open for a pause that doubles each time the probe fails;
//! then half-open, with one call let through as a probe. After linkerd2-proxy's consecutive-failures breaker
//! (`linkerd/app/outbound/src/http/breaker`), with one difference: a probe that ends without a verdict gives
//! its place back at once, so a cancelled caller cannot wedge the breaker half-open.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

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
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { threshold: 5, cooldown: Duration::from_secs(10), cooldown_max: Duration::from_secs(120) }
    }
}

/// How a call that was let through ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Well,
    Failed,
    /// It was dropped, or its end says nothing about the provider.
    Unknown,
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
    epoch: u64,
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self { config, state: State::Closed { failures: 0 }, epoch: 0 }
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
            (State::Closed { failures }, Verdict::Failed) => self.count(failures + 1, now),
            (State::Closed { .. }, Verdict::Well) => self.state = State::Closed { failures: 0 },
            (State::HalfOpen { .. }, Verdict::Well) => self.enter(State::Closed { failures: 0 }),
            (State::HalfOpen { trips }, Verdict::Failed) => self.open(trips.saturating_add(1), now),
            (State::HalfOpen { trips }, Verdict::Unknown) => self.enter(State::Open { until: now, trips }),
            (State::Closed { .. }, Verdict::Unknown) | (State::Open { .. }, _) => {}
        }
    }

    fn count(&mut self, failures: u32, now: Instant) {
        if failures >= self.config.threshold {
            self.open(0, now);
        } else {
            self.state = State::Closed { failures };
        }
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
        Breaker::new(BreakerConfig { threshold, cooldown: 10 * SECOND, cooldown_max: 30 * SECOND })
    }

    fn fail(breaker: &mut Breaker, now: Instant) {
        let ticket = breaker.admit(now).unwrap();
        breaker.record(&ticket, Verdict::Failed, now);
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

    /// One step of a made-up history: wait, let a call in, or end one of those on their way.
    fn steps() -> impl Strategy<Value = Vec<(u8, u64, usize)>> {
        proptest::collection::vec((0u8..5, 0u64..15, 0usize..8), 0..200)
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
                        let verdict = [Verdict::Well, Verdict::Failed, Verdict::Unknown][action as usize - 2];
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
    }
}
