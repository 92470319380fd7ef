use std::time::{Duration, Instant};

/// Decides whether a server that failed is asked again.
///
/// Closed until `threshold` failures in a row; then nobody asks, and once in every `pause` somebody who was
/// refused is told to probe. One success closes it. A probe that is never reported back costs one pause, it
/// cannot hold the breaker open for ever.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Breaker {
    threshold: u32,
    pause: Duration,
    failures: u32,
    shut_until: Option<Instant>,
}

/// Why nobody may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shut {
    /// How long until the next probe.
    pub(super) pause: Duration,
    /// Whether the one who is refused is to probe now.
    pub(super) probe: bool,
}

/// What a report has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened,
    Closed,
}

impl Breaker {
    pub(super) fn new(threshold: u32, pause: Duration) -> Self {
        Self { threshold, pause, failures: 0, shut_until: None }
    }

    /// Admits a caller at `now`, or says what to do instead.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Shut> {
        match self.shut_until {
            None => Ok(()),
            Some(until) if now < until => Err(Shut { pause: until - now, probe: false }),
            Some(_) => {
                self.shut_until = Some(now + self.pause);
                Err(Shut { pause: self.pause, probe: true })
            }
        }
    }

    /// Notes how an admitted call or a probe went.
    pub(super) fn record(&mut self, success: bool, now: Instant) -> Option<Change> {
        let was_shut = self.is_shut();
        if success {
            *self = Self::new(self.threshold, self.pause);
            return was_shut.then_some(Change::Closed);
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < self.threshold {
            return None;
        }
        self.shut_until = Some(now + self.pause);
        (!was_shut).then_some(Change::Opened)
    }

    pub(super) fn is_shut(&self) -> bool {
        self.shut_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn open_at(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(3, PAUSE);
        for _ in 0..3 {
            breaker.record(false, now);
        }
        breaker
    }

    fn probes(breaker: &mut Breaker, now: Instant) -> bool {
        breaker.admit(now).is_err_and(|shut| shut.probe)
    }

    #[test]
    fn two_failures_and_a_success_leave_it_closed() {
        let (mut breaker, now) = (Breaker::new(3, PAUSE), Instant::now());

        for success in [false, false, true, false, false] {
            assert_eq!(breaker.record(success, now), None);
        }

        assert_eq!(breaker.admit(now), Ok(()));
    }

    #[test]
    fn three_failures_refuse_everybody_and_say_for_how_long() {
        let now = Instant::now();

        let shut = Shut { pause: PAUSE * 3 / 4, probe: false };
        assert_eq!(open_at(now).admit(now + PAUSE / 4), Err(shut));
    }

    #[test]
    fn third_failure_opens_and_the_next_ones_do_not_open_again() {
        let (mut breaker, now) = (Breaker::new(3, PAUSE), Instant::now());

        let changes: Vec<_> = (0..4).map(|_| breaker.record(false, now)).collect();

        assert_eq!(changes, [None, None, Some(Change::Opened), None]);
    }

    #[test]
    fn after_the_pause_one_who_is_refused_probes_and_success_admits_all() {
        let now = Instant::now();
        let mut breaker = open_at(now);

        assert!(probes(&mut breaker, now + PAUSE));
        assert!(!probes(&mut breaker, now + PAUSE));
        assert_eq!(breaker.record(true, now + PAUSE), Some(Change::Closed));

        assert_eq!(breaker.admit(now + PAUSE), Ok(()));
        assert_eq!(breaker.admit(now + PAUSE), Ok(()));
    }

    #[test]
    fn probe_that_never_reports_back_costs_one_pause() {
        let now = Instant::now();
        let mut breaker = open_at(now);

        assert!(probes(&mut breaker, now + PAUSE));

        assert!(probes(&mut breaker, now + PAUSE * 2));
    }

    proptest! {
        #[test]
        fn dead_server_is_asked_at_most_once_per_pause(steps in prop::collection::vec(0u64..400, 1..200)) {
            let (mut breaker, start) = (Breaker::new(3, PAUSE), Instant::now());
            let (mut now, mut asked) = (start, 0u32);

            for step in steps {
                now += Duration::from_millis(step);
                if breaker.admit(now).map_or_else(|shut| shut.probe, |()| true) {
                    asked += 1;
                    breaker.record(false, now);
                }
            }

            let pauses = u32::try_from((now - start).as_secs()).unwrap();
            prop_assert!(asked <= 3 + pauses, "asked {} times in {} pauses", asked, pauses);
        }
    }
}
