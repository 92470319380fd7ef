//! Models run by [rten](https://docs.rs/rten), which is built in.
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prost::Message;
use rten::{Dimension, Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView, ValueView};
use rten_tensor::Tensor as Array;
use rten_tensor::prelude::*;

use super::session::Source;
use super::{Backend, Input, Tensor, Values};
use crate::onnx::draft;
use crate::{BoxError, Error, Result};

/// What to do about a model that the library cannot run.
const ADVICE: &str = "if it lacks an operator of the model, run the model on onnxruntime: enable feature onnxruntime and set ORT_DYLIB_PATH to the library";
/// The threads that sessions with the same number of them share.
static THREADS: Mutex<Option<HashMap<usize, Weak<ThreadPool>>>> = Mutex::new(None);

#[derive(Debug)]
pub(super) struct Embedded {
    model: Model,
    inputs: Vec<Input>,
    input_ids: HashMap<String, NodeId>,
    outputs: Vec<String>,
    threads: Option<Arc<ThreadPool>>,
}

impl Embedded {
    pub(super) fn open(source: &Source<'_>, threads: Option<usize>) -> Result<Self> {
        let model = contained(|| load(source))??;
        let name = |id: &NodeId| Some(model.node_info(*id)?.name()?.to_owned());
        let input = |id: &NodeId| Some(Input { name: name(id)?, shape: shape(&model, *id) });
        let inputs = model.input_ids().iter().filter_map(input).collect();
        let input_ids = model.input_ids().iter().filter_map(|id| Some((name(id)?, *id))).collect();
        let outputs = model.output_ids().iter().filter_map(name).collect();
        Ok(Self { inputs, input_ids, outputs, threads: threads.map(shared_threads), model })
    }
}

impl Backend for Embedded {
    fn name(&self) -> &'static str {
        "rten"
    }

    fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let input = |tensor: &&'_ Tensor| Ok((self.input_ids[&tensor.name], integers(tensor)?));
        let owned: Vec<(NodeId, Option<Value>)> = inputs.iter().map(input).collect::<Result<_>>()?;
        let values = inputs.iter().zip(&owned).map(|(tensor, (id, value))| {
            let value = value.as_ref().map_or_else(|| view(tensor), |value| Ok(ValueOrView::from(value)))?;
            Ok((*id, value))
        });
        let values: Vec<_> = values.collect::<Result<_>>()?;
        let options = RunOptions::default().with_thread_pool(self.threads.clone());
        let outputs = contained(|| self.model.run(values, self.model.output_ids(), Some(options)))?;
        let outputs = outputs.map_err(|error| failed("run the model", error.into()))?;
        self.outputs.iter().zip(outputs).map(|(name, value)| output(name, value)).collect()
    }
}

/// The library promises memory safety, not that it never panics.
fn contained<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Error::Panicked { what: "the ONNX runtime rten" })
}

fn load(source: &Source<'_>) -> Result<Model> {
    let options = ModelOptions::with_all_ops();
    let model = match source {
        Source::File(path) => options.load_file(path),
        Source::Bytes(bytes) => options.load(bytes.to_vec()),
        Source::Draft { model, path } => options.load(draft::with_data_inside(model, path)?.encode_to_vec()),
    };
    model.map_err(|error| failed("load the model", error.into()))
}

fn failed(action: &str, source: BoxError) -> Error {
    Error::Onnx { action: format!("{action} on the embedded runtime rten; {ADVICE}"), source }
}

/// The dimensions that an input has whatever is run, and `None` for the others.
fn shape(model: &Model, id: NodeId) -> Vec<Option<usize>> {
    let fixed = |dim| match dim {
        Dimension::Fixed(size) => Some(size),
        Dimension::Symbolic(_) => None,
    };
    let shape = model.node_info(id).and_then(|node| node.shape());
    shape.unwrap_or_default().into_iter().map(fixed).collect()
}

fn shared_threads(count: usize) -> Arc<ThreadPool> {
    let mut pools = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = pools.get_or_insert_default();
    pools.get(&count).and_then(Weak::upgrade).unwrap_or_else(|| {
        let pool = Arc::new(ThreadPool::with_num_threads(count));
        pools.insert(count, Arc::downgrade(&pool));
        pool
    })
}

/// The 32-bit integers that the library takes in place of what it has no type for.
fn integers(tensor: &Tensor) -> Result<Option<Value>> {
    let narrow = |value: &i64| {
        let problem = || format!("has the value {value}; the embedded runtime takes integers of 32 bits");
        i32::try_from(*value).map_err(|_| Error::tensor(&tensor.name, problem()))
    };
    let values: Vec<i32> = match &tensor.values {
        Values::I64(values) => values.iter().map(narrow).collect::<Result<_>>()?,
        Values::Bool(values) => values.iter().map(|value| i32::from(*value)).collect(),
        Values::F32(_) | Values::I32(_) | Values::U8(_) => return Ok(None),
    };
    Ok(Some(Array::from_data(tensor.shape.as_slice(), values).into()))
}

fn view(tensor: &Tensor) -> Result<ValueOrView<'_>> {
    let shape = tensor.shape.as_slice();
    Ok(match &tensor.values {
        Values::F32(values) => ValueView::from_shape(shape, values).map_err(misshapen)?.into(),
        Values::I32(values) => ValueView::from_shape(shape, values).map_err(misshapen)?.into(),
        Values::U8(values) => ValueView::from_shape(shape, values).map_err(misshapen)?.into(),
        Values::I64(_) | Values::Bool(_) => unreachable!("they have been made 32-bit integers"),
    })
}

fn misshapen(error: impl Into<BoxError>) -> Error {
    failed("make an input", error.into())
}

fn output(name: &str, value: Value) -> Result<Tensor> {
    let shape = value.shape().to_vec();
    let values = match value {
        Value::FloatTensor(values) => Values::F32(values.into_data()),
        Value::Int32Tensor(values) => Values::I32(values.into_data()),
        Value::UInt8Tensor(values) => Values::U8(values.into_data()),
        other => {
            let problem = format!("is {}, expected f32, i32 or u8", other.dtype());
            return Err(Error::tensor(name, problem));
        }
    };
    Ok(Tensor { name: name.to_owned(), shape, values })
}
