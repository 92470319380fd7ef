use std::fs::File;
use std::path::{Path, PathBuf};

use super::embedded::Embedded;
#[cfg(feature = "onnxruntime")]
use super::onnxruntime::{self, Onnxruntime};
use super::{Backend, Tensor};
use crate::onnx::proto::ModelProto;
use crate::{Error, Result};

/// A loaded ONNX model.
///
/// ```no_run
/// use aic_quant::onnx::{Session, Tensor};
///
/// let session = Session::open("model.onnx")?;
/// let x = Tensor::new("x", &[1, 2], vec![1.0, 2.0]);
/// println!("{:?}", session.run([&x])?[0].values.floats());
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    backend: Box<dyn Backend>,
}

/// An input of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first, `None` where a run decides. Empty for a single number, and where the model does
    /// not say.
    pub shape: Vec<Option<usize>>,
}

/// The library that runs a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Runtime {
    /// The ONNX Runtime library if there is one, else the embedded runtime. A library that was named, but cannot be
    /// loaded, is an error.
    #[default]
    Auto,
    /// rten, which is built in. It has most operators, but none of those of older quantizers (`QLinear…`), and counts with
    /// integers of 32 bits.
    Embedded,
    /// The ONNX Runtime library, found at run time: every operator, and faster.
    Onnxruntime,
}

/// How a model is loaded.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct SessionOptions {
    runtime: Runtime,
    library: Option<PathBuf>,
    threads: Option<usize>,
    sessions: usize,
}

/// Where a model comes from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
    /// A changed model; its external data lies beside the file it came from.
    Draft {
        model: &'a ModelProto,
        path: &'a Path,
    },
}

impl Session {
    /// Loads the model at `path` with the default [`SessionOptions`].
    ///
    /// # Errors
    /// As [`SessionOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        SessionOptions::new().open(path)
    }

    /// How a model is loaded, to be changed before it is.
    pub fn options() -> SessionOptions {
        SessionOptions::new()
    }

    /// The name of the library that runs the model: `rten` or `onnxruntime`.
    pub fn runtime(&self) -> &'static str {
        self.backend.name()
    }

    /// The inputs.
    pub fn inputs(&self) -> &[Input] {
        self.backend.inputs()
    }

    /// The names of the outputs.
    pub fn outputs(&self) -> &[String] {
        self.backend.outputs()
    }

    /// Runs the model and returns its outputs in the model's order. Safe from several threads at once; on onnxruntime no more
    /// than [`SessionOptions::sessions`] of them run, others wait.
    ///
    /// # Errors
    /// [`Error::Tensor`] if an input is not one of the model's, its values do not fill its shape, or an output is of a type that
    /// [`Values`](super::Values) lacks; [`Error::Onnx`] if the runtime refuses the inputs; [`Error::Panicked`] if it panics.
    pub fn run<'a>(&self, inputs: impl IntoIterator<Item = &'a Tensor>) -> Result<Vec<Tensor>> {
        let inputs: Vec<&Tensor> = inputs.into_iter().collect();
        inputs.iter().try_for_each(|tensor| self.check(tensor))?;
        self.backend.run(&inputs)
    }

    fn check(&self, tensor: &Tensor) -> Result<()> {
        if !self.inputs().iter().any(|input| input.name == tensor.name) {
            let names: Vec<&str> = self.inputs().iter().map(|input| input.name.as_str()).collect();
            let problem = format!("is no input of the model; its inputs are {}", names.join(", "));
            return Err(Error::tensor(&tensor.name, problem));
        }
        let shape = &tensor.shape;
        let wanted = shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
        if wanted != Some(tensor.values.len()) {
            let problem = format!("has {} values, which shape {shape:?} does not hold", tensor.values.len());
            return Err(Error::tensor(&tensor.name, problem));
        }
        Ok(())
    }
}

