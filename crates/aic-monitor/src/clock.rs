use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from, so that a test can run a week in a second.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The monotonic time, by which rates and retention are decided.
    fn now(&self) -> Instant;
    /// The wall time, which is only recorded.
    fn wall(&self) -> SystemTime;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn wall(&self) -> SystemTime {
        (**self).wall()
    }
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// One point in time, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// On the monotonic clock.
    pub instant: Instant,
    /// On the wall clock.
    pub wall: SystemTime,
}

impl Moment {
    /// The present, as `clock` tells it.
    pub fn of(clock: &dyn Clock) -> Self {
        Self { instant: clock.now(), wall: clock.wall() }
    }

    /// Milliseconds of wall time since 1970 (UTC); 0 before that.
    pub fn unix_ms(&self) -> u64 {
        let since = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
pub(crate) mod manual {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    /// A clock that stands still until it is told otherwise.
    #[derive(Debug)]
    pub(crate) struct ManualClock {
        start: Moment,
        elapsed: Mutex<Duration>,
    }

    impl ManualClock {
        pub(crate) fn new() -> Arc<Self> {
            let start =
                Moment { instant: Instant::now(), wall: UNIX_EPOCH + Duration::from_secs(1_700_000_000) };
            Arc::new(Self { start, elapsed: Mutex::default() })
        }

        pub(crate) fn advance(&self, by: Duration) {
            *self.elapsed.lock().unwrap() += by;
        }

        fn elapsed(&self) -> Duration {
            *self.elapsed.lock().unwrap()
        }
    }

    impl Clock for ManualClock {
        fn now(&self) -> Instant {
            self.start.instant + self.elapsed()
        }

        fn wall(&self) -> SystemTime {
            self.start.wall + self.elapsed()
        }
    }
}
