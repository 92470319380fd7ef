use std::collections::BTreeSet;
use std::time::Duration;

use crate::history::{Bounds, History};
use crate::slot::Slot;
use crate::state::State;
use crate::{Clock, Error, Monitor, Probe, Result, SystemClock, probe};

const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Settings of a [`Monitor`]; see [`Monitor::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct MonitorBuilder {
    probes: Vec<Box<dyn Probe>>,
    built_in: bool,
    interval: Duration,
    deadline: Duration,
    bounds: Bounds,
    clock: Box<dyn Clock>,
}

impl Default for MonitorBuilder {
    fn default() -> Self {
        Self {
            probes: Vec::new(),
            built_in: true,
            interval: Duration::from_secs(1),
            deadline: Duration::from_secs(1),
            bounds: Bounds { retention: Duration::from_secs(15 * 60), points: 1024, series: 1024 },
            clock: Box::new(SystemClock),
        }
    }
}

impl MonitorBuilder {
    /// A probe more, which gets a thread of its own. Names must be unique.
    pub fn probe(mut self, probe: impl Probe) -> Self {
        self.probes.push(Box::new(probe));
        self
    }

    /// Whether the probes of [`crate::probe`] are among the monitor's.
    ///
    /// Defaults to `true`.
    pub fn built_in(mut self, built_in: bool) -> Self {
        self.built_in = built_in;
        self
    }

    /// How often the background thread polls; at least 10 ms.
    ///
    /// Defaults to 1 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long a round waits, in real time, for the probes with a thread. A probe that needs longer delays one
    /// round; after that it is not waited for until it has answered.
    ///
    /// Defaults to 1 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How far back the history goes; at least two intervals.
    ///
    /// Defaults to 15 minutes.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.bounds.retention = retention;
        self
    }

    /// The most samples kept of one series, at least 2; the oldest makes room for the newest. A sample is 40 bytes.
    ///
    /// Defaults to 1024.
    pub fn points(mut self, points: usize) -> Self {
        self.bounds.points = points;
        self
    }

    /// The most series kept, at least 1. Readings of further ones are in the snapshot but have no history; the
    /// snapshot counts them as rejected.
    ///
    /// Defaults to 1024.
    pub fn series(mut self, series: usize) -> Self {
        self.bounds.series = series;
        self
    }

    /// Where the time comes from.
    ///
    /// Defaults to [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Checks the settings and starts the probes' threads. Nothing is read yet.
    ///
    /// # Errors
    /// [`Error::Interval`], [`Error::Retention`] or [`Error::Limit`] for a setting out of range,
    /// [`Error::DuplicateProbe`] for two probes of one name, [`Error::Thread`] if a thread could not be started.
    pub fn build(mut self) -> Result<Monitor> {
        self.check()?;
        let slots = self.slots()?;
        let names = slots.iter().map(|slot| slot.name().to_owned());
        let state = State::new(names, History::new(self.bounds));
        Ok(Monitor::new(self.clock, self.interval, self.deadline, slots, state))
    }

    fn check(&self) -> Result<()> {
        let Self { interval, bounds: Bounds { retention, points, series }, .. } = *self;
        if interval < SHORTEST_INTERVAL {
            return Err(Error::Interval { interval, min: SHORTEST_INTERVAL });
        }
        if retention < interval.saturating_mul(2) {
            return Err(Error::Retention { retention, interval });
        }
        at_least("points", points, 2)?;
        at_least("series", series, 1)
    }

    fn slots(&mut self) -> Result<Vec<Slot>> {
        let (quick, slow) = if self.built_in { (probe::quick(), probe::slow()) } else { Default::default() };
        let threads = slow.into_iter().chain(self.probes.drain(..)).map(Slot::on_thread);
        let slots: Vec<_> =
            quick.into_iter().map(|probe| Ok(Slot::Inline(probe))).chain(threads).collect::<Result<_>>()?;
        let mut names = BTreeSet::new();
        match slots.iter().find(|slot| !names.insert(slot.name())) {
            Some(twin) => Err(Error::DuplicateProbe { probe: twin.name().to_owned() }),
            None => Ok(slots),
        }
    }
}

fn at_least(limit: &'static str, value: usize, min: usize) -> Result<()> {
    if value < min { Err(Error::Limit { limit, value, min }) } else { Ok(()) }
}