impl SessionOptions {
    /// The defaults that each setter states.
    pub fn new() -> Self {
        Self { runtime: Runtime::Auto, library: None, threads: None, sessions: 1 }
    }

    /// The library that runs the model. Defaults to [`Runtime::Auto`].
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// The file of the ONNX Runtime library, 1.17 or newer. It is loaded once for the process: later sessions use the same.
    ///
    /// Defaults to the one that `ORT_DYLIB_PATH` names, else the system's `libonnxruntime`.
    pub fn library(mut self, library: impl Into<PathBuf>) -> Self {
        self.library = Some(library.into());
        self
    }

    /// Threads that one run uses. Embedded sessions with the same number share them; each session of onnxruntime has its own.
    ///
    /// Defaults to the runtime's choice: the machine's cores.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// How many runs of one model onnxruntime does at once; each has the weights in memory for itself. The embedded runtime
    /// needs one copy for any number of runs.
    ///
    /// Defaults to 1.
    pub fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// Loads the model at `path`, and the runtime's library if it is not yet.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened; [`Error::Onnx`] if there is no suitable library, or the runtime refuses the
    /// model; [`Error::Option`] if there are no threads or no sessions; [`Error::Panicked`] if the runtime panics.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Session> {
        let path = path.as_ref();
        // The runtimes' own messages do not say which file is missing in a way that can be matched on.
        File::open(path).map_err(Error::io("open", path))?;
        self.start(&Source::File(path))
    }

    /// Loads a model held in memory; it cannot have external data.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(&self, model: &[u8]) -> Result<Session> {
        self.start(&Source::Bytes(model))
    }

    /// Loads a model whose external data lies beside the file `path`.
    pub(in crate::onnx) fn of_draft(&self, model: &ModelProto, path: &Path) -> Result<Session> {
        self.start(&Source::Draft { model, path })
    }

    fn start(&self, source: &Source<'_>) -> Result<Session> {
        self.check()?;
        let backend: Box<dyn Backend> = match self.runtime {
            Runtime::Embedded => Box::new(Embedded::open(source, self.threads)?),
            Runtime::Onnxruntime => self.onnxruntime(source)?,
            Runtime::Auto if self.finds_onnxruntime()? => self.onnxruntime(source)?,
            Runtime::Auto => Box::new(Embedded::open(source, self.threads)?),
        };
        Ok(Session { backend })
    }

    fn check(&self) -> Result<()> {
        let none = |option| Err(Error::Option { option, value: "0".to_owned(), expected: "at least 1" });
        match self {
            Self { threads: Some(0), .. } => none("threads"),
            Self { sessions: 0, .. } => none("sessions"),
            _ => Ok(()),
        }
    }

    #[cfg(feature = "onnxruntime")]
    fn finds_onnxruntime(&self) -> Result<bool> {
        match onnxruntime::ensure(self.library.as_deref()) {
            Err(error) if onnxruntime::is_named(self.library.as_deref()) => Err(error),
            Err(_) => {
                tracing::debug!("no onnxruntime library, running on the embedded runtime");
                Ok(false)
            }
            Ok(()) => Ok(true),
        }
    }

    #[cfg(not(feature = "onnxruntime"))]
    fn finds_onnxruntime(&self) -> Result<bool> {
        Ok(false)
    }

    #[cfg(feature = "onnxruntime")]
    fn onnxruntime(&self, source: &Source<'_>) -> Result<Box<dyn Backend>> {
        let library = self.library.as_deref();
        Ok(Box::new(Onnxruntime::open(source, library, self.threads, self.sessions)?))
    }

    #[cfg(not(feature = "onnxruntime"))]
    fn onnxruntime(&self, _: &Source<'_>) -> Result<Box<dyn Backend>> {
        Err(Error::Unsupported {
            what: "ONNX runtime",
            name: "onnxruntime".to_owned(),
            supported: "the embedded one; build with feature onnxruntime for the other",
        })
    }
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self::new()
    }
}
