use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::Clock;
use crate::breaker::{Breaker, BreakerConfig, Ticket, Verdict};

/// A breaker shared by calls that are on their way at the same time. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    breaker: Arc<Mutex<Breaker>>,
    clock: Arc<dyn Clock>,
}

impl Gate {
    pub(crate) fn new(config: BreakerConfig, clock: Arc<dyn Clock>) -> Self {
        Self { breaker: Arc::new(Mutex::new(Breaker::new(config))), clock }
    }

    /// Lets a call through, or says how long until one may go, where that is known.
    pub(crate) fn pass(&self) -> Result<Permit, Option<Duration>> {
        let (mut breaker, now) = (self.breaker.lock(), self.clock.now());
        match breaker.admit(now) {
            Some(ticket) => Ok(Permit { gate: self.clone(), ticket: Some(ticket) }),
            None => Err(breaker.wait(now)),
        }
    }
}

/// The right to make one call. Dropped, it gives its place back: how the call ended is not known.
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit {
    gate: Gate,
    ticket: Option<Ticket>,
}

impl Permit {
    /// Says how the call ended, and how long the provider asked to be left alone, where it did.
    pub(crate) fn record(mut self, verdict: Verdict, retry_after: Option<Duration>) {
        self.end(verdict, retry_after);
    }

    fn end(&mut self, verdict: Verdict, retry_after: Option<Duration>) {
        let Some(ticket) = self.ticket.take() else { return };
        let (mut breaker, now) = (self.gate.breaker.lock(), self.gate.clock.now());
        breaker.record(&ticket, verdict, now);
        if let Some(pause) = retry_after {
            breaker.hold_off(pause, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end(Verdict::Unknown, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    const SECOND: Duration = Duration::from_secs(1);

    fn gate() -> Gate {
        let config =
            BreakerConfig { threshold: 1, cooldown: SECOND, cooldown_max: SECOND, ..Default::default() };
        Gate::new(config, Arc::new(SystemClock))
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_probe_leaves_room_for_the_next() {
        let gate = gate();
        gate.pass().unwrap().record(Verdict::Failed, None);
        assert_eq!(gate.pass().unwrap_err(), Some(SECOND));
        tokio::time::advance(SECOND).await;

        let probe = gate.pass().unwrap();
        assert_eq!(gate.pass().unwrap_err(), None);
        drop(probe);

        gate.pass().unwrap().record(Verdict::Well, None);
        assert!(gate.pass().is_ok() && gate.pass().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn pause_asked_for_by_the_failing_call_lengthens_the_shutting() {
        let gate = gate();

        gate.pass().unwrap().record(Verdict::Failed, Some(30 * SECOND));

        assert_eq!(gate.pass().unwrap_err(), Some(30 * SECOND));
    }
}
