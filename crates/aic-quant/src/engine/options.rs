use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::config::Config;
use super::{Constraint, DeviceLayers, Model};
use crate::gguf::{self, Bytes};
use crate::kernels::give_back;
use crate::memory::{DeviceMemory, SystemMemory};
use crate::{
    Affinity, CacheType, DType, Device, Error, InstructionSet, Progress, Result, ServeOptions, TensorSource,
};

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
    pub(crate) device: Device,
    pub(super) device_layers: DeviceLayers,
    /// Whether candle's own tensors on the processor stand in for those of a GPU.
    #[cfg(all(test, feature = "candle"))]
    pub(super) stand_in: bool,
    pub(super) max_context: usize,
    /// The longest context it may be resized to; at least `max_context`.
    pub(super) growing_to: usize,
    pub(super) threads: Option<usize>,
    pub(super) affinity: Affinity,
    pub(super) instructions: InstructionSet,
    pub(super) cache_types: [CacheType; 2],
    pub(super) cache_tokens: Option<usize>,
    pub(super) serving: ServeOptions,
    pub(super) memory: Option<Arc<dyn DeviceMemory>>,
    pub(super) on_progress: Option<Arc<OnProgress>>,
}

impl ModelOptions {
    /// The defaults that each setter states.
    pub fn new() -> Self {
        Self {
            dtype: None,
            device: Device::Cpu,
            device_layers: DeviceLayers::All,
            #[cfg(all(test, feature = "candle"))]
            stand_in: false,
            max_context: 4096,
            growing_to: 0,
            threads: None,
            affinity: Affinity::Free,
            instructions: InstructionSet::best(),
            cache_types: [CacheType::F16; 2],
            cache_tokens: None,
            serving: ServeOptions::default(),
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

    /// How many layers run on the [device](Self::device), the first ones, where it is another than [`Device::Cpu`]; the others
    /// run on the processor. Defaults to [`DeviceLayers::All`].
    ///
    /// The fewer there are, the larger a model may be than the device's memory, and the slower it is.
    pub fn device_layers(mut self, layers: DeviceLayers) -> Self {
        self.device_layers = layers;
        self
    }

    /// Most tokens of prompt and answer together. Defaults to 4096; never more than the model was made for.
    pub fn max_context(mut self, tokens: usize) -> Self {
        self.max_context = tokens;
        self
    }

    /// The longest context the model is to be [resized](Model::resized) to later.
    pub(crate) fn growing_to(mut self, tokens: usize) -> Self {
        self.growing_to = tokens;
        self
    }

    /// Threads that compute, at least 1. Defaults to one for each core. Used where layers run on the processor.
    ///
    /// They are the model's own, and sleep while nothing is asked of it.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// Which cores the threads stay on. Defaults to [`Affinity::Free`]. Used where layers run on the processor.
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = affinity;
        self
    }

    /// Uses no better instructions than these. Defaults to [`InstructionSet::best`]; what this processor does not have is
    /// replaced by the best below it that it has. Used where layers run on the processor.
    pub fn instructions(mut self, instructions: InstructionSet) -> Self {
        self.instructions = instructions;
        self
    }

    /// How keys and values are kept. Defaults to [`CacheType::F16`]; the others need heads of whole blocks of 32 numbers. Used
    /// for layers that run on the processor.
    pub fn cache_type(self, cache_type: CacheType) -> Self {
        self.cache_types(cache_type, cache_type)
    }

    /// As [`cache_type`](Self::cache_type), one for keys and one for values, which bear more.
    pub fn cache_types(mut self, keys: CacheType, values: CacheType) -> Self {
        self.cache_types = [keys, values];
        self
    }

    /// Tokens of all conversations together whose keys and values are kept. Defaults to
    /// [`max_context`](Self::max_context), and is never less. Memory is used as it fills.
    pub fn cache_tokens(mut self, tokens: usize) -> Self {
        self.cache_tokens = Some(tokens);
        self
    }

    /// How many requests are answered at once, and how they share the model. Defaults to [`ServeOptions::default`].
    pub fn serving(mut self, serving: ServeOptions) -> Self {
        self.serving = serving;
        self
    }

    /// Who is asked whether the model fits before it is loaded, and how many layers do with [`DeviceLayers::Fitting`]. Defaults
    /// to [`SystemMemory`], which knows no GPUs.
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

    /// Checks what does not depend on the model.
    pub(crate) fn check(&self) -> Result<()> {
        check_context(self.max_context)
    }

    /// Tokens of one conversation, for a model of this `config`.
    pub(crate) fn context(&self, config: &Config) -> usize {
        self.max_context.min(config.context)
    }

    /// Positions of all sequences together, for a model of this `config`.
    pub(crate) fn positions(&self, config: &Config) -> usize {
        let context = self.context(config);
        self.cache_tokens.unwrap_or(context).max(context)
    }

    /// Loads the model at `path`: whatever [`open`](crate::open) opens.
    ///
    /// # Errors
    /// Whatever is wrong with the file, the device or the fit: any [`Error`] but those of generating.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Model> {
        let model = self.load(&*crate::open(path)?);
        give_back();
        model
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
        self.check()?;
        Model::load(source, &self)
    }
}

/// That a prompt and an answer have room.
pub(super) fn check_context(tokens: usize) -> Result<()> {
    if tokens >= 2 {
        return Ok(());
    }
    Err(Error::Option { option: "max_context", value: tokens.to_string(), expected: "at least 2 tokens" })
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
            .field("device_layers", &self.device_layers)
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
    /// Chooses among tokens that are at least this share as likely as the likeliest
    /// ([Nguyen et al. 2024](https://arxiv.org/abs/2407.01082)), 0 to 1; 0 leaves out none. Defaults to 0.
    pub min_p: f32,
    /// Logits of the last 64 tokens are divided by this, or multiplied if negative (Keskar et al. 2019); 1 changes
    /// nothing. Above 0. Defaults to 1.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of a token for each time it is in the answer so far; −2 to 2. Defaults to 0.
    pub frequency_penalty: f32,
    /// Subtracted once from the logit of a token that is in the answer so far; −2 to 2. Defaults to 0.
    pub presence_penalty: f32,
    /// Most time to wait for the answer's turn where many are made at once; after it the answer ends with
    /// [`Error::Expired`]. Defaults to `None`, as long as it takes.
    pub max_wait: Option<Duration>,
    /// Goes on where the model would end its answer, unless a constraint lets nothing follow; to measure. Defaults to false.
    pub ignore_end: bool,
    /// What the answer has to look like. Defaults to `None`, anything.
    pub constraint: Option<Constraint>,
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
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            max_wait: None,
            ignore_end: false,
            constraint: None,
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
        if !(0.0..=1.0).contains(&self.min_p) {
            return wrong("min_p", self.min_p.to_string(), "0 to 1");
        }
        for (option, penalty) in
            [("frequency_penalty", self.frequency_penalty), ("presence_penalty", self.presence_penalty)]
        {
            if !(-2.0..=2.0).contains(&penalty) {
                return wrong(option, penalty.to_string(), "-2 to 2");
            }
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
