use super::config::Config;
use super::decoder::cores;
use super::encoder;
use super::options::ModelOptions;
use crate::kernels::{KvStore, LayerShape, PAGE, Packed};
use crate::recipe::choose;
use crate::{DType, Device, Result, TensorInfo, TensorSource};

/// Bytes of a matrix in plain numbers that a task of attention works on, and what a thread has beside.
pub(super) const THREAD_BYTES: u64 = 512 << 10;

/// An estimate of the memory a model needs, in bytes, once its cache is full.
///
/// Made from the header alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// The weights as they are held.
    pub weights_bytes: u64,
    /// Keys and values of as many tokens as the cache holds.
    pub cache_bytes: u64,
    /// Intermediate results of one pass.
    pub working_bytes: u64,
}

impl Footprint {
    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        let parts = [self.weights_bytes, self.cache_bytes, self.working_bytes];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

/// Estimates the memory `source` needs when loaded with `options`.
///
/// On the processor every part is counted as it is laid out. On a GPU plain floats are held as 32-bit numbers, and so are keys
/// and values. An encoder, which an [`Embedder`](super::Embedder) runs, keeps none.
///
/// # Errors
/// [`Error::Metadata`](crate::Error::Metadata) and its like if the source is not a model this crate runs.
pub fn footprint(source: &dyn TensorSource, options: &ModelOptions) -> Result<Footprint> {
    if let Some(footprint) = encoder::estimate(source, options)? {
        return Ok(footprint);
    }
    estimate(source, &Config::new(source)?, options)
}

pub(super) fn estimate(
    source: &dyn TensorSource,
    config: &Config,
    options: &ModelOptions,
) -> Result<Footprint> {
    let weights = source.tensors().iter().map(|tensor| held_bytes(tensor, options));
    Ok(Footprint {
        weights_bytes: weights.fold(0, u64::saturating_add),
        cache_bytes: cache_bytes(config, options)?,
        working_bytes: working_bytes(config, options),
    })
}

/// The type a tensor of the model is held in.
pub(super) fn held(tensor: &TensorInfo, dtype: Option<DType>) -> DType {
    dtype.map_or(tensor.dtype, |wanted| choose(tensor, wanted).dtype)
}

/// Bytes of a tensor as it is held.
pub(super) fn held_bytes(tensor: &TensorInfo, options: &ModelOptions) -> u64 {
    let held = held(tensor, options.dtype);
    let full = tensor.elements().saturating_mul(4);
    if tensor.shape.len() < 2 {
        return full;
    }
    match options.device {
        Device::Cpu => Packed::bytes_of(held, tensor.rows(), tensor.row_length()).unwrap_or(full),
        _ if held.is_quantized() => held.bytes_of(&tensor.shape).unwrap_or(u64::MAX),
        _ => full,
    }
}

fn cache_bytes(config: &Config, options: &ModelOptions) -> Result<u64> {
    let positions = options.positions(config) as u64;
    if options.device != Device::Cpu {
        let position = (2 * 4 * config.layers as u64).saturating_mul(config.kv_size() as u64);
        return Ok(position.saturating_mul(positions));
    }
    let shape =
        LayerShape { kv_heads: config.kv_heads, key_size: config.head_size, value_size: config.head_size };
    let [keys, values] = options.cache_types;
    let page_bytes = KvStore::new(&vec![shape; config.layers], keys, values, 0)?.bytes_per_page();
    Ok(positions.div_ceil(PAGE as u64).saturating_mul(page_bytes))
}

/// Intermediate results of a pass of as many tokens as there may be in one, the logits of as many answers as there may be, and what
/// threads have beside.
fn working_bytes(config: &Config, options: &ModelOptions) -> u64 {
    let tokens = options.serving.step_tokens.min(options.positions(config)) as u64;
    let threads = options.threads.unwrap_or_else(cores) as u64;
    let answers = options.serving.running.min(options.serving.step_tokens) as u64;
    let pass = tokens.saturating_mul(token_bytes(config));
    pass.saturating_add(logits_bytes(config, answers)).saturating_add(threads.saturating_mul(THREAD_BYTES))
}

/// What a pass holds of one token.
fn token_bytes(config: &Config) -> u64 {
    // The hidden state, that normed, and what is added to it; queries and what they look up; both halves of the network; angles.
    let row = 3 * config.hidden
        + 2 * (config.query_size() + config.kv_size())
        + 2 * config.feed_forward
        + config.rope_size;
    // The input of a product is held in 8 bits beside itself; the longest is that of the network.
    let codes = config.feed_forward.max(config.hidden) * 3 / 2;
    (4 * row + codes) as u64
}

/// Logits come together for all answers and are cut into those of each; choosing a token from them takes three times as much for
/// one answer after the other.
fn logits_bytes(config: &Config, answers: u64) -> u64 {
    let vectors = answers.saturating_mul(2).max(answers.saturating_add(3));
    vectors.saturating_mul(4 * config.vocabulary as u64)
}
