//! What a model is made of, as its file says.
mod architecture;
mod keys;
mod plain;
mod rope;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use architecture::{Activation, Architecture};
pub(crate) use keys::Keys;
pub(crate) use rope::RopeKind;

use self::plain::default_scale;
use self::window::Windows;
use crate::gguf::{Array, Metadata};
use crate::{Error, Result, TensorSource};

const ARCHITECTURE_KEY: &str = "general.architecture";
/// The tensor with one row for each token.
pub(crate) const EMBEDDING: &str = "token_embd.weight";
const TOKENS_KEY: &str = "tokenizer.ggml.tokens";
/// Llama 3.1 stretches its wave lengths by these.
const FACTORS: &str = "rope_freqs.weight";
const SHORT_FACTORS: &str = "rope_factors_short.weight";
const LONG_FACTORS: &str = "rope_factors_long.weight";

/// A model's measures and its family's peculiarities, read from its metadata and tensors and checked against each other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) architecture: Architecture,
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    /// Numbers of a query, a key or a value of one head.
    pub(crate) head_size: usize,
    /// How many of them are rotated, the first ones.
    pub(crate) rope_size: usize,
    pub(crate) epsilon: f64,
    pub(crate) context: usize,
    pub(crate) vocabulary: usize,
    pub(crate) activation: Activation,
    /// What embeddings are multiplied with.
    pub(crate) embedding_scale: f32,
    /// What scores, queries times keys, are multiplied with.
    pub(crate) query_scale: f32,
    /// A score `x` becomes `cap · tanh(x / cap)`.
    pub(crate) attention_softcap: Option<f32>,
    /// A logit `x` becomes `cap · tanh(x / cap)`.
    pub(crate) logit_softcap: Option<f32>,
    /// Whether queries, keys and values come from one matrix `attn_qkv`, in this order.
    pub(crate) fused_qkv: bool,
    /// Whether gate and up come from one matrix `ffn_up`, in this order.
    pub(crate) fused_gate_up: bool,
    /// Whether the outputs of attention (`post_attention_norm`) and of the feed-forward network (`post_ffw_norm`) are normed
    /// before they are added.
    pub(crate) post_norms: bool,
    windows: Windows,
    rope: RopeKind,
    /// Of the layers with a window.
    window_rope: RopeKind,
    /// Whether rotation has factors for short and for long contexts.
    long_rope: bool,
    original_context: usize,
}

/// In what the layers of one model differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LayerKind {
    /// How many tokens a token sees, itself included; all before it if `None`.
    pub(crate) window: Option<usize>,
    pub(crate) rope: RopeKind,
}

impl Config {
    pub(crate) fn new(source: &dyn TensorSource) -> Result<Self> {
        let metadata = source.metadata();
        let architecture = Architecture::parse(architecture_name(metadata)?)?;
        let keys = Keys { metadata, architecture: architecture.name() };
        refuse_experts(&keys)?;
        let hidden = keys.size("embedding_length")?;
        let layers = layers(source, &keys)?;
        let heads = keys.size("attention.head_count")?;
        let head_size = head_size(&keys, hidden, heads)?;
        let scaled_size = if architecture.scales_by_share(layers) { hidden / heads } else { head_size };
        let [attention_softcap, logit_softcap] = architecture.softcaps();
        let context = keys.size("context_length")?;
        let rope = RopeKind::new(&keys, context)?;
        let window_rope_base = keys.positive("rope.freq_base_swa")?.or(architecture.window_rope_base());
        let has = |name: &str| source.tensors().iter().any(|tensor| tensor.name == name);
        let config = Self {
            architecture,
            layers,
            hidden,
            feed_forward: keys.size("feed_forward_length")?,
            heads,
            kv_heads: keys.optional_size("attention.head_count_kv")?.unwrap_or(heads),
            head_size,
            rope_size: keys.optional_size("rope.dimension_count")?.unwrap_or(head_size),
            epsilon: keys.positive("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
            context,
            vocabulary: vocabulary(source, &keys)?,
            activation: architecture.activation(),
            embedding_scale: if architecture.is_gemma() { (hidden as f32).sqrt() } else { 1.0 },
            query_scale: keys
                .positive_or_zero("attention.scale")?
                .map_or_else(|| default_scale(scaled_size), |scale| scale as f32),
            attention_softcap: softcap(&keys, "attn_logit_softcapping", attention_softcap)?,
            logit_softcap: softcap(&keys, "final_logit_softcapping", logit_softcap)?,
            fused_qkv: has("blk.0.attn_qkv.weight"),
            fused_gate_up: architecture == Architecture::Phi3 && !has("blk.0.ffn_gate.weight"),
            post_norms: architecture.has_post_norms(),
            windows: Windows::new(architecture, layers, &keys)?,
            rope,
            window_rope: window_rope_base.map_or(rope, RopeKind::with_base),
            long_rope: has(LONG_FACTORS) && !has(FACTORS),
            original_context: keys.optional_size("rope.scaling.original_context_length")?.unwrap_or(context),
        };
        config.check(&keys)?;
        Ok(config)
    }

    fn check(&self, keys: &Keys<'_>) -> Result<()> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            let expected = format!("a divisor of the {} heads", self.heads);
            return Err(keys.wrong("attention.head_count_kv", self.kv_heads, &expected));
        }
        if self.rope_size > self.head_size || !self.rope_size.is_multiple_of(2) {
            let expected = format!("an even number up to the head size {}", self.head_size);
            return Err(keys.wrong("rope.dimension_count", self.rope_size, &expected));
        }
        let value_size = keys.optional_size("attention.value_length")?.unwrap_or(self.head_size);
        if value_size != self.head_size {
            return Err(keys.wrong("attention.value_length", value_size, &format!("{}", self.head_size)));
        }
        Ok(())
    }

