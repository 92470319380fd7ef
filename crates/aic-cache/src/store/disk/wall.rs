use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Clock,
    clock::{unix_ms, whole_ms},
};

/// How far ahead of the clock an entry may have been put without its age counting as unknown: clocks are set
/// by a second or two every day.
const AHEAD_MS: u64 = 60_000;

/// The end of an entry that has none.
const NEVER: u64 = u64::MAX;

/// The wall clock, which within one process never runs behind the monotonic one.
#[derive(Debug)]
pub(super) struct Wall {
    clock: Arc<dyn Clock>,
    opened: Instant,
    opened_ms: u64,
}

impl Wall {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { opened: clock.now(), opened_ms: unix_ms(clock.wall()), clock }
    }

    /// Milliseconds since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        let elapsed = self.clock.now().saturating_duration_since(self.opened);
        self.opened_ms.saturating_add(whole_ms(elapsed)).max(unix_ms(self.clock.wall()))
    }

    /// The life of an entry put now.
    pub(super) fn life(&self, ttl: Option<Duration>) -> Life {
        let put_ms = self.now_ms();
        let end = |ttl: Duration| put_ms.saturating_add(whole_ms(ttl).max(1));
        Life { put_ms, ends_ms: ttl.map_or(NEVER, end) }
    }
}

/// When an entry was put and when it ends, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) put_ms: u64,
    pub(super) ends_ms: u64,
}

/// What the clock says about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It lives, and for how long yet, if it has an end.
    Live(Option<Duration>),
    /// Its time is over.
    Over,
    /// It was put later than it is now: a clock was set back, and nobody can tell.
    Unknown,
}

impl Life {
    /// What the clock says at `now_ms`. A clock that was set back prolongs a life by the time to live at most:
    /// further back, the entry has not been put yet.
    pub(super) fn age(self, now_ms: u64) -> Age {
        match self.ends_ms {
            NEVER => Age::Live(None),
            end if end <= now_ms => Age::Over,
            _ if self.put_ms > now_ms.saturating_add(AHEAD_MS) => Age::Unknown,
            end => {
                Age::Live(Some(Duration::from_millis((end - now_ms).min(end.saturating_sub(self.put_ms)))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use parking_lot::Mutex;
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Monotonic and wall time, each set by hand.
    #[derive(Clone, Debug)]
    struct Clocks(Arc<Mutex<(Instant, SystemTime)>>);

    impl Clock for Clocks {
        fn now(&self) -> Instant {
            self.0.lock().0
        }

        fn wall(&self) -> SystemTime {
            self.0.lock().1
        }
    }

    fn clocks() -> (Clocks, Wall) {
        let noon = SystemTime::UNIX_EPOCH + 12 * HOUR;
        let clocks = Clocks(Arc::new(Mutex::new((Instant::now(), noon))));
        (clocks.clone(), Wall::new(Arc::new(clocks)))
    }

    #[test]
    fn clock_set_back_in_a_running_process_changes_no_age() {
        let (clocks, wall) = clocks();
        let life = wall.life(Some(HOUR));

        *clocks.0.lock() = (clocks.now() + HOUR / 2, clocks.wall() - 6 * HOUR);
        let half = life.age(wall.now_ms());
        clocks.0.lock().0 += HOUR / 2;

        assert_eq!(half, Age::Live(Some(HOUR / 2)));
        assert_eq!(life.age(wall.now_ms()), Age::Over);
    }

    #[test]
    fn time_to_live_beyond_any_calendar_means_no_end() {
        let (_, wall) = clocks();

        assert_eq!(wall.life(Some(Duration::MAX)).age(wall.now_ms()), Age::Live(None));
    }

    #[test]
    fn entry_that_has_not_been_put_yet_has_no_known_age() {
        let life = Life { put_ms: 1_000_000, ends_ms: 2_000_000 };

        assert_eq!(life.age(1_000_000 - AHEAD_MS - 1), Age::Unknown);
        assert_eq!(life.age(1_000_000 - AHEAD_MS), Age::Live(Some(Duration::from_secs(1000))));
    }

    proptest! {
        #[test]
        fn no_numbers_from_a_file_make_an_entry_live_longer_than_its_time(
            put_ms: u64, ends_ms in 0..NEVER, now_ms: u64,
        ) {
            if let Age::Live(left) = (Life { put_ms, ends_ms }).age(now_ms) {
                prop_assert!(left.unwrap() <= Duration::from_millis(ends_ms.saturating_sub(put_ms)));
                prop_assert!(now_ms < ends_ms);
            }
        }
    }
}
