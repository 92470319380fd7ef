use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Where the time comes from, so that a test can run a week in a second.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The monotonic time, by which alerts become firing and resolved.
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
