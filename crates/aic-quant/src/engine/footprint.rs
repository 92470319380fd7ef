use super::candle::multiplies;
use super::config::Config;
use super::reading::CHUNK;
use crate::recipe::choose;
use crate::{DType, Device, Result, TensorInfo, TensorSource};

/// An estimate of the memory a model needs, in bytes.
///
/// Made from the header alone. Meant to err on the high side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// The weights as they are held.
    pub weights_bytes: u64,
    /// Copies the kernels pack for speed and keep beside the weights.
    pub packed_bytes: u64,
    /// Keys and values of one generation that fills the context.
    pub cache_bytes: u64,
    /// Intermediate results of one step, or the largest tensor while it is loaded.
    pub working_bytes: u64,
}

impl Footprint {
    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        let parts = [self.weights_bytes, self.packed_bytes, self.cache_bytes, self.working_bytes];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

/// Estimates the memory `source` needs on `device` when loaded with `dtype` and used with `context` tokens.
///
/// Weights: the sum over tensors, plain floats held as f32. Cache: 2 · layers · kv_heads · head_size · context · 4
/// bytes. Packed copies: factors measured with candle 0.11.1 on x86-64.
///
/// # Errors
/// [`Error::Metadata`](crate::Error::Metadata) and its like if the source is not a model this crate runs.
pub fn footprint(
    source: &dyn TensorSource,
    dtype: Option<DType>,
    device: Device,
    context: usize,
) -> Result<Footprint> {
    Ok(estimate(source, &Config::new(source)?, dtype, device, context))
}

pub(super) fn estimate(
    source: &dyn TensorSource,
    config: &Config,
    dtype: Option<DType>,
    device: Device,
    context: usize,
) -> Footprint {
    let context = context.min(config.context) as u64;
    let mut sum = Footprint::default();
    for tensor in source.tensors() {
        let held = held(tensor, dtype);
        let bytes = held_bytes(tensor, held);
        sum.weights_bytes = sum.weights_bytes.saturating_add(bytes);
        sum.packed_bytes = sum.packed_bytes.saturating_add((bytes as f64 * packing(held, device)) as u64);
        // A tensor on its way in: its bytes, its numbers, its new bytes and the library's copy of them.
        let loading =
            tensor.bytes.saturating_add(tensor.elements().saturating_mul(4)).saturating_add(2 * bytes);
        sum.working_bytes = sum.working_bytes.max(loading);
    }
    sum.cache_bytes =
        (2 * 4 * config.layers as u64).saturating_mul(config.kv_size() as u64).saturating_mul(context);
    sum.working_bytes = sum.working_bytes.max(step_bytes(config, context));
    sum
}

/// The type a tensor of the model is held in.
pub(super) fn held(tensor: &TensorInfo, dtype: Option<DType>) -> DType {
    dtype.map_or(tensor.dtype, |wanted| choose(tensor, wanted).dtype)
}

fn held_bytes(tensor: &TensorInfo, held: DType) -> u64 {
    let stored = if multiplies(held, tensor.row_length()) { held } else { DType::F32 };
    stored.bytes_of(&tensor.shape).unwrap_or(u64::MAX)
}

/// Bytes of packed copies for each byte of weights.
///
/// Measured on x86-64 with AVX-512 VNNI: Q4_K 36 MiB grow to 169 (a copy for single tokens, another for prompts), Q6_K 52
/// to 132, Q8_0 68 to 136. Other types and devices have no packed path.
fn packing(dtype: DType, device: Device) -> f64 {
    if device != Device::Cpu || !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return 0.0;
    }
    match dtype {
        DType::Q4_K => 3.7,
        DType::Q6_K => 1.54,
        DType::Q8_0 => 1.0,
        _ => 0.0,
    }
}

/// Intermediate results while one chunk goes through one layer, and the logits.
fn step_bytes(config: &Config, context: u64) -> u64 {
    let tokens = context.min(CHUNK as u64);
    let row = 6 * config.hidden + 3 * config.feed_forward + 2 * config.query_size();
    let attention = (2 * config.heads as u64).saturating_mul(context);
    let floats = tokens
        .saturating_mul(attention.saturating_add(row as u64))
        .saturating_add(4 * config.vocabulary as u64);
    floats.saturating_mul(4)
}
