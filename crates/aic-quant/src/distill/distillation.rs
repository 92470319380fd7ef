use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::corpus::Corpus;
use super::export::Export;
use super::schedule::Schedule;
use super::student::{Blueprint, Size};
use super::training::Training;
use super::{Distilled, Objective, Progress};
use crate::engine::Config;
use crate::gguf::Metadata;
use crate::tokenizer::Tokenizer;
use crate::{DType, Device, Error, Result, TensorSource};

const TOKENS_KEY: &str = "tokenizer.ggml.tokens";

/// How a student learns from a teacher. See the [module's example](super).
#[derive(Clone)]
#[must_use]
pub struct Distillation<'a> {
    teacher: &'a dyn TensorSource,
    student: Option<&'a dyn TensorSource>,
    checkpoint: Option<PathBuf>,
    settings: Settings,
}

/// Everything but the models and the texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    size: Size,
    pub(super) steps: usize,
    window: usize,
    pub(super) batch_tokens: usize,
    pub(super) accumulate: usize,
    learning_rate: f64,
    warm_up: f64,
    pub(super) temperature: f64,
    pub(super) objective: Objective,
    held_out: f64,
    pub(super) measure_every: usize,
    pub(super) seed: u64,
    dtype: DType,
    device: Device,
}

impl<'a> Distillation<'a> {
    /// A distillation of `teacher` with the defaults that each setter states.
    pub fn new(teacher: &'a dyn TensorSource) -> Self {
        let settings = Settings {
            size: Size::default(),
            steps: 1000,
            window: 512,
            batch_tokens: 4096,
            accumulate: 1,
            learning_rate: 5e-4,
            warm_up: 0.05,
            temperature: 1.0,
            objective: Objective::default(),
            held_out: 0.05,
            measure_every: 100,
            seed: 0,
            dtype: DType::F16,
            device: Device::Cpu,
        };
        Self { teacher, student: None, checkpoint: None, settings }
    }

    /// The model the student starts as, with the same tokens as the teacher: a pruned one that is to recover, for example.
    ///
    /// Defaults to the teacher. [`layers`](Self::layers), [`hidden`](Self::hidden) and
    /// [`feed_forward`](Self::feed_forward) make the student smaller than that model.
    pub fn student(mut self, source: &'a dyn TensorSource) -> Self {
        self.student = Some(source);
        self
    }

    /// How many layers the student has; it starts as that many of the given model's, evenly chosen, the first and the last
    /// among them.
    ///
    /// Defaults to all layers of a given [`student`](Self::student), otherwise to half of the teacher's, rounded up.
    pub fn layers(mut self, layers: usize) -> Self {
        self.settings.size.layers = Some(layers);
        self
    }

    /// The width of the student's states. If it is not that of the model the student starts as, every matrix starts with
    /// random numbers. Heads stay as many and as wide as they are. Defaults to that model's.
    pub fn hidden(mut self, hidden: usize) -> Self {
        self.settings.size.hidden = Some(hidden);
        self
    }

    /// The width of the student's feed-forward parts. If it is not that of the model the student starts as, these parts
    /// start with random numbers. Defaults to that model's.
    pub fn feed_forward(mut self, feed_forward: usize) -> Self {
        self.settings.size.feed_forward = Some(feed_forward);
        self
    }

    /// How many steps there are, at least 1. Defaults to 1000.
    pub fn steps(mut self, steps: usize) -> Self {
        self.settings.steps = steps;
        self
    }

    /// Most tokens of a text that are seen together, at least 2; the rest is another text. Defaults to 512; never more than
    /// the models were made for.
    pub fn window(mut self, tokens: usize) -> Self {
        self.settings.window = tokens;
        self
    }

