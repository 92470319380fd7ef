//! Running ONNX models through the ONNX Runtime library, which is looked for when the first session is opened.
//!
//! Nothing is linked or downloaded at build time. The library is the one given, else the one `ORT_DYLIB_PATH` names, else
//! the system's `libonnxruntime`; version 1.17 or newer. It is loaded once for the process: later sessions use the same.
use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::Session as Inner;
use ort::value::Tensor as Value;

use crate::{BoxError, Error, Result};

/// The variable that names the library.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// The process's one ONNX Runtime, once it is loaded.
static RUNTIME: Mutex<Option<Environment>> = Mutex::new(None);

/// A loaded ONNX model.
///
/// ```no_run
/// use aic_quant::onnx::{Session, Tensor};
///
/// let session = Session::open("model.onnx", None)?;
/// let outputs = session.run(vec![Tensor::new("x", &[1, 2], vec![1.0, 2.0])])?;
/// println!("{:?}", outputs[0].values);
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    inner: Mutex<Inner>,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

/// A named array of 32-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name of the model's input or output.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The numbers, row by row.
    pub values: Vec<f32>,
}

impl Tensor {
    /// A tensor for the input called `name`.
    pub fn new(name: impl Into<String>, shape: &[usize], values: Vec<f32>) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), values }
    }
}

impl Session {
    /// Loads the model at `path`, and `library` if no ONNX Runtime is loaded yet.
    ///
    /// # Errors
    /// [`Error::Onnx`] if there is no suitable library, or it refuses the model.
    pub fn open(path: impl AsRef<Path>, library: Option<&Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        Self::from_bytes(&bytes, library)
    }

    /// Loads a model held in memory; it cannot have external data.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(model: &[u8], library: Option<&Path>) -> Result<Self> {
        let runtime = runtime(library)?;
        let session = Inner::builder(&runtime).and_then(|mut builder| builder.commit_from_memory(model));
        let inner = session.map_err(failed("load the model"))?;
        let names =
            |outlets: &[ort::value::Outlet]| outlets.iter().map(|outlet| outlet.name().to_owned()).collect();
        let (inputs, outputs) = (names(inner.inputs()), names(inner.outputs()));
        Ok(Self { inner: Mutex::new(inner), inputs, outputs })
    }

    /// The names of the inputs.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// The names of the outputs.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Runs the model; one run at a time, others wait.
    ///
    /// # Errors
    /// [`Error::Tensor`] if an input's values do not fill its shape, or an output is not f32; [`Error::Onnx`] if the runtime
    /// refuses the inputs.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let inputs: HashMap<String, Value<f32>> = inputs.into_iter().map(input).collect::<Result<_>>()?;
        let mut session = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(inputs).map_err(failed("run the model"))?;
        self.outputs.iter().map(|name| output(name, &outputs[name.as_str()])).collect()
    }
}

fn input(tensor: Tensor) -> Result<(String, Value<f32>)> {
    let Tensor { name, shape, values } = tensor;
    let wanted = shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
    if wanted != Some(values.len()) {
        let problem = format!("has {} values, which shape {shape:?} does not hold", values.len());
        return Err(Error::tensor(name, problem));
    }
    let value = Value::from_array((shape, values)).map_err(failed("make an input"))?;
    Ok((name, value))
}

fn output(name: &str, value: &ort::value::DynValue) -> Result<Tensor> {
    let (shape, values) = value
        .try_extract_tensor::<f32>()
        .map_err(|_| Error::tensor(name, format!("is {}, expected f32", value.dtype())))?;
    let shape = shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect();
    Ok(Tensor { name: name.to_owned(), shape, values: values.to_vec() })
}

/// The process's runtime, loaded now if it is not yet.
fn runtime(library: Option<&Path>) -> Result<Environment> {
    let mut loaded = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*loaded {
        return Ok(runtime.clone());
    }
    let path = library.map_or_else(default_library, Path::to_owned);
    let runtime = load(&path).map_err(|source| Error::Onnx {
        action: format!(
            "load the runtime library `{}`; install ONNX Runtime 1.17 or newer and set {LIBRARY_VARIABLE} to its library",
            path.display()
        ),
        source,
    })?;
    Ok(loaded.insert(runtime).clone())
}

fn load(path: &Path) -> std::result::Result<Environment, BoxError> {
    Ok(ort::init_from(path)?.build()?)
}

fn default_library() -> PathBuf {
    let system = || format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX).into();
    env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map_or_else(system, PathBuf::from)
}

fn failed(action: &'static str) -> impl FnOnce(ort::Error) -> Error {
    move |error| Error::Onnx { action: action.to_owned(), source: error.into() }
}
