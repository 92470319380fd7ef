use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Where the time comes from: monotonic for waiting, wall for what is written down.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The monotonic time, for deadlines and pauses.
    fn now(&self) -> Instant;
    /// The wall time, for ages that must survive a restart and be read by other processes.
    fn wall(&self) -> SystemTime;
}

/// The clock of the operating system.
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

/// Milliseconds since 1970, the form in which entries record wall time. Earlier times count as 0.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    whole_ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// `duration` in whole milliseconds, at most `u64::MAX`.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
