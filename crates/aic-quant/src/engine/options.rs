use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::Model;
use crate::gguf::{self, Bytes};
use crate::memory::{DeviceMemory, SystemMemory};
use crate::{DType, Device, Error, Progress, Result, TensorSource};

/// Called while a model is loaded, after each tensor.
pub(crate) type OnProgress = dyn Fn(Progress<'_>) + Send + Sync;

/// How a model is loaded.
///
/// ```no_run
/// use aic_quant::{DType, ModelOptions};
///
/// let model = ModelOptions::new().dtype(DType::Q8_0).max_context(8192).open("model.gguf")?;
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ModelOptions {
    pub(super) dtype: Option<DType>,
    pub(super) device: Device,
    pub(super) max_context: usize,
    pub(super) memory: Option<Arc<dyn DeviceMemory>>,
    pub(super) on_progress: Option<Arc<OnProgress>>,
}

impl ModelOptions {
    /// The defaults that each setter states.
    pub fn new() -> Self {
        Self {
            dtype: None,
            device: Device::Cpu,
            max_context: 4096,
            memory: Some(Arc::new(SystemMemory)),
            on_progress: None,
        }
    }

    /// Quantizes matrices to `dtype` while loading; the full model is never in memory.
    ///
    /// Defaults to the types in the file. What cannot become `dtype` is substituted as a [`Recipe`](crate::Recipe)
    /// does it.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// Where the model runs. Defaults to [`Device::Cpu`].
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Most tokens of prompt and answer together. Defaults to 4096; never more than the model was made for.
    pub fn max_context(mut self, tokens: usize) -> Self {
        self.max_context = tokens;
        self
    }

    /// Who is asked whether the model fits before it is loaded. Defaults to [`SystemMemory`].
    pub fn memory(mut self, memory: Arc<dyn DeviceMemory>) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Loads without asking whether the model fits.
    pub fn unchecked_memory(mut self) -> Self {
        self.memory = None;
        self
    }

    /// Calls `on_progress` after each tensor. Defaults to nothing.
    pub fn on_progress(mut self, on_progress: impl Fn(Progress<'_>) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(on_progress));
        self
    }

    /// Loads the model at `path`: whatever [`open`](crate::open) opens.
    ///
    /// # Errors
    /// Whatever is wrong with the file, the device or the fit: any [`Error`] but those of generating.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Model> {
        self.load(&*crate::open(path)?)
    }

    /// Loads a GGUF file held in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(self, bytes: impl Into<Bytes>) -> Result<Model> {
        self.load(&gguf::File::from_bytes(bytes)?)
    }

    /// Loads a model from any source of tensors.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn load(self, source: &dyn TensorSource) -> Result<Model> {
        if self.max_context < 2 {
            return Err(Error::Option {
                option: "max_context",
                value: self.max_context.to_string(),
                expected: "at least 2 tokens",
            });
        }
        Model::load(source, &self)
    }
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ModelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelOptions")
            .field("dtype", &self.dtype)
            .field("device", &self.device)
            .field("max_context", &self.max_context)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

/// How an answer is generated.
///
/// ```
/// use aic_quant::GenerateOptions;
///
/// let options = GenerateOptions { max_tokens: 64, temperature: 0.0, ..GenerateOptions::default() };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Most tokens of the answer, at least 1. Defaults to 512; the context may end it earlier.
    pub max_tokens: usize,
    /// How far the choice strays from the likeliest token. 0 always takes the likeliest and repeats exactly; 1 follows the
    /// model's probabilities. Defaults to 0.7.
    pub temperature: f32,
    /// Chooses among the fewest tokens that have this probability together, above 0 up to 1. Defaults to 0.95.
    pub top_p: f32,
    /// Chooses among this many likeliest tokens; 0 for all. Defaults to 40.
    pub top_k: usize,
    /// The same seed, options and prompt give the same answer. Defaults to `None`, another answer each time.
    pub seed: Option<u64>,
    /// Texts that end the answer and are not part of it. Defaults to none.
    pub stop: Vec<String>,
    /// Logits of the last 64 tokens are divided by this, or multiplied if negative (Keskar et al. 2019); 1 changes
    /// nothing. Above 0. Defaults to 1.
    pub repetition_penalty: f32,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: 512,
            temperature: 0.7,
            top_p: 0.95,
            top_k: 40,
            seed: None,
            stop: Vec::new(),
            repetition_penalty: 1.0,
        }
    }
}

impl GenerateOptions {
    /// Checks every range.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |option, value: String, expected| Err(Error::Option { option, value, expected });
        if self.max_tokens == 0 {
            return wrong("max_tokens", "0".to_owned(), "at least 1");
        }
        if !(0.0..=100.0).contains(&self.temperature) {
            return wrong("temperature", self.temperature.to_string(), "0 to 100");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top_p", self.top_p.to_string(), "above 0, at most 1");
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return wrong("repetition_penalty", self.repetition_penalty.to_string(), "a number above 0");
        }
        if self.stop.iter().any(String::is_empty) {
            return wrong("stop", "an empty text".to_owned(), "texts of at least one character");
        }
        Ok(())
    }
}
