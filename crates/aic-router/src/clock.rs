use std::fmt;
use std::time::{Instant, SystemTime};

/// Where the router reads the time.
///
/// Waiting itself is done by tokio's timer; a test pauses that one and keeps [`SystemClock`], which follows it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The monotonic time, by which everything is decided.
    fn now(&self) -> Instant;
    /// The wall-clock time, for reading dates in `Retry-After`.
    fn wall(&self) -> SystemTime;
}

/// The machine's own clocks; inside a paused tokio runtime, that runtime's time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
