use std::time::{Duration, Instant};

/// Decides whether a server that failed is asked again.
///
/// Closed until `threshold` failures in a row; then nobody asks for `pause`, after which one caller may try
/// and the others wait for another `pause`. One success closes it. A probe that is never reported back
/// costs one pause, it cannot hold the breaker open for ever.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Breaker {
    threshold: u32,
    pause: Duration,
    failures: u32,
    shut_until: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(threshold: u32, pause: Duration) -> Self {
        Self { threshold, pause, failures: 0, shut_until: None }
    }

    /// Admits one caller at `now`, or says how long until the next one will be.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(until) = self.shut_until else { return Ok(()) };
        if now < until {
            return Err(until - now);
        }
        self.shut_until = Some(now + self.pause);
        Ok(())
    }

    /// Notes how an admitted call went.
    pub(super) fn record(&mut self, success: bool, now: Instant) {
        if success {
            *self = Self::new(self.threshold, self.pause);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.threshold {
            self.shut_until = Some(now + self.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn open_at(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(3, PAUSE);
        (0..3).for_each(|_| breaker.record(false, now));
        breaker
    }

    #[test]
    fn two_failures_and_a_success_leave_it_closed() {
        let (mut breaker, now) = (Breaker::new(3, PAUSE), Instant::now());

        for success in [false, false, true, false, false] {
            breaker.record(success, now);
        }

        assert_eq!(breaker.admit(now), Ok(()));
    }

    #[test]
    fn three_failures_refuse_everybody_and_say_for_how_long() {
        let now = Instant::now();

        assert_eq!(open_at(now).admit(now + PAUSE / 4), Err(PAUSE * 3 / 4));
    }

    #[test]
    fn after_the_pause_one_caller_probes_and_its_success_admits_all() {
        let now = Instant::now();
        let mut breaker = open_at(now);

        assert_eq!(breaker.admit(now + PAUSE), Ok(()));
        assert_eq!(breaker.admit(now + PAUSE), Err(PAUSE));
        breaker.record(true, now + PAUSE);

        assert_eq!(breaker.admit(now + PAUSE), Ok(()));
        assert_eq!(breaker.admit(now + PAUSE), Ok(()));
    }

    #[test]
    fn probe_that_never_reports_back_costs_one_pause() {
        let now = Instant::now();
        let mut breaker = open_at(now);

        assert_eq!(breaker.admit(now + PAUSE), Ok(()));

        assert_eq!(breaker.admit(now + PAUSE * 2), Ok(()));
    }

    proptest! {
        #[test]
        fn dead_server_is_asked_at_most_once_per_pause(steps in prop::collection::vec(0u64..400, 1..200)) {
            let (mut breaker, start) = (Breaker::new(3, PAUSE), Instant::now());
            let (mut now, mut asked) = (start, 0u32);

            for step in steps {
                now += Duration::from_millis(step);
                if breaker.admit(now).is_ok() {
                    asked += 1;
                    breaker.record(false, now);
                }
            }

            let pauses = u32::try_from((now - start).as_secs()).unwrap();
            prop_assert!(asked <= 3 + pauses, "asked {} times in {} pauses", asked, pauses);
        }
    }
}
