use std::collections::{HashMap, HashSet};
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::f16;
use ort::environment::Environment;
use ort::session::Session as Inner;
use ort::session::builder::SessionBuilder;
use ort::value::{DynValue, Outlet, PrimitiveTensorElementType, Tensor as Value, TensorElementType};
use prost::Message;

use super::proto::ModelProto;
use crate::{BoxError, Error, Result};

/// The variable that names the library.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// The setting of a session that says where a model held in memory has its external data.
const DATA_FOLDER_KEY: &str = "session.model_external_initializers_file_folder_path";
/// The process's one ONNX Runtime, once it is loaded.
static RUNTIME: Mutex<Option<Environment>> = Mutex::new(None);

/// A loaded ONNX model.
///
/// ```no_run
/// use aic_quant::onnx::{Session, Tensor};
///
/// let session = Session::open("model.onnx", None)?;
/// let outputs = session.run(vec![Tensor::new("x", &[1, 2], vec![1.0, 2.0])])?;
/// println!("{:?}", outputs[0].values.floats());
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    inner: Mutex<Inner>,
    inputs: Vec<String>,
    /// Inputs that want half floats.
    halves: HashSet<String>,
    outputs: Vec<String>,
}

/// A named array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name of the model's input or output.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The numbers, row by row.
    pub values: Values,
}

/// The numbers of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// 32-bit floats; also given to inputs of half floats, and got from outputs of such.
    F32(Vec<f32>),
    /// 64-bit integers: token ids, masks.
    I64(Vec<i64>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// Truth values.
    Bool(Vec<bool>),
}

impl Tensor {
    /// A tensor for the input called `name`.
    pub fn new(name: impl Into<String>, shape: &[usize], values: impl Into<Values>) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), values: values.into() }
    }
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The floats; `None` if they are something else.
    pub fn floats(&self) -> Option<&[f32]> {
        match self {
            Self::F32(values) => Some(values),
            _ => None,
        }
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self::F32(values)
    }
}

impl From<Vec<i64>> for Values {
    fn from(values: Vec<i64>) -> Self {
        Self::I64(values)
    }
}

impl From<Vec<i32>> for Values {
    fn from(values: Vec<i32>) -> Self {
        Self::I32(values)
    }
}

impl From<Vec<bool>> for Values {
    fn from(values: Vec<bool>) -> Self {
        Self::Bool(values)
    }
}

impl Session {
    /// Loads the model at `path`, and `library` if no ONNX Runtime is loaded yet.
    ///
    /// # Errors
    /// [`Error::Onnx`] if there is no suitable library, or it refuses the model.
    pub fn open(path: impl AsRef<Path>, library: Option<&Path>) -> Result<Self> {
        let path = path.as_ref();
        // The runtime's own message does not say which file is missing in a way that can be matched on.
        File::open(path).map_err(Error::io("open", path))?;
        Self::start(library, |builder| builder.commit_from_file(path))
    }

    /// Loads a model held in memory; it cannot have external data.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(model: &[u8], library: Option<&Path>) -> Result<Self> {
        Self::start(library, |builder| builder.commit_from_memory(model))
    }

    /// Loads a model whose external data lies beside the file `path`.
    pub(super) fn of_draft(model: &ModelProto, path: &Path, library: Option<&Path>) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let bytes = model.encode_to_vec();
        Self::start(library, |builder| {
            let folder = folder.to_string_lossy();
            let mut builder = builder.clone().with_config_entry(DATA_FOLDER_KEY, folder)?;
            builder.commit_from_memory(&bytes)
        })
    }

    fn start(
        library: Option<&Path>,
        commit: impl FnOnce(&mut SessionBuilder) -> ort::Result<Inner>,
    ) -> Result<Self> {
        let runtime = runtime(library)?;
        let session = Inner::builder(&runtime).and_then(|mut builder| commit(&mut builder));
        let inner = session.map_err(failed("load the model"))?;
        let names = |outlets: &[Outlet]| outlets.iter().map(|outlet| outlet.name().to_owned()).collect();
        let half = |outlet: &&Outlet| outlet.dtype().tensor_type() == Some(TensorElementType::Float16);
        let halves = inner.inputs().iter().filter(half).map(|outlet| outlet.name().to_owned()).collect();
        let (inputs, outputs) = (names(inner.inputs()), names(inner.outputs()));
        Ok(Self { inner: Mutex::new(inner), inputs, halves, outputs })
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
    /// [`Error::Tensor`] if an input's values do not fill its shape, or an output is of a type that
    /// [`Values`] lacks; [`Error::Onnx`] if the runtime refuses the inputs.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let input = |tensor: Tensor| input(self.halves.contains(&tensor.name), tensor);
        let inputs: HashMap<String, DynValue> = inputs.into_iter().map(input).collect::<Result<_>>()?;
        let mut session = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(inputs).map_err(failed("run the model"))?;
        self.outputs.iter().map(|name| output(name, &outputs[name.as_str()])).collect()
    }
}

fn input(half: bool, tensor: Tensor) -> Result<(String, DynValue)> {
    let Tensor { name, shape, values } = tensor;
    let wanted = shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
    if wanted != Some(values.len()) {
        let problem = format!("has {} values, which shape {shape:?} does not hold", values.len());
        return Err(Error::tensor(name, problem));
    }
    let value = match values {
        Values::F32(values) if half => {
            let halves: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
            Value::from_array((shape, halves)).map(Value::into_dyn)
        }
        Values::F32(values) => Value::from_array((shape, values)).map(Value::into_dyn),
        Values::I64(values) => Value::from_array((shape, values)).map(Value::into_dyn),
        Values::I32(values) => Value::from_array((shape, values)).map(Value::into_dyn),
        Values::Bool(values) => Value::from_array((shape, values)).map(Value::into_dyn),
    };
    Ok((name, value.map_err(failed("make an input"))?))
}

fn output(name: &str, value: &DynValue) -> Result<Tensor> {
    let values = match value.dtype().tensor_type() {
        Some(TensorElementType::Float32) => Values::F32(numbers(value)?),
        Some(TensorElementType::Float16) => {
            Values::F32(numbers::<f16>(value)?.into_iter().map(f16::to_f32).collect())
        }
        Some(TensorElementType::Int64) => Values::I64(numbers(value)?),
        Some(TensorElementType::Int32) => Values::I32(numbers(value)?),
        Some(TensorElementType::Bool) => Values::Bool(numbers(value)?),
        _ => {
            let problem = format!("is {}, expected f32, f16, i64, i32 or bool", value.dtype());
            return Err(Error::tensor(name, problem));
        }
    };
    let shape = value.shape().iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect();
    Ok(Tensor { name: name.to_owned(), shape, values })
}

fn numbers<T: PrimitiveTensorElementType + Copy>(value: &DynValue) -> Result<Vec<T>> {
    let (_, values) = value.try_extract_tensor::<T>().map_err(failed("read an output"))?;
    Ok(values.to_vec())
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
