//! Models run by the ONNX Runtime library, through [ort](https://docs.rs/ort).
use std::collections::HashSet;
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::f16;
use ort::environment::Environment;
use ort::session::builder::SessionBuilder;
use ort::session::{Session as Inner, SessionInputValue};
use ort::value::{
    DynValue, Outlet, PrimitiveTensorElementType, Tensor as Value, TensorElementType, TensorRef,
};
use prost::Message;

use super::pool::Pool;
use super::session::Source;
use super::{Backend, Input, Tensor, Values};
use crate::{BoxError, Error, Result};

/// The variable that names the library.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// The setting of a session that says where a model held in memory has its external data.
const DATA_FOLDER_KEY: &str = "session.model_external_initializers_file_folder_path";
/// The process's one ONNX Runtime, once it is loaded.
static RUNTIME: Mutex<Option<Environment>> = Mutex::new(None);

#[derive(Debug)]
pub(super) struct Onnxruntime {
    /// A run needs a session for itself.
    sessions: Pool<Inner>,
    inputs: Vec<Input>,
    /// Inputs that want half floats.
    halves: HashSet<String>,
    outputs: Vec<String>,
}

impl Onnxruntime {
    pub(super) fn open(
        source: &Source<'_>,
        library: Option<&Path>,
        threads: Option<usize>,
        sessions: usize,
    ) -> Result<Self> {
        let runtime = runtime(library)?;
        let open = || commit(builder(&runtime, threads)?, source);
        let sessions: ort::Result<Vec<Inner>> = (0..sessions).map(|_| open()).collect();
        let sessions = sessions.map_err(failed("load the model"))?;
        let first = &sessions[0];
        let half = |outlet: &&Outlet| outlet.dtype().tensor_type() == Some(TensorElementType::Float16);
        let halves = first.inputs().iter().filter(half).map(|outlet| outlet.name().to_owned()).collect();
        let inputs = first.inputs().iter().map(describe).collect();
        let outputs = first.outputs().iter().map(|outlet| outlet.name().to_owned()).collect();
        Ok(Self { sessions: Pool::new(sessions), inputs, halves, outputs })
    }
}

impl Backend for Onnxruntime {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|tensor| input(self.halves.contains(&tensor.name), tensor))
            .collect::<Result<_>>()?;
        self.sessions.with(|session| {
            let outputs = session.run(inputs).map_err(failed("run the model"))?;
            self.outputs.iter().map(|name| output(name, &outputs[name.as_str()])).collect()
        })
    }
}

/// Whether somebody said which library to take, so that another runtime would not be what they want.
pub(super) fn is_named(library: Option<&Path>) -> bool {
    library.is_some() || named_library().is_some()
}

/// Loads the library, if it is not yet.
pub(super) fn ensure(library: Option<&Path>) -> Result<()> {
    runtime(library).map(drop)
}

fn builder(runtime: &Environment, threads: Option<usize>) -> ort::Result<SessionBuilder> {
    let builder = Inner::builder(runtime)?;
    let Some(threads) = threads else { return Ok(builder) };
    Ok(builder.with_intra_threads(threads)?)
}

fn commit(mut builder: SessionBuilder, source: &Source<'_>) -> ort::Result<Inner> {
    match source {
        Source::File(path) => builder.commit_from_file(path),
        Source::Bytes(bytes) => builder.commit_from_memory(bytes),
        Source::Draft { model, path } => {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut builder = builder.with_config_entry(DATA_FOLDER_KEY, folder.to_string_lossy())?;
            builder.commit_from_memory(&model.encode_to_vec())
        }
    }
}

fn describe(outlet: &Outlet) -> Input {
    let shape = outlet.dtype().tensor_shape();
    let shape = shape.map(|shape| shape.iter().map(|dim| usize::try_from(*dim).ok()).collect());
    Input { name: outlet.name().to_owned(), shape: shape.unwrap_or_default() }
}

fn input(half: bool, tensor: &Tensor) -> Result<(&str, SessionInputValue<'_>)> {
    let shape = tensor.shape.as_slice();
    let value = match &tensor.values {
        Values::F32(values) if half => {
            let halves: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
            Value::from_array((shape, halves)).map(SessionInputValue::from)
        }
        Values::F32(values) => borrowed(shape, values),
        Values::I64(values) => borrowed(shape, values),
        Values::I32(values) => borrowed(shape, values),
        Values::U8(values) => borrowed(shape, values),
        Values::Bool(values) => borrowed(shape, values),
    };
    Ok((&tensor.name, value.map_err(failed("make an input"))?))
}

fn borrowed<'a, T: PrimitiveTensorElementType + Clone + fmt::Debug + 'static>(
    shape: &'a [usize],
    values: &'a [T],
) -> ort::Result<SessionInputValue<'a>> {
    TensorRef::from_array_view((shape, values)).map(SessionInputValue::from)
}

fn output(name: &str, value: &DynValue) -> Result<Tensor> {
    let values = match value.dtype().tensor_type() {
        Some(TensorElementType::Float32) => Values::F32(numbers(value)?),
        Some(TensorElementType::Float16) => {
            Values::F32(numbers::<f16>(value)?.into_iter().map(f16::to_f32).collect())
        }
        Some(TensorElementType::Int64) => Values::I64(numbers(value)?),
        Some(TensorElementType::Int32) => Values::I32(numbers(value)?),
        Some(TensorElementType::Uint8) => Values::U8(numbers(value)?),
        Some(TensorElementType::Bool) => Values::Bool(numbers(value)?),
        _ => {
            let problem = format!("is {}, expected f32, f16, i64, i32, u8 or bool", value.dtype());
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
    named_library().unwrap_or_else(system)
}

fn named_library() -> Option<PathBuf> {
    env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn failed(action: &'static str) -> impl FnOnce(ort::Error) -> Error {
    move |error| Error::Onnx { action: format!("{action} on onnxruntime"), source: error.into() }
}
