use std::fmt;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};

use super::{JobId, Status};

/// Events that wait for a reader; more are lost to it.
const WAITING: usize = 1024;

/// Something that happened in a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The job it happened to; `None` for the whole queue.
    pub job: Option<JobId>,
    /// What it was.
    pub what: Happening,
}

/// What can happen in a queue.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Happening {
    /// The job was added.
    Queued,
    /// It began, or goes on after an interruption.
    Started,
    /// It has come so far; told at most ten times a second.
    Progress {
        /// Bytes of the source done with.
        done_bytes: u64,
        /// Bytes of all its tensors.
        total_bytes: u64,
    },
    /// Work pauses because the machine is under pressure.
    Paused {
        /// What presses.
        reason: String,
    },
    /// Work goes on.
    Resumed,
    /// The job gave way to a more urgent one, or to the end of the program, and waits to be gone on with.
    Yielded,
    /// The job came to its end.
    Ended {
        /// To which.
        status: Status,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.job {
            Some(job) => write!(f, "job {job}: ")?,
            None => write!(f, "queue: ")?,
        }
        match &self.what {
            Happening::Queued => write!(f, "queued"),
            Happening::Started => write!(f, "started"),
            Happening::Progress { done_bytes, total_bytes } => {
                write!(f, "{:.0} %", *done_bytes as f64 * 100.0 / (*total_bytes).max(1) as f64)
            }
            Happening::Paused { reason } => write!(f, "paused, {reason}"),
            Happening::Resumed => write!(f, "goes on"),
            Happening::Yielded => write!(f, "gave way"),
            Happening::Ended { status } => write!(f, "{status}"),
        }
    }
}

/// Those who want to know.
#[derive(Debug, Default)]
pub(super) struct Subscribers(Vec<SyncSender<Event>>);

impl Subscribers {
    pub(super) fn add(&mut self) -> Receiver<Event> {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        self.0.push(sender);
        receiver
    }

    pub(super) fn tell(&mut self, job: &JobId, what: Happening) {
        self.send(&Event { job: Some(job.clone()), what });
    }

    pub(super) fn tell_all(&mut self, what: &Happening) {
        self.send(&Event { job: None, what: what.clone() });
    }

    fn send(&mut self, event: &Event) {
        self.0.retain(|sender| !matches!(sender.try_send(event.clone()), Err(TrySendError::Disconnected(_))));
    }
}
