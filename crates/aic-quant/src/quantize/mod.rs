//! Writing a model with its tensors in other types.
mod crew;
mod fingerprint;
mod journal;
mod partial;
mod report;
mod run;
mod slab;

use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::Instant;

pub(crate) use fingerprint::fingerprint;
pub(crate) use partial::discard;
pub use report::{Report, Substitution, TensorReport, TypeShare};

use twox_hash::XxHash3_64;

use crate::gguf::{Layout, Metadata, Writer};
use crate::recipe::{Plan, Planned};
use crate::{Error, Importance, Progress, Result, TensorInfo, TensorSource};
use run::Run;

/// The version of the block formats, as llama.cpp counts them.
const QUANTIZATION_VERSION: u32 = 2;
/// Input of one slab: large enough that system calls cost nothing, small enough for the processor's last cache.
const SLAB_BYTES: usize = 2 << 20;
/// Bytes a thread holds for each byte of its slab: the input, the output, and the output read back, none wider than f32.
const COPIES: usize = 5;

/// Carries out a [`Plan`]: writes a model as a GGUF file whose tensors have the planned types.
///
/// The source streams through in slabs of rows, on all cores: memory stays below
/// [`memory_bytes`](Self::memory_bytes) for a model of any size, and the file is the same for any number of threads.
/// Each slab is read back after it is written, and every sixteenth row decoded again to measure the error.
///
/// The file appears at its place when it is complete and synced; until then it is `TARGET.partial`. Of a run that was
/// killed it stays, and the next run with the same source, plan and importance goes on from there.
///
/// ```no_run
/// use std::ops::ControlFlow;
///
/// use aic_quant::{Importance, Quantizer, Recipe, gguf};
///
/// let source = gguf::File::open("model-f16.gguf")?;
/// let importance = Importance::new();
/// let plan = "q4_k".parse::<Recipe>()?.plan(&source, Some(&importance))?;
/// let report = Quantizer::new(&plan).importance(&importance).run(&source, "model-q4.gguf", |progress| {
///     eprintln!("{} of {} bytes", progress.done_bytes, progress.total_bytes);
///     ControlFlow::Continue(())
/// })?;
/// println!("{:.2} bits per weight", report.bits_per_weight());
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Quantizer<'a> {
    plan: &'a Plan,
    importance: Option<&'a Importance>,
    threads: usize,
    memory_bytes: usize,
    resumable: bool,
}

impl<'a> Quantizer<'a> {
    /// Carries out `plan`, with the defaults that each setter states.
    pub fn new(plan: &'a Plan) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self { plan, importance: None, threads, memory_bytes: 256 << 20, resumable: false }
    }

    /// Weighs errors by what `importance` says of each column. Defaults to all columns alike.
    pub fn importance(mut self, importance: &'a Importance) -> Self {
        self.importance = Some(importance);
        self
    }

