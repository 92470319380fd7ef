//! Vectors for texts.
mod config;
mod footprint;
mod network;
#[cfg(test)]
mod tests;
mod weights;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use self::config::Config;
use self::network::Network;
use self::weights::Weights;
use super::decoder::cores;
use super::{Footprint, Model};
use crate::gguf::{Bytes, File};
use crate::kernels::Pool;
use crate::memory::fits;
use crate::tokenizer::Tokenizer;
use crate::{Device, Error, ModelOptions, Result, TensorSource};

/// Tokens that go through the layers at once; bounds the memory of intermediate results.
const BATCH_TOKENS: usize = 2048;

/// A model that turns texts into vectors: an encoder of the BERT family (MiniLM, BGE, E5 …), or any model that
/// [`Model`] runs.
///
/// An encoder's vector is the mean of its tokens' last states, or the first or last of them, as the model file says
/// (`bert.pooling_type`, or `1_Pooling/config.json` of a folder). Cloning is cheap and shares the weights; several threads may
/// embed at once. All methods block until they are done.
///
/// ```no_run
/// let embedder = aic_quant::Embedder::open("all-MiniLM-L6-v2.gguf")?;
/// let vectors = embedder.embed(&["a cat sat on the mat", "the mat was sat on by a cat"])?;
/// let similarity: f32 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum();
/// println!("{similarity}");
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Clone)]
pub struct Embedder(Kind);

#[derive(Clone)]
enum Kind {
    Encoder(Arc<Encoder>),
    Decoder(Model),
}

struct Encoder {
    network: Network,
    pool: Pool,
    tokenizer: Tokenizer,
}

impl Embedder {
    /// Loads the GGUF file, or the Hugging Face folder, at `path` with the default options.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::load(crate::open(path)?.as_ref(), &ModelOptions::new())
    }

    /// Loads a GGUF file held in memory with the default options.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self> {
        Self::load(&File::from_bytes(bytes)?, &ModelOptions::new())
    }

    /// Loads a model from any source of tensors.
    ///
    /// For an encoder [`threads`](ModelOptions::threads), [`affinity`](ModelOptions::affinity),
    /// [`instructions`](ModelOptions::instructions) and who is asked whether
    /// it fits ([`memory`](ModelOptions::memory)) count. It runs on the processor only, its weights stay in the types of the
    /// file, and it reads texts as long as it was made for; it keeps no keys and values, and answers nobody. For any other
    /// model all options count.
    ///
    /// ```no_run
    /// use aic_quant::{Embedder, ModelOptions};
    ///
    /// let source = aic_quant::open("all-MiniLM-L6-v2.gguf")?;
    /// let embedder = Embedder::load(&*source, &ModelOptions::new().threads(2))?;
    /// # Ok::<(), aic_quant::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`ModelOptions::open`]; [`Error::Device`] for an encoder that is to run elsewhere than on the processor.
    pub fn load(source: &dyn TensorSource, options: &ModelOptions) -> Result<Self> {
        if Config::describes(source)? {
            return Ok(Self(Kind::Encoder(Arc::new(Encoder::load(source, options)?))));
        }
        Ok(options.clone().load(source)?.into())
    }

    /// How many numbers a vector has.
    pub fn dimensions(&self) -> usize {
        match &self.0 {
            Kind::Encoder(encoder) => encoder.network.config.hidden,
            Kind::Decoder(model) => model.info().hidden,
        }
    }

    /// Most tokens of a text.
    pub fn max_tokens(&self) -> usize {
        match &self.0 {
            Kind::Encoder(encoder) => encoder.network.config.context,
            Kind::Decoder(model) => model.max_context(),
        }
    }

    /// The tokens of `text`, those that the model wants around a text included.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>> {
        match &self.0 {
            Kind::Encoder(encoder) => encoder.tokenizer.encode(text),
            Kind::Decoder(model) => model.tokenize(text),
        }
    }

    /// A vector of length 1 for each of `texts`, in order. A text's vector does not depend on the other texts.
    ///
    /// # Errors
    /// [`Error::Empty`] for a text without tokens, [`Error::PromptTooLong`] for one with more than
    /// [`max_tokens`](Self::max_tokens): nothing is cut off silently.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        match &self.0 {
            Kind::Encoder(encoder) => encoder.embed(texts),
            Kind::Decoder(model) => texts.iter().map(|text| model.embed(text)).collect(),
        }
    }
}

/// Makes vectors with a model that is loaded already: the mean of its last states.
impl From<Model> for Embedder {
    fn from(model: Model) -> Self {
        Self(Kind::Decoder(model))
    }
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedder")
            .field("dimensions", &self.dimensions())
            .field("max_tokens", &self.max_tokens())
            .finish_non_exhaustive()
    }
}

impl Encoder {
    fn load(source: &dyn TensorSource, options: &ModelOptions) -> Result<Self> {
        let config = Config::new(source)?;
        if options.device != Device::Cpu {
            return Err(options.device.unavailable("encoders run on the processor; use cpu"));
        }
        if let Some(memory) = &options.memory {
            let needed = footprint::estimate(source, &config, options)?.total_bytes();
            fits(memory.as_ref(), Device::Cpu, needed)?;
        }
        let tokenizer = Tokenizer::new(source.metadata(), config.vocabulary)?;
        let threads = options.threads.unwrap_or_else(cores);
        let pool = Pool::on_cores(threads, &options.affinity.cores(threads))?;
        let weights = Weights { source, pool: &pool, instructions: options.instructions.available_or_less() };
        Ok(Self { network: Network::load(&weights, config)?, pool, tokenizer })
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let texts = texts.iter().map(|text| self.tokens(text)).collect::<Result<Vec<_>>>()?;
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        Ok(batches(&texts).flat_map(|batch| pooled(&self.network, &self.pool, batch)).collect())
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let (tokens, limit) = (self.tokenizer.encode(text)?, self.network.config.context);
        match tokens.len() {
            0 => Err(Error::Empty { what: "text" }),
            tokens if tokens > limit => Err(Error::PromptTooLong { tokens, limit }),
            _ => Ok(tokens),
        }
    }
}

/// The layers of `source` and the memory it needs, if it is an encoder.
pub(super) fn estimate(
    source: &dyn TensorSource,
    options: &ModelOptions,
) -> Result<Option<(usize, Footprint)>> {
    if !Config::describes(source)? {
        return Ok(None);
    }
    let config = Config::new(source)?;
    Ok(Some((config.layers, footprint::estimate(source, &config, options)?)))
}

/// Cuts `texts` into runs of no more than [`BATCH_TOKENS`] tokens, or of a single text.
fn batches<'a>(mut texts: &'a [&'a [u32]]) -> impl Iterator<Item = &'a [&'a [u32]]> {
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let fits = |text: &&&[u32]| {
            tokens += text.len();
            tokens <= BATCH_TOKENS
        };
        let count = texts.iter().take_while(fits).count().max(1).min(texts.len());
        let (batch, rest) = texts.split_at(count);
        texts = rest;
        (count > 0).then_some(batch)
    })
}

/// The vectors of some texts' tokens.
fn pooled(network: &Network, pool: &Pool, texts: &[&[u32]]) -> Vec<Vec<f32>> {
    let config = &network.config;
    let states = network.states(pool, texts);
    let mut rest = states.as_slice();
    let mut vector = |tokens: &&[u32]| {
        let (own, others) = rest.split_at(tokens.len() * config.hidden);
        rest = others;
        config.pooling.pool(own, config.hidden)
    };
    texts.iter().map(&mut vector).collect()
}
