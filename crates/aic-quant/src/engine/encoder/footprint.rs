use super::BATCH_TOKENS;
use super::config::Config;
use crate::engine::Footprint;
use crate::engine::decoder::cores;
use crate::engine::needs::THREAD_BYTES;
use crate::kernels::Packed;
use crate::{ModelOptions, Result, TensorInfo, TensorSource, tokenizer};

/// Tables of which rows are added up while loading: they are held as plain numbers, or not at all.
const PLAIN: [&str; 2] = ["position_embd.weight", "token_types.weight"];

/// The memory an encoder needs: its weights, and the intermediate results of one batch.
pub(super) fn estimate(
    source: &dyn TensorSource,
    config: &Config,
    options: &ModelOptions,
) -> Result<Footprint> {
    let weights = source.tensors().iter().map(held_bytes);
    let threads = options.threads.unwrap_or_else(cores) as u64;
    let tokens = BATCH_TOKENS.max(config.context) as u64;
    let batch = tokens.saturating_mul(token_bytes(config));
    let beside = tokenizer::bytes(source.metadata(), config.vocabulary)?;
    Ok(Footprint {
        weights_bytes: weights.fold(0, u64::saturating_add),
        cache_bytes: 0,
        working_bytes: [threads.saturating_mul(THREAD_BYTES), beside]
            .into_iter()
            .fold(batch, u64::saturating_add),
    })
}

fn held_bytes(tensor: &TensorInfo) -> u64 {
    let plain = tensor.elements().saturating_mul(4);
    if tensor.shape.len() < 2 || PLAIN.contains(&tensor.name.as_str()) {
        return plain;
    }
    Packed::bytes_of(tensor.dtype, tensor.rows(), tensor.row_length()).unwrap_or(plain)
}

/// What a batch holds of one token.
fn token_bytes(config: &Config) -> u64 {
    // The state, query, key and value, what they look up and what that becomes; beside the state, what is wide.
    let numbers = (7 * config.hidden).max(2 * config.hidden + config.feed_forward);
    // The input of a product is held in 8 bits beside itself; the longest is that of the network.
    let codes = config.feed_forward.max(config.hidden) * 3 / 2;
    (4 * numbers + codes) as u64
}
