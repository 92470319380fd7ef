use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::slot::Slot;
use crate::state::State;
use crate::{
    Clock, Error, Labels, Moment, MonitorBuilder, Reading, Result, Sample, Snapshot, Summary, Trend,
};

const THREAD: &str = "aic-monitor";

/// Polls probes and remembers what they say. Cheap to clone; all clones are one monitor.
#[derive(Clone, Debug)]
pub struct Monitor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Box<dyn Clock>,
    interval: Duration,
    deadline: Duration,
    running: AtomicBool,
    /// Locked for a whole round, so that rounds never overlap.
    slots: Mutex<Vec<Slot>>,
    /// Locked only to copy in and out, never while a probe is waited for.
    state: RwLock<State>,
}

impl Monitor {
    /// A monitor with the built-in probes, an interval of one second and a history of 15 minutes.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::default()
    }

    pub(crate) fn new(
        clock: Box<dyn Clock>,
        interval: Duration,
        deadline: Duration,
        slots: Vec<Slot>,
        state: State,
    ) -> Self {
        let (running, slots, state) = (AtomicBool::new(false), Mutex::new(slots), RwLock::new(state));
        Self { shared: Arc::new(Shared { clock, interval, deadline, running, slots, state }) }
    }

    /// Reads all probes once and returns what is known then.
    ///
    /// Blocks while the probes read, for the deadline at most where they hang.
    pub fn poll(&self) -> Snapshot {
        let Shared { clock, deadline, slots, state, .. } = &*self.shared;
        let mut slots = slots.lock();
        let at = Moment::of(&**clock);
        slots.iter_mut().for_each(|slot| slot.ask(at));
        let until = Instant::now() + *deadline;
        let answers: Vec<_> = slots.iter_mut().map(|slot| slot.collect(at, until, *deadline)).collect();
        let mut state = state.write();
        for (index, answer) in answers.into_iter().enumerate() {
            state.take(index, answer, at);
        }
        state.history.expire(at.instant);
        state.snapshot()
    }

    /// Polls in the background, beginning now, until the returned handle is dropped.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] if it does so already, [`Error::Thread`] if no thread could be started.
    pub fn start(&self) -> Result<Running> {
        if self.shared.running.swap(true, Ordering::AcqRel) {
            return Err(Error::AlreadyRunning);
        }
        let mut running = Running { shared: Arc::clone(&self.shared), thread: None };
        let (stop, stopped) = mpsc::channel();
        let monitor = self.clone();
        let thread = thread::Builder::new().name(THREAD.into()).spawn(move || monitor.run(&stopped));
        let thread = thread.map_err(|source| Error::Thread { thread: THREAD.into(), source })?;
        running.thread = Some((stop, thread));
        Ok(running)
    }

    /// Polls once an interval until the other end of `stopped` is gone.
    fn run(&self, stopped: &Receiver<()>) {
        loop {
            let began = Instant::now();
            self.poll();
            let rest = self.shared.interval.saturating_sub(began.elapsed());
            if stopped.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// What the last round said; empty before the first one. Never waits for a probe.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.state.read().snapshot()
    }

    /// The latest readings of all series of `metric`, sorted by labels; cheaper than a whole snapshot.
    pub fn latest(&self, metric: &str) -> Vec<Reading> {
        self.shared.state.read().latest(metric)
    }

    /// The samples of one series that are at most `range` old, oldest first. Empty for an unknown series.
    pub fn history(&self, metric: &str, labels: &Labels, range: Duration) -> Vec<Sample> {
        let now = self.shared.clock.now();
        self.shared.state.read().history.samples(metric, labels, range, now)
    }

    /// The label sets under which `metric` has a history.
    pub fn series(&self, metric: &str) -> Vec<Labels> {
        self.shared.state.read().history.labels(metric)
    }

    /// Statistics over the last `range` of one series; `None` where there is no sample.
    pub fn summary(&self, metric: &str, labels: &Labels, range: Duration) -> Option<Summary> {
        Summary::of(self.history(metric, labels, range).iter().map(|sample| sample.value))
    }

    /// The trend over the last `range` of one series; `None` for fewer than two samples.
    ///
    /// Newer samples weigh more: a sample's weight halves with each quarter of `range` of its age.
    pub fn trend(&self, metric: &str, labels: &Labels, range: Duration) -> Option<Trend> {
        Trend::of(&self.history(metric, labels, range), range / 4)
    }

    /// How often it polls in the background.
    pub fn interval(&self) -> Duration {
        self.shared.interval
    }
}

/// A monitor that polls in the background. Dropping it stops that, after the round in progress.
#[derive(Debug)]
#[must_use = "polling stops when this is dropped"]
pub struct Running {
    shared: Arc<Shared>,
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            let _ = thread.join(); // A panic was reported by the thread itself.
        }
        self.shared.running.store(false, Ordering::Release);
    }
}
