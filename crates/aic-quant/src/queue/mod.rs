//! Optimising models in the background: one job at a time, the most urgent first, out of everybody's way.
//!
//! A [`Queue`] keeps its jobs in a folder and goes on with them after a restart. Between two slabs of work it pauses while
//! the machine is under [pressure](Pressure), gives way to a more urgent job, or stops; what was done is kept.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use aic_quant::queue::{Job, Priority, Queue, Quantizing};
//!
//! let queue = Queue::builder("/var/lib/app/optimizations", Arc::new(Quantizing::default())).open()?;
//! let events = queue.events();
//! let job = Job::new("model-f16.gguf", "model-q4.gguf", "q4_k".parse()?);
//! queue.submit(job, Priority::Normal)?;
//! for event in events {
//!     println!("{event}");
//! }
//! # Ok::<(), aic_quant::Error>(())
//! ```
mod brake;
mod control;
mod event;
mod job;
mod runner;
mod state;
mod store;

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, mem};

pub use brake::{Pressure, Readings, SystemPressure, Thresholds};
pub use control::Control;
pub use event::{Event, Happening};
pub use job::{Job, JobId, Priority};
#[cfg(feature = "engine")]
pub use runner::Gated;
pub use runner::{Outcome, Quantizing, Runner};
pub use state::{Entry, Status};

use crate::{Error, Result, quantize};
use brake::Brake;
use event::Subscribers;
use state::State;
use store::Store;

/// Jobs that make models smaller in the background. See the [module's example](self).
///
/// Dropping it stops the work at the next slab; jobs that are not done go on when the folder is opened again.
pub struct Queue {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

/// How a [`Queue`] is opened.
#[must_use]
pub struct QueueBuilder {
    folder: PathBuf,
    runner: Arc<dyn Runner>,
    pressure: Arc<dyn Pressure>,
    thresholds: Thresholds,
    interval: Duration,
}

/// How much a queue has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Jobs that wait now.
    pub waiting: usize,
    /// Jobs that run now: 0 or 1.
    pub running: usize,
    /// Jobs whose result was accepted.
    pub accepted: u64,
    /// Jobs whose result was not good enough.
    pub rejected: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// Bytes of models before and after, of all accepted jobs.
    pub bytes_before: u64,
    /// See [`bytes_before`](Self::bytes_before).
    pub bytes_after: u64,
    /// How often work was paused.
    pub pauses: u64,
    /// How long all pauses took.
    pub paused: Duration,
}

pub(crate) struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    runner: Arc<dyn Runner>,
    pressure: Arc<dyn Pressure>,
    interval: Duration,
}

struct Inner {
    state: State,
    store: Store,
    brake: Brake,
    subscribers: Subscribers,
    stats: Stats,
    /// The queue is being closed.
    closing: bool,
    /// The running job is to stop because it was cancelled.
    cancelled: bool,
}

impl Queue {
    /// A queue that keeps its jobs in `folder` and has them done by `runner`.
    pub fn builder(folder: impl Into<PathBuf>, runner: Arc<dyn Runner>) -> QueueBuilder {
        QueueBuilder {
            folder: folder.into(),
            runner,
            pressure: Arc::new(SystemPressure::default()),
            thresholds: Thresholds::default(),
            interval: Duration::from_secs(1),
        }
    }

    /// Adds `job`, and returns its name.
    ///
    /// The name is a hash of the source's content, the recipe, the importance and the target. A job of the same name that
    /// waits or runs is not added twice, but becomes as urgent as the more urgent one; one that was done is not done again
    /// while its result is there.
    ///
    /// # Errors
    /// [`Error::Io`] and its like if the source cannot be read, or the queue's file not be written.
    pub fn submit(&self, job: Job, priority: Priority) -> Result<JobId> {
        let id = job.id()?;
        self.shared.change(|inner| {
            if inner.state.submit(id.clone(), job, priority) {
                inner.subscribers.tell(&id, Happening::Queued);
            }
            Ok(id)
        })
    }

    /// Cancels a job: one that waits at once, the running one at its next slab, what it has written is taken away. Returns
    /// whether there was anything to cancel.
    ///
    /// # Errors
    /// [`Error::Io`] if the queue's file cannot be written.
    pub fn cancel(&self, id: &JobId) -> Result<bool> {
        self.shared.change(|inner| {
            match inner.state.get(id).map(|entry| (&entry.status, entry.job.clone())) {
                Some((Status::Waiting, job)) => {
                    self.shared.discard(&job);
                    inner.finish(id, Status::Cancelled);
                }
                Some((Status::Running, _)) => inner.cancelled = true,
                _ => return Ok(false),
            }
            Ok(true)
        })
    }

    /// What is known of a job.
    pub fn get(&self, id: &JobId) -> Option<Entry> {
        self.shared.lock().state.get(id).cloned()
    }

    /// All jobs, in the order they were added: those that wait, the running one, and the last that are done.
    pub fn jobs(&self) -> Vec<Entry> {
        self.shared.lock().state.jobs().to_vec()
    }

    /// How much has been done.
    pub fn stats(&self) -> Stats {
        let inner = self.shared.lock();
        let count =
            |status: &Status| inner.state.jobs().iter().filter(|entry| entry.status == *status).count();
        Stats { waiting: count(&Status::Waiting), running: count(&Status::Running), ..inner.stats }
    }

