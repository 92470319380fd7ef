#[cfg(feature = "engine")]
use std::fs;
use std::path::Path;
#[cfg(feature = "engine")]
use std::path::PathBuf;
use std::thread;

use super::{Control, Job};
#[cfg(feature = "engine")]
use crate::gate::Gate;
#[cfg(feature = "engine")]
use crate::replacement::sync_folder;
#[cfg(feature = "engine")]
use crate::{Error, ModelOptions, quantize};
use crate::{Importance, Quantizer, Result, TensorSource, open};

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

    /// Takes away what is left of a job that was cancelled, besides what a [`Quantizer`] leaves at the target. Defaults to
    /// nothing.
    fn discard(&self, _job: &Job) {}
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
        let (bytes_before, bytes_after) = make(job, source.as_ref(), &job.target, self.threads, control)?;
        Ok(Outcome::Accepted { bytes_before, bytes_after })
    }
}

/// Quantizes, and accepts what passes the quality gate: the target appears only then.
#[cfg(feature = "engine")]
#[derive(Clone, Debug)]
pub struct Gated {
    /// What the result is judged by.
    pub gate: Gate,
    /// Threads to work on, at least 1.
    pub threads: usize,
}

#[cfg(feature = "engine")]
impl Gated {
    /// Judges by `gate`, and works on one thread for each core.
    pub fn new(gate: Gate) -> Self {
        Self { gate, threads: Quantizing::default().threads }
    }
}

#[cfg(feature = "engine")]
impl Runner for Gated {
    fn run(&self, job: &Job, control: &mut Control<'_>) -> Result<Outcome> {
        let source = open(&job.source)?;
        let candidate = candidate(&job.target);
        let (bytes_before, bytes_after) = make(job, source.as_ref(), &candidate, self.threads, control)?;
        let made = open(&candidate)?;
        let report = self.gate.judge(source.as_ref(), made.as_ref(), &ModelOptions::new())?;
        drop(made);
        if report.verdict.is_pass() {
            fs::rename(&candidate, &job.target).map_err(Error::io("rename to", &job.target))?;
            sync_folder(&job.target)?;
            return Ok(Outcome::Accepted { bytes_before, bytes_after });
        }
        fs::remove_file(&candidate).map_err(Error::io("remove", &candidate))?;
        Ok(Outcome::Rejected { reason: report.verdict.to_string() })
    }

    fn discard(&self, job: &Job) {
        let candidate = candidate(&job.target);
        quantize::discard(&candidate);
        // It may not have been written yet.
        fs::remove_file(candidate).ok();
    }
}

/// Where a result waits for its verdict.
#[cfg(feature = "engine")]
fn candidate(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".candidate");
    target.with_file_name(name)
}

/// Makes the job's model at `target`; returns the bytes before and after.
fn make(
    job: &Job,
    source: &dyn TensorSource,
    target: &Path,
    threads: usize,
    control: &mut Control<'_>,
) -> Result<(u64, u64)> {
    let importance = job.importance.as_deref().map(Importance::open).transpose()?;
    let plan = job.recipe.plan(source, importance.as_ref())?;
    let mut quantizer = Quantizer::new(&plan).threads(threads).resumable();
    if let Some(importance) = &importance {
        quantizer = quantizer.importance(importance);
    }
    let report = quantizer.run(source, target, |progress| control.progress(progress))?;
    Ok((report.bytes_before, report.bytes_after))
}