    /// Works on this many threads, at least 1. Defaults to one for each core.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Most memory taken besides what the source and the plan hold. Defaults to 256 MiB.
    ///
    /// Slabs become smaller where there are many threads; a slab is at least one row, so a single row larger than a fifth
    /// of this divided by the threads is refused.
    pub fn memory_bytes(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Keeps what is done when the run is stopped or fails, so that the next one goes on from there.
    ///
    /// Defaults to taking it away; a run that is killed leaves it in any case.
    pub fn resumable(mut self) -> Self {
        self.resumable = true;
        self
    }

    /// Writes `source`, for which the plan was made, as a GGUF file at `target`.
    ///
    /// `on_progress` is called on this thread after each slab. As long as it does not return, the run is paused; with
    /// [`ControlFlow::Break`] it is stopped.
    ///
    /// # Errors
    /// [`Error::Stopped`]; [`Error::Tensor`] for a tensor that is not the plan's, has values that are not finite, or rows too
    /// large for the memory; [`Error::UnsupportedDType`]; [`Error::NoSpace`], [`Error::Busy`] and [`Error::Io`] from the file
    /// system; [`Error::Unfaithful`] if something else comes back than was written; [`Error::Option`].
    pub fn run(
        &self,
        source: &dyn TensorSource,
        target: impl AsRef<Path>,
        on_progress: impl FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Report> {
        let started = Instant::now();
        check(source, self.plan)?;
        let columns = columns(self.plan, self.importance)?;
        let slabs = slab::cut(self.plan.tensors(), self.slab_bytes()?);
        let layout = layout(source, self.plan)?;
        let run = Run { source, plan: self.plan, columns: &columns, slabs: &slabs, layout: &layout };
        let written = run.write(target.as_ref(), self, on_progress)?;
        Ok(Report::new(self.plan, layout.file_bytes, &written, started.elapsed()))
    }

    fn slab_bytes(&self) -> Result<usize> {
        if self.threads == 0 {
            return Err(Error::Option { option: "threads", value: "0".to_owned(), expected: "at least 1" });
        }
        let most = self.memory_bytes / self.threads / COPIES;
        match self.plan.tensors().iter().find(|planned| planned.tensor.row_bytes() > most) {
            None => Ok(most.min(SLAB_BYTES)),
            Some(planned) => Err(Error::tensor(
                &planned.tensor.name,
                format!(
                    "has rows of {} bytes, and {} threads may take {} bytes of memory; use fewer threads or allow more memory",
                    planned.tensor.row_bytes(),
                    self.threads,
                    self.memory_bytes
                ),
            )),
        }
    }
}

/// That `plan` was made for `source`.
fn check(source: &dyn TensorSource, plan: &Plan) -> Result<()> {
    let tensors = source.tensors();
    let same = |(tensor, planned): (&TensorInfo, &Planned)| *tensor == planned.tensor;
    if tensors.len() == plan.tensors().len() && tensors.iter().zip(plan.tensors()).all(same) {
        return Ok(());
    }
    let problem = "is not what the plan was made for; make the plan from the model that is to be written";
    let first = tensors.iter().zip(plan.tensors()).find(|pair| !same(*pair));
    Err(Error::tensor(first.map_or("the number of tensors", |(tensor, _)| &tensor.name), problem))
}

/// The importance of each planned tensor's columns, expert by expert, for those that are quantized and were seen.
fn columns(plan: &Plan, importance: Option<&Importance>) -> Result<Vec<Option<Vec<f32>>>> {
    let columns = |planned: &Planned| {
        let (tensor, dtype) = (&planned.tensor, planned.dtype);
        let wanted = dtype.is_quantized() && dtype != tensor.dtype;
        let columns = importance.filter(|_| wanted).and_then(|importance| importance.get(&tensor.name));
        match columns {
            Some(columns) if columns.len() != tensor.row_length() * tensor.experts() => Err(Error::tensor(
                &tensor.name,
                format!(
                    "has {} columns, but the importance is of {}; it was computed with another model",
                    tensor.row_length() * tensor.experts(),
                    columns.len()
                ),
            )),
            columns => Ok(columns),
        }
    };
    plan.tensors().iter().map(columns).collect()
}

fn layout(source: &dyn TensorSource, plan: &Plan) -> Result<Layout> {
    let mut writer = Writer::new(metadata(source, plan));
    for planned in plan.tensors() {
        writer.tensor(&planned.tensor.name, &planned.tensor.shape, planned.dtype)?;
    }
    writer.layout()
}

fn metadata(source: &dyn TensorSource, plan: &Plan) -> Metadata {
    let mut metadata = source.metadata().clone();
    metadata.insert("general.quantization_version", QUANTIZATION_VERSION);
    match plan.file_type() {
        Some(code) => metadata.insert("general.file_type", code),
        None => metadata.remove("general.file_type"),
    };
    metadata
}

/// A hash by which damage is noticed, quick beside the rest.
fn hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}