    /// What happens from now on, until the queue is dropped. Who reads too slowly misses some: at most 1,024 wait.
    pub fn events(&self) -> mpsc::Receiver<Event> {
        self.shared.lock().subscribers.add()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            // Nobody is left to be told that somebody's `Pressure` panicked.
            worker.join().ok();
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl QueueBuilder {
    /// Who tells how busy the machine is. Defaults to [`SystemPressure`].
    pub fn pressure(mut self, pressure: Arc<dyn Pressure>) -> Self {
        self.pressure = pressure;
        self
    }

    /// When to pause and when to go on. Defaults to [`Thresholds::default`].
    pub fn thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = thresholds;
        self
    }

    /// How often the machine is looked at. Defaults to a second.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Opens the folder, makes it if need be, and begins to work.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be used; [`Error::Busy`] if another process has it open; [`Error::Option`] for
    /// thresholds that contradict each other. A damaged file of jobs is put aside, reported by a log line, and the queue
    /// begins empty.
    pub fn open(self) -> Result<Queue> {
        let brake = Brake::new(self.thresholds)?;
        let (store, jobs) = Store::open(&self.folder)?;
        let inner = Inner {
            state: State::new(jobs),
            store,
            brake,
            subscribers: Subscribers::default(),
            stats: Stats::default(),
            closing: false,
            cancelled: false,
        };
        let shared = Arc::new(Shared {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            runner: self.runner,
            pressure: self.pressure,
            interval: self.interval,
        });
        let working = shared.clone();
        let worker = thread::Builder::new().name("aic-optimize".to_owned()).spawn(move || working.work());
        let worker = worker.map_err(Error::io("start a thread for", self.folder))?;
        Ok(Queue { shared, worker: Some(worker) })
    }
}

impl fmt::Debug for QueueBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueBuilder").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the jobs, writes them down, and wakes the worker.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> Result<T>) -> Result<T> {
        let mut inner = self.lock();
        let changed = change(&mut inner)?;
        inner.save()?;
        self.changed.notify_all();
        Ok(changed)
    }

    /// The worker's life.
    fn work(&self) {
        while let Some((id, job)) = self.next() {
            // One job that panics is one job that failed.
            let run = AssertUnwindSafe(|| self.runner.run(&job, &mut Control::new(self)));
            let panicked = |_| Err(Error::Panicked { what: "the job" });
            self.ended(&id, &job, panic::catch_unwind(run).unwrap_or_else(panicked));
        }
    }

    /// Waits for a job and for a machine that has room for it; `None` when the queue is closed.
    fn next(&self) -> Option<(JobId, Job)> {
        let mut inner = self.lock();
        loop {
            if inner.closing {
                return None;
            }
            if inner.state.next().is_none() {
                inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            inner = self.pause_if_pressed(inner);
            if inner.closing {
                return None;
            }
            if let Some((id, job)) = inner.state.start() {
                inner.subscribers.tell(&id, Happening::Started);
                inner.save_or_log();
                return Some((id, job));
            }
        }
    }

    /// Looks at the machine, and waits as long as it is pressed and nothing else is to be done.
    fn pause_if_pressed<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let started = Instant::now();
        let mut told = false;
        loop {
            drop(inner);
            // Not under the lock: who asks the machine may take a while.
            let readings = self.pressure.readings();
            inner = self.lock();
            let reason = inner.brake.decide(&readings);
            let Some(reason) = reason.filter(|_| !inner.must_stop()) else { break };
            if !mem::replace(&mut told, true) {
                inner.stats.pauses += 1;
                inner.subscribers.tell_all(&Happening::Paused { reason });
            }
            inner = self.changed.wait_timeout(inner, self.interval).unwrap_or_else(PoisonError::into_inner).0;
        }
        if told {
            inner.stats.paused += started.elapsed();
            inner.subscribers.tell_all(&Happening::Resumed);
        }
        inner
    }

    fn discard(&self, job: &Job) {
        quantize::discard(&job.target);
        self.runner.discard(job);
    }

    fn ended(&self, id: &JobId, job: &Job, outcome: Result<Outcome>) {
        let mut inner = self.lock();
        let cancelled = mem::take(&mut inner.cancelled);
        match outcome {
            Ok(Outcome::Accepted { bytes_before, bytes_after }) => {
                inner.stats.bytes_before += bytes_before;
                inner.stats.bytes_after += bytes_after;
                inner.finish(id, Status::Accepted { bytes_before, bytes_after });
            }
            Ok(Outcome::Rejected { reason }) => inner.finish(id, Status::Rejected { reason }),
            Err(Error::Stopped { .. }) if cancelled => {
                self.discard(job);
                inner.finish(id, Status::Cancelled);
            }
            // It gave way, or the queue is closing.
            Err(Error::Stopped { .. }) => {
                inner.state.wait(id);
                inner.subscribers.tell(id, Happening::Yielded);
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(job = %id, reason, "optimization failed");
                inner.finish(id, Status::Failed { reason });
            }
        }
        inner.save_or_log();
    }
}

impl Inner {
    fn save(&mut self) -> Result<()> {
        self.store.save(self.state.jobs())
    }

    fn save_or_log(&mut self) {
        if let Err(error) = self.save() {
            tracing::warn!(
                error = chain(&error),
                "the jobs could not be written down; a restart would repeat some"
            );
        }
    }

    /// Whether the running job is to stop: the queue closes, it was cancelled, or something more urgent waits.
    fn must_stop(&self) -> bool {
        self.closing || self.cancelled || self.state.is_outranked()
    }

    fn finish(&mut self, id: &JobId, status: Status) {
        match &status {
            Status::Accepted { .. } => self.stats.accepted += 1,
            Status::Rejected { .. } => self.stats.rejected += 1,
            Status::Failed { .. } => self.stats.failed += 1,
            Status::Cancelled => self.stats.cancelled += 1,
            Status::Waiting | Status::Running => {}
        }
        self.subscribers.tell(id, Happening::Ended { status: status.clone() });
        self.state.finish(id, status);
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
