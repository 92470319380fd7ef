use std::thread;

use super::{Control, Job};
use crate::{Importance, Quantizer, Result, open};

/// A door: who does the jobs of a queue.
///
/// Called on the queue's own thread, one job at a time. It asks [`Control::progress`] between pieces of work, and returns
/// [`Error::Stopped`](crate::Error::Stopped) when told to; called again with the same job it goes on.
pub trait Runner: Send + Sync + 'static {
    /// Does `job`.
    ///
    /// # Errors
    /// [`Error::Stopped`](crate::Error::Stopped) if it was told to stop; anything else ends the job as failed.
    fn run(&self, job: &Job, control: &mut Control<'_>) -> Result<Outcome>;
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The result is at its place.
    Accepted {
        /// Bytes of the source's tensors.
        bytes_before: u64,
        /// Bytes of the result's.
        bytes_after: u64,
    },
    /// The result was not good enough and is gone.
    Rejected {
        /// In what.
        reason: String,
    },
}

/// Quantizes, and accepts what the file's own checks accept.
#[derive(Clone, Copy, Debug)]
pub struct Quantizing {
    /// Threads to work on, at least 1. Defaults to one for each core.
    pub threads: usize,
}

impl Default for Quantizing {
    fn default() -> Self {
        Self { threads: thread::available_parallelism().map_or(1, usize::from) }
    }
}

impl Runner for Quantizing {
    fn run(&self, job: &Job, control: &mut Control<'_>) -> Result<Outcome> {
        let source = open(&job.source)?;
        let importance = job.importance.as_deref().map(Importance::open).transpose()?;
        let plan = job.recipe.plan(source.as_ref(), importance.as_ref())?;
        let mut quantizer = Quantizer::new(&plan).threads(self.threads).resumable();
        if let Some(importance) = &importance {
            quantizer = quantizer.importance(importance);
        }
        let report = quantizer.run(source.as_ref(), &job.target, |progress| control.progress(progress))?;
        Ok(Outcome::Accepted { bytes_before: report.bytes_before, bytes_after: report.bytes_after })
    }
}
