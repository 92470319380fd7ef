use std::hint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::affinity;
use crate::{Error, Result};

/// How often an idle thread looks for a new job before it sleeps: some tens of microseconds, longer than the gap between two
/// jobs of one pass through a model.
const SPINS: u32 = 2_000;

/// Threads that share the tasks of one job at a time; whoever is done takes the next task.
///
/// A job is finished when its tasks are. It never waits for a thread that has not begun: where the cores are busy with other
/// work, the calling thread does all of it.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// Jobs come one at a time; a second caller waits.
    turn: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
    /// The core that the thread which calls should stay on.
    core: Option<usize>,
}

struct Shared {
    slot: Mutex<Slot>,
    /// A worker sleeps until there is a job.
    wake: Condvar,
    /// The caller sleeps until the last worker has left the job.
    left: Condvar,
    /// Counts jobs, so that an idle worker sees a new one without the lock.
    epoch: AtomicU64,
}

#[derive(Default)]
struct Slot {
    job: Option<Job>,
    /// Workers inside the job.
    inside: usize,
    sleeping: usize,
    closed: bool,
}

/// A job as workers see it: pointers into the caller's frame, valid while the job is in the slot or somebody is inside.
#[derive(Clone, Copy)]
struct Job {
    work: *const Work<'static>,
    epoch: u64,
}

// SAFETY: `Work` holds a `Sync` closure and atomics; `Pool::run` keeps it alive until no worker is inside.
unsafe impl Send for Job {}

struct Work<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    next: AtomicUsize,
    count: usize,
    panicked: AtomicBool,
}

impl Pool {
    /// A pool of `threads`, the caller of [`run`](Self::run) being one of them; at least one.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses to start a thread.
    pub(crate) fn new(threads: usize) -> Result<Self> {
        Self::on_cores(threads, &[])
    }

    /// As [`new`](Self::new), with threads that stay on `cores`, one on each, as far as there are any; the first is for the
    /// thread that calls.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn on_cores(threads: usize, cores: &[usize]) -> Result<Self> {
        let shared = Arc::new(Shared {
            slot: Mutex::default(),
            wake: Condvar::new(),
            left: Condvar::new(),
            epoch: AtomicU64::new(0),
        });
        let core = cores.first().copied();
        let mut pool = Self { shared, turn: Mutex::default(), workers: Vec::new(), core };
        for index in 1..threads.max(1) {
            let (shared, core) = (pool.shared.clone(), cores.get(index).copied());
            let worker = thread::Builder::new().name(format!("aic-kernel-{index}")).spawn(move || {
                core.into_iter().for_each(affinity::stay_on);
                shared.serve();
            });
            pool.workers.push(worker.map_err(Error::io("start", "a thread"))?);
        }
        Ok(pool)
    }

    /// Threads that share a job.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// The core that the thread which calls [`run`](Self::run) should stay on; `None` where threads are free.
    pub(crate) fn core(&self) -> Option<usize> {
        self.core
    }

    /// Calls `task` with every number below `count`, on all threads; returns when all calls have.
    ///
    /// # Panics
    /// If a call panicked; the others are made all the same.
    pub(crate) fn run(&self, count: usize, task: impl Fn(usize) + Sync) {
        let work = Work { task: &task, next: AtomicUsize::new(0), count, panicked: AtomicBool::new(false) };
        if count > 1 && !self.workers.is_empty() {
            let _turn = lock(&self.turn);
            let _posted = self.post(&work, count);
            work.take_all();
        } else {
            work.take_all();
        }
        assert!(!work.panicked.into_inner(), "a kernel panicked");
    }

    /// Lets workers in until the returned guard is dropped.
    fn post(&self, work: &Work<'_>, count: usize) -> Posted<'_> {
        let epoch = self.shared.epoch.load(Ordering::Relaxed) + 1;
        // SAFETY: only the lifetime changes. `Posted` takes the job out of the slot and waits for everybody inside before
        // `work`, which outlives it, can go.
        let work = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) };
        let mut slot = lock(&self.shared.slot);
        slot.job = Some(Job { work, epoch });
        self.shared.epoch.store(epoch, Ordering::Release);
        for _ in 0..slot.sleeping.min(count - 1) {
            self.shared.wake.notify_one();
        }
        drop(slot);
        Posted(&self.shared)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.slot).closed = true;
        self.shared.epoch.fetch_add(1, Ordering::Release);
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so there is nothing to pass on.
            let _ = worker.join();
        }
    }
}

/// A job in the slot; taken out when dropped, also when the caller's own share of it panicked.
struct Posted<'a>(&'a Shared);

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        let mut slot = lock(&self.0.slot);
        slot.job = None;
        while slot.inside > 0 {
            slot = self.0.left.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    /// A worker's life.
    fn serve(&self) {
        let mut seen = 0;
        while let Some(job) = self.next_job(seen) {
            seen = job.epoch;
            // SAFETY: this worker is counted as inside, so the caller keeps the work alive.
            unsafe { &*job.work }.take_all();
            let mut slot = lock(&self.slot);
            slot.inside -= 1;
            if slot.inside == 0 {
                self.left.notify_one();
            }
        }
    }

    /// Waits for a job newer than `seen` and enters it; `None` when the pool closes.
    fn next_job(&self, seen: u64) -> Option<Job> {
        self.spin(seen);
        let mut slot = lock(&self.slot);
        loop {
            if slot.closed {
                return None;
            }
            if let Some(job) = slot.job.filter(|job| job.epoch > seen) {
                slot.inside += 1;
                return Some(job);
            }
            slot.sleeping += 1;
            slot = self.wake.wait(slot).unwrap_or_else(PoisonError::into_inner);
            slot.sleeping -= 1;
        }
    }

    fn spin(&self, seen: u64) {
        for _ in 0..SPINS {
            if self.epoch.load(Ordering::Acquire) > seen {
                return;
            }
            hint::spin_loop();
        }
    }
}

impl Work<'_> {
    fn take_all(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.count {
                return;
            }
            if catch_unwind(AssertUnwindSafe(|| (self.task)(index))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// A panic while a lock is held leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(pool: &Pool, count: usize) -> usize {
        let total = AtomicUsize::new(0);
        pool.run(count, |index| {
            total.fetch_add(index + 1, Ordering::Relaxed);
        });
        total.into_inner()
    }

    #[test]
    fn every_task_runs_once_for_any_number_of_threads_and_tasks() {
        for threads in [0, 1, 2, 3, 8] {
            let pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads.max(1));
            for count in [0, 1, 2, 7, 100, 1000] {
                assert_eq!(sum(&pool, count), count * (count + 1) / 2, "{threads} threads, {count} tasks");
            }
        }
    }

    #[test]
    fn many_short_jobs_one_after_the_other_lose_nothing() {
        let pool = Pool::new(4).unwrap();
        for round in 0..if cfg!(miri) { 50 } else { 5_000 } {
            assert_eq!(sum(&pool, 1 + round % 9), (1 + round % 9) * (2 + round % 9) / 2);
        }
    }

    #[test]
    fn several_callers_take_turns() {
        let pool = Pool::new(3).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..if cfg!(miri) { 5 } else { 200 } {
                        assert_eq!(sum(&pool, 50), 1275);
                    }
                });
            }
        });
    }

    #[test]
    fn panic_in_a_task_reaches_the_caller_and_the_pool_works_on() {
        let pool = Pool::new(2).unwrap();
        let failed = catch_unwind(AssertUnwindSafe(|| pool.run(10, |index| assert!(index != 3))));

        assert!(failed.is_err());
        assert_eq!(sum(&pool, 10), 55);
    }
}