    /// What is peculiar to the layer of this index. Layers of the same kind compare equal.
    pub(crate) fn layer(&self, index: usize) -> LayerKind {
        let window = self.windows.of(index);
        LayerKind { window, rope: if window.is_some() { self.window_rope } else { self.rope } }
    }

    /// The tensor with the factors of [`inverse_frequencies`](Self::inverse_frequencies), one for each pair, which need not be
    /// there: for a model that is to see up to `context` tokens.
    pub(crate) fn rope_factors(&self, context: usize) -> &'static str {
        match (self.long_rope, context > self.original_context) {
            (false, _) => FACTORS,
            (true, true) => LONG_FACTORS,
            (true, false) => SHORT_FACTORS,
        }
    }

    /// The angle of one position for each pair of a head of the layer of this index, and what rotated numbers are multiplied
    /// with. `factors`, one for each pair, come from [`rope_factors`](Self::rope_factors).
    pub(crate) fn inverse_frequencies(&self, layer: usize, factors: Option<&[f32]>) -> (Vec<f64>, f32) {
        self.layer(layer).rope.frequencies(self.rope_size, factors)
    }

    /// Numbers in all key (or value) heads of one layer and token.
    pub(crate) fn kv_size(&self) -> usize {
        self.kv_heads * self.head_size
    }

    /// Numbers in all query heads of one layer and token.
    pub(crate) fn query_size(&self) -> usize {
        self.heads * self.head_size
    }
}

/// The family a file says its model belongs to.
pub(crate) fn architecture_name(metadata: &Metadata) -> Result<&str> {
    metadata.string(ARCHITECTURE_KEY)?.ok_or_else(|| Error::metadata(ARCHITECTURE_KEY, "is missing"))
}

/// The number of layers, which bounds what is set aside for them.
pub(in crate::engine) fn layers(source: &dyn TensorSource, keys: &Keys<'_>) -> Result<usize> {
    let (layers, tensors) = (keys.size("block_count")?, source.tensors().len());
    if layers > tensors {
        return Err(keys.wrong(
            "block_count",
            layers,
            &format!("no more than the {tensors} tensors there are"),
        ));
    }
    Ok(layers)
}

fn head_size(keys: &Keys<'_>, hidden: usize, heads: usize) -> Result<usize> {
    match keys.optional_size("attention.key_length")? {
        Some(size) => Ok(size),
        None if hidden.is_multiple_of(heads) => Ok(hidden / heads),
        None => Err(keys.wrong("attention.head_count", heads, &format!("a divisor of {hidden}"))),
    }
}

/// The cap at `name`, 0 being none, or what stands for an absent key.
fn softcap(keys: &Keys<'_>, name: &str, absent: Option<f64>) -> Result<Option<f32>> {
    let is_given = keys.metadata.contains(&keys.key(name));
    let cap = if is_given { keys.positive_or_zero(name)? } else { absent };
    Ok(cap.map(|cap| cap as f32))
}

fn refuse_experts(keys: &Keys<'_>) -> Result<()> {
    match keys.count("expert_count")? {
        None | Some(0) => Ok(()),
        Some(count) => Err(keys.wrong("expert_count", count, "0; mixtures of experts are not supported")),
    }
}

/// Rows of the embedding, which must be one for each token.
fn vocabulary(source: &dyn TensorSource, keys: &Keys<'_>) -> Result<usize> {
    let missing = || Error::MissingTensor { name: EMBEDDING.to_owned() };
    let embedding = source.tensors().iter().find(|tensor| tensor.name == EMBEDDING);
    let rows = embedding.ok_or_else(missing)?.shape.first().copied().unwrap_or(0);
    let tokens = keys.metadata.array(TOKENS_KEY)?.map(Array::len);
    match tokens.filter(|tokens| *tokens != rows) {
        None => Ok(rows),
        Some(tokens) => Err(Error::metadata(
            TOKENS_KEY,
            format!("has {tokens} entries, but `{EMBEDDING}` has {rows} rows"),
        )),
    }
}