    /// Most tokens that go through the models at once, those included that fill up short texts; a single longer text
    /// passes too. Defaults to 4096.
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.settings.batch_tokens = tokens;
        self
    }

    /// How many batches make a step, at least 1: more tokens for each step in the same memory. Defaults to 1.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.settings.accumulate = batches;
        self
    }

    /// The highest learning rate, above 0 up to 1; after the warm-up it falls along a cosine to a hundredth. Defaults to
    /// 0.0005; a student with random numbers takes more, a large one less.
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.settings.learning_rate = rate;
        self
    }

    /// The share of steps in which the learning rate rises, from 0 up to 0.5. Defaults to 0.05.
    pub fn warm_up(mut self, share: f64) -> Self {
        self.settings.warm_up = share;
        self
    }

    /// By how much logits are divided before they are compared with the teacher's, above 0 up to 100: a higher temperature
    /// shows more of what the teacher thinks of unlikely tokens. Defaults to 1.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.settings.temperature = temperature;
        self
    }

    /// What counts how much. Defaults to [`Objective::default`].
    pub fn objective(mut self, objective: Objective) -> Self {
        self.settings.objective = objective;
        self
    }

    /// The share of different texts that is kept out of training to measure with, from 0 up to 0.5; at least one text unless
    /// it is 0 or there is only one. Defaults to 0.05.
    pub fn held_out(mut self, share: f64) -> Self {
        self.settings.held_out = share;
        self
    }

    /// After how many steps the student is measured on the held-out texts, written if it is the best so far, and a
    /// checkpoint saved; at least 1. Defaults to 100.
    pub fn measure_every(mut self, steps: usize) -> Self {
        self.settings.measure_every = steps;
        self
    }

    /// Decides the order of texts, which are held out, and random weights. Defaults to 0. The same seed, models, texts and
    /// options make the same file on the same machine.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// The type of the student's matrices in the file: F32, F16 or BF16. Defaults to F16. Vectors are F32.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.settings.dtype = dtype;
        self
    }

    /// Where both models run. Defaults to [`Device::Cpu`].
    pub fn device(mut self, device: Device) -> Self {
        self.settings.device = device;
        self
    }

    /// A file to go on from if the run ends early. A run that finds it goes on as if it had never stopped; one that
    /// finishes removes it. It takes 12 bytes for each of the student's numbers. Defaults to none.
    pub fn checkpoint(mut self, path: impl Into<PathBuf>) -> Self {
        self.checkpoint = Some(path.into());
        self
    }

    /// Trains a student on `texts` and writes it as a GGUF file at `target`.
    ///
    /// Each text stands for itself; put the token that ends a text at its end, as the model writes it, if the student is to
    /// learn where to end. `target` always holds the student that did best on the held-out texts so far (the untrained one to
    /// begin with), or, if nothing is held out, the last one. `on_progress` is called after each step; when it breaks, the
    /// checkpoint is saved and the run ends early. Blocks until it is done; threads are those of the tensor library
    /// (`RAYON_NUM_THREADS`).
    ///
    /// # Errors
    /// [`Error::Option`] for options out of range and students larger than the teacher, [`Error::Metadata`] if teacher and
    /// student have different tokens or the checkpoint is of another run, [`Error::Tensor`] for a student with tensors
    /// that cannot be trained, [`Error::Empty`] if no text has two tokens, [`Error::Diverged`] if the loss is not a number
    /// any more, [`Error::Io`] from the file system, and whatever is wrong with the models.
    pub fn run(
        self,
        texts: impl IntoIterator<Item = impl AsRef<str>>,
        target: impl AsRef<Path>,
        on_progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Distilled> {
        self.settings.check()?;
        let teacher = Config::new(self.teacher)?;
        let origin = self.student.unwrap_or(self.teacher);
        let mut size = self.settings.size;
        if self.student.is_none() {
            size.layers = size.layers.or(Some(teacher.layers.div_ceil(2)));
        }
        let blueprint = Blueprint::new(origin, size)?;
        check_pair(&teacher, &blueprint.config)?;
        check_tokens(self.teacher.metadata(), origin.metadata())?;
        let tokenizer = Tokenizer::new(self.teacher.metadata(), teacher.vocabulary)?;
        let window = self.settings.window.min(teacher.context).min(blueprint.config.context);
        let Settings { held_out, seed, .. } = self.settings;
        let corpus = Corpus::new(texts, &tokenizer, window, held_out, seed)?;
        let checkpoint = self.checkpoint_file(origin, &corpus)?;
        let device = self.settings.device.open()?;
        let training = Training::new(&self.settings, self.teacher, &blueprint, &corpus, device)?;
        let export =
            Export::new(target.as_ref(), blueprint.metadata(self.settings.dtype), self.settings.dtype);
        training.run(&export, checkpoint.as_ref(), on_progress)
    }

    #[cfg(test)]
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn checkpoint_file(&self, origin: &dyn TensorSource, corpus: &Corpus) -> Result<Option<Checkpoint>> {
        let Some(path) = &self.checkpoint else { return Ok(None) };
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{:?}", self.settings).as_bytes());
        corpus.fingerprint(&mut hasher);
        for source in [self.teacher, origin] {
            for tensor in source.tensors() {
                hasher.update(tensor.name.as_bytes()).update(&source.read(tensor)?);
            }
        }
        Ok(Some(Checkpoint::new(path.clone(), hasher.finalize().to_hex().to_string())))
    }
}

