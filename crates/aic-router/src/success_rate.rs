use std::time::{Duration, Instant};

/// The parts a window is cut into. It moves on by a part at a time, so it covers nine to ten tenths of its length.
const SLOTS: usize = 10;

/// How many calls of the last while went well: a rolling window in constant memory.
#[derive(Clone, Debug)]
pub(crate) struct SuccessRate {
    slot: Duration,
    /// When the window's first slot began; set by the first call.
    origin: Option<Instant>,
    /// The number, from the origin, of the slot in use.
    current: u64,
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    well: u32,
    failed: u32,
}

impl SuccessRate {
    /// A window of this length; one of no length remembers the last moment only.
    pub(crate) fn new(window: Duration) -> Self {
        let slot = (window / SLOTS as u32).max(Duration::from_nanos(1));
        Self { slot, origin: None, current: 0, slots: [Slot::default(); SLOTS] }
    }

    pub(crate) fn record(&mut self, well: bool, now: Instant) {
        self.move_to(now);
        let slot = &mut self.slots[self.current as usize % SLOTS];
        let count = if well { &mut slot.well } else { &mut slot.failed };
        *count = count.saturating_add(1);
    }

    /// The share of calls that went well, once there were at least `calls_min`.
    pub(crate) fn rate(&mut self, calls_min: u32, now: Instant) -> Option<f64> {
        self.move_to(now);
        let sum = |count: fn(&Slot) -> u32| self.slots.iter().map(|slot| u64::from(count(slot))).sum::<u64>();
        let (well, failed) = (sum(|slot| slot.well), sum(|slot| slot.failed));
        let calls = well + failed;
        (calls > 0 && calls >= u64::from(calls_min)).then(|| well as f64 / calls as f64)
    }

    /// Makes the slot of `now` the current one and empties those passed over. Time does not run backwards here.
    fn move_to(&mut self, now: Instant) {
        let origin = *self.origin.get_or_insert(now);
        let slot = now.saturating_duration_since(origin).as_nanos() / self.slot.as_nanos();
        let slot = u64::try_from(slot).unwrap_or(u64::MAX).max(self.current);
        let passed = (slot - self.current).min(SLOTS as u64);
        for back in 0..passed {
            self.slots[(slot - back) as usize % SLOTS] = Slot::default();
        }
        self.current = slot;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rate_is_unknown_below_the_least_number_of_calls_and_forgets_old_ones() {
        let (mut rate, now) = (SuccessRate::new(10 * SECOND), Instant::now());
        rate.record(false, now);
        rate.record(true, now + SECOND);

        assert_eq!(rate.rate(3, now + SECOND), None);
        assert_eq!(rate.rate(2, now + 9 * SECOND), Some(0.5));
        assert_eq!(rate.rate(1, now + 10 * SECOND), Some(1.0));
        assert_eq!(rate.rate(0, now + 20 * SECOND), None);
    }

    proptest! {
        /// The window in slots counts what a list of all calls counts.
        #[test]
        fn window_is_the_same_as_a_list_of_calls(
            calls in proptest::collection::vec((0u64..3_000, any::<bool>()), 1..100),
        ) {
            let (mut rate, start) = (SuccessRate::new(10 * SECOND), Instant::now());
            let (mut at, mut all): (u64, Vec<(u64, bool)>) = (0, vec![]);
            for (pause_ms, well) in calls {
                at = if all.is_empty() { 0 } else { at + pause_ms };
                let now = start + Duration::from_millis(at);
                rate.record(well, now);
                all.push((at / 1_000, well));
                let recent: Vec<_> = all.iter().filter(|(second, _)| second + 10 > at / 1_000).collect();
                let well = recent.iter().filter(|(_, well)| *well).count();
                prop_assert_eq!(rate.rate(1, now), Some(well as f64 / recent.len() as f64));
            }
        }
    }
}
