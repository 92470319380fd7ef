use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::config::Config;
use super::constraint::{Grammar, Grammars};
use super::decoder::Decoder;
use super::footprint::estimate;
use super::held::held;
use super::options::check_context;
use super::reading::Reading;
use super::runner::{Runner, Stepper};
use super::{GenerateOptions, Generation, ModelInfo, ModelOptions, Observer, Score};
use crate::chat::{ChatTemplate, Message};
use crate::gguf::Bytes;
use crate::serve::Worker;
use crate::tokenizer::Tokenizer;
use crate::{CacheType, DType, Error, InstructionSet, Result, ServeOptions, ServeStatistics, TensorSource};

/// Positions whose logits are held at once; with a large vocabulary they are most of the memory.
const ROWS: usize = 32;

/// A language model in memory.
///
/// Cloning is cheap and shares the weights. Answers that are made at the same time, for any threads, share every pass through
/// the model; those whose prompts begin alike share what was computed for it. [`generate`](Self::generate) and its like return
/// at once, and the answer comes piece by piece; all other methods block until they are done: in async code, call them on a
/// blocking thread.
///
/// ```no_run
/// use aic_quant::{GenerateOptions, Message, Model};
///
/// let model = Model::open("model.gguf")?;
/// let question = Message::user("Why is the sky blue?");
/// for piece in model.generate(&[question], &GenerateOptions::default())? {
///     print!("{}", piece?.text);
/// }
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    max_context: usize,
    /// Tokens of all conversations together.
    positions: usize,
    /// Of keys and of values.
    cache_types: [CacheType; 2],
    worker: Worker,
}

/// What a model has in common with those that are [resized](Model::resized) from it.
struct Shared {
    config: Config,
    decoder: Decoder,
    /// The longest context the decoder was loaded for.
    decoder_context: usize,
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    /// The vocabulary for constraints, arranged when the first is asked for.
    grammars: OnceLock<Grammars>,
    info: ModelInfo,
    serving: ServeOptions,
}

