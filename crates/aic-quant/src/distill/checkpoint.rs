use std::path::PathBuf;

use candle_core::{Tensor, Var};

use super::export::values;
use super::optimizer::AdamW;
use super::report::HeldOut;
use crate::engine::candle::compute;
use crate::gguf::{self, Array, Metadata, Writer};
use crate::{DType, Error, Result, encode};

const FINGERPRINT: &str = "distill.fingerprint";
const STEP: &str = "distill.step";
const TOKENS: &str = "distill.tokens";
const BEFORE: &str = "distill.before";
const BEST: &str = "distill.best";
const BEST_STEP: &str = "distill.best_step";

/// How far training has come, apart from the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct State {
    /// Steps done.
    pub(super) step: usize,
    /// Tokens learnt from in them.
    pub(super) tokens: u64,
    /// The untrained student.
    pub(super) before: Option<HeldOut>,
    /// The student in the target file.
    pub(super) best: Option<HeldOut>,
    pub(super) best_step: usize,
}

/// A GGUF file with the weights, the optimizer's memory of them and the state: what it takes to go on as if nothing had
/// happened. It is replaced as a whole or not at all.
pub(super) struct Checkpoint {
    path: PathBuf,
    /// Of everything that must be the same to go on.
    fingerprint: String,
}

impl Checkpoint {
    pub(super) fn new(path: PathBuf, fingerprint: String) -> Self {
        Self { path, fingerprint }
    }

    pub(super) fn save(&self, optimizer: &AdamW, state: &State) -> Result<()> {
        let mut writer = Writer::new(self.metadata(state));
        let all: Vec<(String, &Var)> = parts(optimizer).collect();
        for (name, value) in &all {
            writer.tensor(name, value.dims(), DType::F32)?;
        }
        let mut unwritten = all.iter();
        writer.save(&self.path, |_| {
            let (_, value) = unwritten.next().expect("tensors are written in the order of their declaration");
            encode(&values(value)?, DType::F32)
        })?;
        Ok(())
    }

    /// Sets the weights and the optimizer's memory to those of the file, if there is one.
    pub(super) fn load(&self, optimizer: &mut AdamW) -> Result<Option<State>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let file = gguf::File::open(&self.path)?;
        let state = self.state(file.metadata())?;
        for (name, value) in parts(optimizer) {
            let tensor = file.tensor(&name).ok_or(Error::MissingTensor { name })?;
            if tensor.dtype != DType::F32 || tensor.shape != value.dims() {
                return Err(Error::tensor(&tensor.name, format!("is not F32 of shape {:?}", value.dims())));
            }
            let values = crate::decode(&file.read(tensor)?, tensor.dtype)?;
            let values = Tensor::from_vec(values, value.shape(), value.device());
            values.and_then(|values| value.set(&values)).map_err(compute("reading a checkpoint"))?;
        }
        optimizer.resume(state.step);
        Ok(Some(state))
    }

    /// Removes the file; training is done.
    pub(super) fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.path)(error))
            }
            _ => Ok(()),
        }
    }

    fn metadata(&self, state: &State) -> Metadata {
        let mut metadata = Metadata::new();
        metadata.insert("general.architecture", "checkpoint");
        metadata.insert(FINGERPRINT, self.fingerprint.as_str());
        metadata.insert(STEP, state.step as u64);
        metadata.insert(TOKENS, state.tokens);
        metadata.insert(BEST_STEP, state.best_step as u64);
        for (key, held_out) in [(BEFORE, state.before), (BEST, state.best)] {
            if let Some(held_out) = held_out {
                metadata.insert(key, held_out.to_numbers());
            }
        }
        metadata
    }

    fn state(&self, metadata: &Metadata) -> Result<State> {
        if metadata.string(FINGERPRINT)? != Some(self.fingerprint.as_str()) {
            let advice =
                "is of another run; give the same models, texts and options again, or remove the checkpoint";
            return Err(Error::metadata(FINGERPRINT, advice));
        }
        let number = |key| metadata.unsigned(key)?.ok_or_else(|| Error::metadata(key, "is missing"));
        let held_out = |key| match metadata.array(key)? {
            None => Ok(None),
            Some(Array::F64(numbers)) => Ok(HeldOut::from_numbers(numbers)),
            Some(_) => Err(Error::metadata(key, "is not an array of f64")),
        };
        Ok(State {
            step: number(STEP)? as usize,
            tokens: number(TOKENS)?,
            before: held_out(BEFORE)?,
            best: held_out(BEST)?,
            best_step: number(BEST_STEP)? as usize,
        })
    }
}

fn parts(optimizer: &AdamW) -> impl Iterator<Item = (String, &Var)> {
    optimizer.slots().iter().flat_map(|slot| {
        let named = |prefix: &str| format!("{prefix}{}", slot.name);
        [(named(""), &slot.value), (named("mean."), &slot.mean), (named("square."), &slot.square)]
    })
}
