use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::Clock;

/// Our own bound on requests per minute to one provider.
///
/// A whole minute's worth may go at once; after that they come back evenly.
pub(crate) struct Limit {
    per_minute: NonZeroU32,
    limiter: RateLimiter<NotKeyed, InMemoryState, RouterClock, NoOpMiddleware<Instant>>,
}

impl Limit {
    pub(crate) fn new(per_minute: NonZeroU32, clock: Arc<dyn Clock>) -> Self {
        let limiter = RateLimiter::direct_with_clock(Quota::per_minute(per_minute), RouterClock(clock));
        Self { per_minute, limiter }
    }

    pub(crate) fn per_minute(&self) -> u32 {
        self.per_minute.get()
    }

    /// Counts one request, or says how long until the next may go.
    pub(crate) fn take(&self, now: Instant) -> Result<(), Duration> {
        self.limiter.check().map_err(|denied| denied.wait_time_from(now))
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("per_minute", &self.per_minute).finish_non_exhaustive()
    }
}

/// The router's clock, as governor wants it.
#[derive(Clone)]
struct RouterClock(Arc<dyn Clock>);

impl GovernorClock for RouterClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    #[tokio::test(start_paused = true)]
    async fn a_minutes_worth_goes_at_once_and_then_evenly() {
        let clock = SystemClock;
        let limit = Limit::new(NonZeroU32::new(2).unwrap(), Arc::new(clock));
        assert!(limit.take(clock.now()).is_ok() && limit.take(clock.now()).is_ok());

        let wait = limit.take(clock.now()).unwrap_err();
        tokio::time::advance(wait).await;

        assert_eq!(wait, Duration::from_secs(30));
        assert!(limit.take(clock.now()).is_ok());
    }
}