impl Model {
    /// Loads the GGUF file, or the Hugging Face folder, at `path` with the default options.
    ///
    /// # Errors
    /// As [`ModelOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Loads a GGUF file held in memory, for example one linked into the program, with the default options.
    ///
    /// # Errors
    /// As [`ModelOptions::open`].
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        Self::options().from_bytes(bytes)
    }

    /// Options to load a model with.
    pub fn options() -> ModelOptions {
        ModelOptions::new()
    }

    pub(super) fn load(source: &dyn TensorSource, options: &ModelOptions) -> Result<Self> {
        let started = Instant::now();
        let config = Config::new(source)?;
        let max_context = options.context(&config);
        let needs = estimate(source, &config, options)?;
        needs.check(options)?;
        let tokenizer = Arc::new(Tokenizer::new(source.metadata(), config.vocabulary)?);
        let template = ChatTemplate::new(source.metadata())?;
        let info = ModelInfo::new(source, &config, options, &needs, &held_types(source, options.dtype))?;
        let decoder_context = max_context.max(options.growing_to.min(config.context));
        let decoder = Decoder::load(source, &config, options, decoder_context, needs.device_layers)?;
        tracing::info!(
            name = info.name.as_deref(),
            dtype = %info.dtype,
            layers = info.layers,
            device_layers = info.device_layers,
            resident_bytes = info.resident_bytes,
            seconds = started.elapsed().as_secs_f64(),
            "loaded model"
        );
        let (positions, grammars, serving) = (options.positions(&config), OnceLock::new(), options.serving);
        let shared =
            Shared { config, decoder, decoder_context, tokenizer, template, grammars, info, serving };
        Self::start_worker(Arc::new(shared), max_context, positions, options.cache_types)
    }

    fn start_worker(
        shared: Arc<Shared>,
        max_context: usize,
        positions: usize,
        cache_types: [CacheType; 2],
    ) -> Result<Self> {
        let runner = Box::new(Stepper(shared.decoder.runner(positions, cache_types)?));
        let core = shared.decoder.core();
        let worker = Worker::start(runner, shared.tokenizer.clone(), max_context, shared.serving, core)?;
        Ok(Self(Arc::new(Inner { shared, max_context, positions, cache_types, worker })))
    }

    /// The same model with another context, never more than it was made for, and another way to keep keys and values.
    ///
    /// The two share the weights and the threads that compute, and nothing is read again; each has its own keys and values, its own
    /// queue and its own [`statistics`](Self::statistics). Drop this one to have its memory back. The room for
    /// [all conversations](ModelOptions::cache_tokens) stays in proportion to the context. Nobody is asked whether there is
    /// memory: it is used as the cache fills.
    ///
    /// A model whose rotation has factors for short and for long contexts (LongRoPE: Phi 3) keeps those it was loaded with.
    /// Long ones serve short contexts, too; short ones nothing beyond the context they were made for.
    ///
    /// ```no_run
    /// use aic_quant::{CacheType, Model};
    ///
    /// let model = Model::options().max_context(8192).open("model.gguf")?;
    /// let model = model.resized(2048, CacheType::Q8_0)?; // an eighth of the memory for conversations, about
    /// # Ok::<(), aic_quant::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for a context below 2 or beyond the rotation it was loaded with, or a cache type that does not suit
    /// the heads, [`Error::Io`] if the system has not that much memory; [`Error::Unsupported`] where candle computes and has a
    /// window shorter than the context.
    pub fn resized(&self, max_context: usize, cache_type: CacheType) -> Result<Self> {
        check_context(max_context)?;
        let shared = &self.0.shared;
        let max_context = max_context.min(shared.config.context);
        shared.decoder.check_context(&shared.config, max_context, shared.decoder_context)?;
        let positions = self.0.positions as u128 * max_context as u128 / self.0.max_context.max(1) as u128;
        let positions = usize::try_from(positions).unwrap_or(usize::MAX).max(max_context);
        Self::start_worker(shared.clone(), max_context, positions, [cache_type; 2])
    }

    /// What is known about the model.
    pub fn info(&self) -> &ModelInfo {
        &self.0.shared.info
    }

    /// Most tokens of prompt and answer together.
    pub fn max_context(&self) -> usize {
        self.0.max_context
    }

    /// Threads that compute; 1 where another device does all of it.
    pub fn threads(&self) -> usize {
        self.0.shared.decoder.threads()
    }

    /// The instructions that compute; `None` where another device does all of it.
    pub fn instructions(&self) -> Option<InstructionSet> {
        self.0.shared.decoder.instructions()
    }

    /// The tokens of `text`, with the beginning-of-text token if the model wants one.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>> {
        self.0.shared.tokenizer.encode(text)
    }

    /// Starts the answer to `messages`, as the model's chat template puts them.
    ///
    /// A last message of the assistant is continued. If the template refuses a system message, its text moves to the start of
    /// the first user's. A model without a template gets that of its family, if its tokens tell, otherwise one line for each
    /// message, `user: …`, and a final `assistant:`. Control tokens written out in a message, such as `<|im_end|>`, act as
    /// such. Work on it begins at once.
    ///
    /// # Errors
    /// [`Error::Empty`] without messages, [`Error::PromptTooLong`], [`Error::Option`], [`Error::Template`],
    /// [`Error::TemplateRefused`] with the template's reason.
    pub fn generate(&self, messages: &[Message], options: &GenerateOptions) -> Result<Generation> {
        if messages.is_empty() {
            return Err(Error::Empty { what: "conversation" });
        }
        let special = self.0.shared.tokenizer.special();
        let prompt = self.0.shared.template.render(messages, special.bos_text(), special.eos_text())?;
        self.complete(&prompt, options)
    }

    /// Starts the continuation of `prompt`, without a template.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn complete(&self, prompt: &str, options: &GenerateOptions) -> Result<Generation> {
        options.check()?;
        let tokens = self.tokens(prompt, "prompt", self.0.max_context - 1)?;
        self.start(tokens, options)
    }

    /// Starts the continuation of `tokens`.
    ///
    /// # Errors
    /// As [`generate`](Self::generate); [`Error::Option`] for a token beyond the vocabulary.
    pub fn complete_tokens(&self, tokens: &[u32], options: &GenerateOptions) -> Result<Generation> {
        options.check()?;
        self.check_tokens(tokens)?;
        match tokens.len() {
            0 => Err(Error::Empty { what: "prompt" }),
            count if count >= self.0.max_context => {
                Err(Error::PromptTooLong { tokens: count, limit: self.0.max_context - 1 })
            }
            _ => self.start(tokens.to_vec(), options),
        }
    }

    fn start(&self, prompt: Vec<u32>, options: &GenerateOptions) -> Result<Generation> {
        // A time beyond all clocks is none.
        let start_by = options.max_wait.and_then(|wait| Instant::now().checked_add(wait));
        let length = prompt.len();
        let answer = self.0.worker.submit(prompt, options, self.grammar(options)?, start_by)?;
        Ok(Generation::new(self.clone(), answer, length))
    }

    /// What answering has come to since the model was loaded.
    pub fn statistics(&self) -> ServeStatistics {
        self.0.worker.statistics()
    }

    /// A vector for `text`: the mean of its tokens' last hidden states, scaled to length 1.
    ///
    /// # Errors
    /// [`Error::Empty`] for an empty text, [`Error::PromptTooLong`].
    pub fn embed(&self, text: &str) -> Result<Vec<f32>> {
        let tokens = self.tokens(text, "text", self.0.max_context)?;
        let mut reading = self.reading(&tokens)?;
        let mut sum = vec![0.0_f64; self.0.shared.info.hidden];
        while reading.advance(&mut ())? {
            for state in reading.states()?.chunks_exact(sum.len()) {
                sum.iter_mut().zip(state).for_each(|(sum, x)| *sum += f64::from(*x));
            }
        }
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        Ok(sum.iter().map(|x| (x / length) as f32).collect())
    }

    /// Runs `tokens` from an empty context and calls `visit` with each position and the logits of the token after it.
    ///
    /// Logits have one number for each token of the vocabulary. They come in order, in small groups, and are not kept.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`] for more tokens than the context holds, [`Error::Option`] for one beyond the vocabulary, and
    /// whatever `visit` fails with, which ends the run.
    pub fn predict(&self, tokens: &[u32], mut visit: impl FnMut(usize, &[f32]) -> Result<()>) -> Result<()> {
        self.check_tokens(tokens)?;
        let mut reading = self.reading(tokens)?;
        while reading.advance(&mut ())? {
            for start in (0..reading.rows().len()).step_by(ROWS) {
                let end = reading.rows().len().min(start + ROWS);
                for (row, logits) in (start..end).zip(reading.logits(start..end)?) {
                    visit(reading.rows().start + row, &logits)?;
                }
            }
        }
        Ok(())
    }

    /// How well the model predicts `text`: the negative log likelihood of its tokens.
    ///
    /// A text longer than the context is cut into windows that know nothing of each other; the first token of each is not
    /// counted, because nothing predicts it.
    ///
    /// # Errors
    /// [`Error::Empty`] if no token can be predicted.
    pub fn score(&self, text: &str) -> Result<Score> {
        Score::new(self, text)
    }

    /// The perplexity of `text`: e to the mean negative log likelihood. See [`score`](Self::score).
    ///
    /// # Errors
    /// As [`score`](Self::score).
    pub fn perplexity(&self, text: &str) -> Result<f64> {
        Ok(self.score(text)?.perplexity())
    }

    /// Runs `tokens` from an empty context under the eyes of `observer`; computes no logits.
    pub(crate) fn observe(&self, tokens: &[u32], observer: &mut dyn Observer) -> Result<()> {
        self.check_tokens(tokens)?;
        let mut reading = self.reading(tokens)?;
        while reading.advance(observer)? {}
        Ok(())
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.0.shared.tokenizer
    }

    /// Something to run sequences with that have `positions` together.
    pub(super) fn runner(&self, positions: usize) -> Result<Box<dyn Runner>> {
        self.0.shared.decoder.runner(positions, self.0.cache_types)
    }

    /// Begins to follow the constraint of `options`, if there is one.
    fn grammar(&self, options: &GenerateOptions) -> Result<Option<Grammar>> {
        let Some(constraint) = &options.constraint else { return Ok(None) };
        if self.0.shared.grammars.get().is_none() {
            // Of several that come first at once, one is kept.
            let _ = self
                .0
                .shared
                .grammars
                .set(Grammars::new(&self.0.shared.tokenizer, self.0.shared.info.vocabulary)?);
        }
        let grammars = self.0.shared.grammars.get().expect("just set");
        grammars.start(constraint).map(Some)
    }

    fn reading<'a>(&self, tokens: &'a [u32]) -> Result<Reading<'a>> {
        Ok(Reading::new(self.runner(tokens.len())?, tokens))
    }

    fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        if tokens.len() > self.0.max_context {
            return Err(Error::PromptTooLong { tokens: tokens.len(), limit: self.0.max_context });
        }
        match tokens.iter().find(|token| **token as usize >= self.0.shared.info.vocabulary) {
            None => Ok(()),
            Some(token) => Err(Error::Option {
                option: "tokens",
                value: token.to_string(),
                expected: "tokens of the model's vocabulary",
            }),
        }
    }

    fn tokens(&self, text: &str, what: &'static str, limit: usize) -> Result<Vec<u32>> {
        let tokens = self.tokenize(text)?;
        match tokens.len() {
            0 => Err(Error::Empty { what }),
            count if count > limit => Err(Error::PromptTooLong { tokens: count, limit }),
            _ => Ok(tokens),
        }
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("info", &self.0.shared.info)
            .field("max_context", &self.0.max_context)
            .finish_non_exhaustive()
    }
}

/// Numbers held in each type.
fn held_types(source: &dyn TensorSource, dtype: Option<DType>) -> Vec<(DType, u64)> {
    let mut types: Vec<(DType, u64)> = Vec::new();
    for tensor in source.tensors() {
        let held = held(tensor, dtype);
        match types.iter_mut().find(|(known, _)| *known == held) {
            Some((_, elements)) => *elements += tensor.elements(),
            None => types.push((held, tensor.elements())),
        }
    }
    types
}