impl fmt::Debug for Distillation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distillation")
            .field("settings", &self.settings)
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}

impl Settings {
    fn check(&self) -> Result<()> {
        let at_least = |option, value: usize, least: usize, expected| match value < least {
            true => Err(Error::Option { option, value: value.to_string(), expected }),
            false => Ok(()),
        };
        at_least("steps", self.steps, 1, "at least 1")?;
        at_least("window", self.window, 2, "at least 2 tokens")?;
        at_least("batch_tokens", self.batch_tokens, 1, "at least 1 token")?;
        at_least("accumulate", self.accumulate, 1, "at least 1 batch")?;
        at_least("measure_every", self.measure_every, 1, "at least 1 step")?;
        let within = |option, value: f64, sound: bool, expected| match sound {
            true => Ok(()),
            false => Err(Error::Option { option, value: value.to_string(), expected }),
        };
        let (rate, temperature) = (self.learning_rate, self.temperature);
        within("learning_rate", rate, rate > 0.0 && rate <= 1.0, "above 0, at most 1")?;
        within(
            "temperature",
            temperature,
            temperature > 0.0 && temperature <= 100.0,
            "above 0, at most 100",
        )?;
        within("warm_up", self.warm_up, (0.0..=0.5).contains(&self.warm_up), "0 to 0.5")?;
        within("held_out", self.held_out, (0.0..=0.5).contains(&self.held_out), "0 to 0.5")?;
        self.check_objective()?;
        self.check_dtype()
    }

    fn check_objective(&self) -> Result<()> {
        if self.objective.is_sound() {
            return Ok(());
        }
        let value = format!("{:?}", self.objective);
        Err(Error::Option { option: "objective", value, expected: "weights of 0 or more, not all of them 0" })
    }

    fn check_dtype(&self) -> Result<()> {
        match self.dtype {
            DType::F32 | DType::F16 | DType::BF16 => Ok(()),
            other => Err(Error::Option {
                option: "dtype",
                value: other.to_string(),
                expected: "F32, F16 or BF16; quantize the student afterwards",
            }),
        }
    }

    pub(super) fn schedule(&self) -> Schedule {
        Schedule { steps: self.steps, learning_rate: self.learning_rate, warm_up: self.warm_up }
    }
}

/// That every layer of the student has a counterpart, and every token.
fn check_pair(teacher: &Config, student: &Config) -> Result<()> {
    if student.layers > teacher.layers {
        return Err(Error::Option {
            option: "student",
            value: format!("a model of {} layers", student.layers),
            expected: "one with no more layers than the teacher",
        });
    }
    if student.vocabulary != teacher.vocabulary {
        let problem = format!(
            "has {} entries for the student and {} for the teacher",
            student.vocabulary, teacher.vocabulary
        );
        return Err(Error::metadata(TOKENS_KEY, problem));
    }
    Ok(())
}

/// That a token means the same to both, as far as both say what it means.
fn check_tokens(teacher: &Metadata, student: &Metadata) -> Result<()> {
    let tokens = |metadata: &'_ Metadata| -> Result<Option<Vec<String>>> {
        Ok(metadata.array(TOKENS_KEY)?.and_then(|tokens| tokens.as_strings().map(<[String]>::to_vec)))
    };
    let (Some(teacher), Some(student)) = (tokens(teacher)?, tokens(student)?) else { return Ok(()) };
    match teacher.iter().zip(&student).position(|(teacher, student)| teacher != student) {
        None => Ok(()),
        Some(at) => Err(Error::metadata(
            TOKENS_KEY,
            format!(
                "has {:?} at {at} for the student and {:?} for the teacher; both must have the same tokens",
                student[at], teacher[at]
            ),
        )),
    }
}
