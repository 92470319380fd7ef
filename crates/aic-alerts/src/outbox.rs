use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time;
use tracing::{debug, warn};

use crate::{Error, Notification, Notifier, Result};

/// The most notifications that wait for one notifier.
const CAPACITY: usize = 256;
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What became of the notifications for one notifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Deliveries {
    /// The notifier's name.
    pub notifier: String,
    /// Notifications that arrived.
    pub delivered: u64,
    /// Notifications given up after all attempts.
    pub failed: u64,
    /// Notifications thrown away because too many were waiting.
    pub dropped: u64,
    /// Why the last attempt that failed did so.
    pub last_error: Option<String>,
}

/// The queue before one notifier, with a task that empties it in order. Nothing waits for that task.
#[derive(Debug)]
pub(crate) struct Outbox {
    jobs: mpsc::Sender<Job>,
    count: Arc<Mutex<Deliveries>>,
}

#[derive(Debug)]
enum Job {
    Deliver(Arc<Notification>),
    /// Answered when all jobs before it are done.
    Flush(oneshot::Sender<()>),
}

/// The task's side.
#[derive(Debug)]
struct Courier {
    notifier: Arc<dyn Notifier>,
    timeout: Duration,
    count: Arc<Mutex<Deliveries>>,
}

impl Outbox {
    /// Starts the task on the current runtime; it ends when the outbox is dropped and its queue empty.
    pub(crate) fn open(
        notifier: Arc<dyn Notifier>,
        timeout: Duration,
        count: Arc<Mutex<Deliveries>>,
    ) -> Self {
        let (jobs, inbox) = mpsc::channel(CAPACITY);
        let courier = Courier { notifier, timeout, count: Arc::clone(&count) };
        tokio::spawn(courier.run(inbox));
        Self { jobs, count }
    }

    /// Queues a notification; one too many is dropped and counted.
    pub(crate) fn send(&self, notification: Arc<Notification>) {
        if self.jobs.try_send(Job::Deliver(notification)).is_err() {
            let mut count = lock(&self.count);
            count.dropped += 1;
            warn!(notifier = count.notifier, dropped = count.dropped, "notification dropped");
        }
    }

    /// Waits until all that is queued now was delivered or given up.
    pub(crate) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.jobs.send(Job::Flush(done)).await.is_ok() {
            let _ = wait.await; // A task that ended has nothing more to deliver.
        }
    }
}

impl Courier {
    async fn run(self, mut inbox: mpsc::Receiver<Job>) {
        while let Some(job) = inbox.recv().await {
            match job {
                Job::Deliver(notification) => self.deliver(&notification).await,
                Job::Flush(done) => drop(done.send(())),
            }
        }
    }

    async fn deliver(&self, notification: &Notification) {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let Err(error) = self.attempt(notification).await else {
                lock(&self.count).delivered += 1;
                return;
            };
            let last = attempt == ATTEMPTS || !error.is_retryable();
            self.note(&error, attempt, last);
            if last {
                return;
            }
            time::sleep(pause).await;
            pause *= 4;
        }
    }

    async fn attempt(&self, notification: &Notification) -> Result<()> {
        let timeout = self.timeout;
        let late = |_| Error::Timeout { notifier: self.notifier.name().to_owned(), timeout };
        time::timeout(timeout, self.notifier.deliver(notification)).await.map_err(late)?
    }

    fn note(&self, error: &Error, attempt: u32, last: bool) {
        let text = chain(error);
        if last {
            warn!(attempt, error = text, "notification given up");
        } else {
            debug!(attempt, error = text, "delivery failed, trying again");
        }
        let mut count = lock(&self.count);
        count.failed += u64::from(last);
        count.last_error = Some(text);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error and its causes in one line.
fn chain(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    line
}
