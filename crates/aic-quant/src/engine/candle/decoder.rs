use candle_core::{Device, Result, Tensor};
use candle_nn::kv_cache::KvCache;
use candle_nn::ops::{rms_norm, silu, softmax_last_dim};

use super::matrix::Matrix;
use super::matrix::rows;
use super::rope::{Angles, Rope};
use super::weights::Weights;
use crate::engine::config::{Config, EMBEDDING};
use crate::engine::observer::{Observer, Rows};
use crate::kernels::PAGE;

/// A decoder-only transformer, or its first layers: norm, attention, norm, gated feed-forward in each layer
/// ([Touvron et al. 2023](https://arxiv.org/abs/2302.13971), section 2.2).
pub(in crate::engine) struct Decoder {
    device: Device,
    embedding: Matrix,
    layers: Vec<Layer>,
    /// `None` if the last layers run elsewhere, and what comes after them.
    head: Option<Head>,
    rope: Rope,
}

/// What comes after the last layer.
struct Head {
    norm: Norm,
    output: Matrix,
}

/// Keys and values of the tokens one generation has seen.
pub(super) struct Cache {
    layers: Vec<KvCache>,
    pub(super) length: usize,
}

struct Layer {
    attention_norm: Norm,
    attention: Attention,
    feed_forward_norm: Norm,
    feed_forward: FeedForward,
}

struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Matrix,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    heads: usize,
    kv_heads: usize,
    head_size: usize,
}

struct FeedForward {
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
}

/// Root-mean-square norm.
struct Norm {
    weight: Tensor,
    epsilon: f32,
}

/// What every layer needs to know about the positions at hand.
struct Positions<'a> {
    rope: &'a Rope,
    angles: Angles,
    /// `[new, all]`: 0 where a token may look, −∞ where it may not; none for a single token, which may look everywhere.
    mask: Option<Tensor>,
}

impl Decoder {
    /// The embedding and the first `layers` layers; with all of them, what comes after the last, too.
    pub(in crate::engine) fn load(
        config: &Config,
        weights: &mut Weights<'_>,
        device: Device,
        layers: usize,
    ) -> crate::Result<Self> {
        let embedding = weights.matrix(EMBEDDING, [config.vocabulary, config.hidden])?;
        let whole = layers == config.layers;
        let layers = (0..layers).map(|i| Layer::load(config, weights, i)).collect::<crate::Result<_>>()?;
        let head = whole.then(|| Head::load(config, weights, &embedding)).transpose()?;
        let factors = weights.optional_numbers(config.rope_factors(config.context), config.rope_size / 2)?;
        let rope = Rope::new(config, factors.as_deref());
        Ok(Self { device, embedding, layers, head, rope })
    }

    /// An empty cache. It grows by whole pages, so that all together never hold more than the pages they count.
    pub(super) fn cache(&self) -> Cache {
        let layers = self.layers.iter().map(|_| KvCache::new(1, PAGE)).collect();
        Cache { layers, length: 0 }
    }

    /// Runs `tokens` after those in `cache`; returns the last hidden state of each, `[tokens, hidden]`, normalised if this is the
    /// whole model.
    ///
    /// Each token lies below the vocabulary. `observer` sees the input of the output matrix too, whether or not logits are
    /// asked for afterwards.
    pub(super) fn hidden(
        &self,
        tokens: &[u32],
        cache: &mut Cache,
        observer: &mut dyn Observer,
    ) -> Result<Tensor> {
        let positions = self.positions(cache.length, tokens.len())?;
        let mut hidden = self.embedding.embedding(&Tensor::new(tokens, &self.device)?)?;
        for (index, (layer, cache)) in self.layers.iter().zip(&mut cache.layers).enumerate() {
            let after = layer.forward(&hidden, &positions, cache, observer)?;
            if observer.watches() {
                let columns = hidden.dim(1)?;
                let (before, after) = (rows(&hidden)?, rows(&after)?);
                let shown = observer.layer(
                    index,
                    Rows { values: &before, columns },
                    Rows { values: &after, columns },
                );
                shown.map_err(candle_core::Error::wrap)?;
            }
            hidden = after;
        }
        cache.length += tokens.len();
        let Some(head) = &self.head else { return Ok(hidden) };
        let normed = head.norm.forward(&hidden)?;
        head.output.show(&normed, observer)?;
        Ok(normed)
    }

    /// The logits of the next token after each of `hidden`, `[tokens, vocabulary]`.
    ///
    /// # Panics
    /// If the last layers run elsewhere.
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let head = self.head.as_ref().expect("a decoder of all layers has the matrix of the logits");
        head.output.multiply(hidden)
    }

    fn positions(&self, start: usize, count: usize) -> Result<Positions<'_>> {
        let angles = self.rope.angles(start, count, &self.device)?;
        let mask = (count > 1).then(|| causal_mask(start, count, &self.device)).transpose()?;
        Ok(Positions { rope: &self.rope, angles, mask })
    }
}

fn causal_mask(start: usize, count: usize, device: &Device) -> Result<Tensor> {
    let all = start + count;
    let row =
        |new: usize| (0..all).map(move |seen| if seen <= start + new { 0.0 } else { f32::NEG_INFINITY });
    Tensor::from_vec((0..count).flat_map(row).collect(), (count, all), device)
}

impl Head {
    fn load(config: &Config, weights: &mut Weights<'_>, embedding: &Matrix) -> crate::Result<Self> {
        let norm = Norm::load(config, weights, "output_norm.weight", config.hidden)?;
        let output = weights.optional_matrix("output.weight", [config.vocabulary, config.hidden])?;
        // A model without an output matrix uses the embedding for it; both then share one tensor.
        Ok(Self { norm, output: output.unwrap_or_else(|| embedding.clone()) })
    }
}

impl Layer {
    fn load(config: &Config, weights: &mut Weights<'_>, index: usize) -> crate::Result<Self> {
        let name = |part: &str| format!("blk.{index}.{part}");
        Ok(Self {
            attention_norm: Norm::load(config, weights, &name("attn_norm.weight"), config.hidden)?,
            attention: Attention::load(config, weights, name)?,
            feed_forward_norm: Norm::load(config, weights, &name("ffn_norm.weight"), config.hidden)?,
            feed_forward: FeedForward::load(config, weights, name)?,
        })
    }

    fn forward(
        &self,
        hidden: &Tensor,
        positions: &Positions<'_>,
        cache: &mut KvCache,
        observer: &mut dyn Observer,
    ) -> Result<Tensor> {
        let normed = self.attention_norm.forward(hidden)?;
        let hidden = (hidden + self.attention.forward(&normed, positions, cache, observer)?)?;
        let fed = self.feed_forward.forward(&self.feed_forward_norm.forward(&hidden)?, observer)?;
        hidden + fed
    }
}

impl Attention {
    fn load(
        config: &Config,
        weights: &mut Weights<'_>,
        name: impl Fn(&str) -> String,
    ) -> crate::Result<Self> {
        let mut head_norm = |part: &str| Norm::optional(config, weights, &name(part), config.head_size);
        let query_norm = head_norm("attn_q_norm.weight")?;
        let key_norm = head_norm("attn_k_norm.weight")?;
        let mut linear = |part: &str, out: usize| Linear::load(weights, &name(part), [out, config.hidden]);
        Ok(Self {
            query: linear("attn_q", config.query_size())?,
            key: linear("attn_k", config.kv_size())?,
            value: linear("attn_v", config.kv_size())?,
            output: weights.matrix(&name("attn_output.weight"), [config.hidden, config.query_size()])?,
            query_norm,
            key_norm,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_size: config.head_size,
        })
    }

    /// Grouped-query attention of the tokens in `hidden`, `[tokens, hidden]`, over all in the cache and themselves.
    fn forward(
        &self,
        hidden: &Tensor,
        positions: &Positions<'_>,
        cache: &mut KvCache,
        observer: &mut dyn Observer,
    ) -> Result<Tensor> {
        let tokens = hidden.dim(0)?;
        let query =
            self.heads(&self.query.forward(hidden, observer)?, self.heads, self.query_norm.as_ref())?;
        let key = self.heads(&self.key.forward(hidden, observer)?, self.kv_heads, self.key_norm.as_ref())?;
        let value = self.heads(&self.value.forward(hidden, observer)?, self.kv_heads, None)?;
        let query = positions.rotate(&query)?;
        let (keys, values) = cache.append(&positions.rotate(&key)?, &value)?;
        let mixed = self.mix(&query, &keys, &values, positions.mask.as_ref())?;
        let joined = mixed.transpose(0, 1)?.reshape((tokens, self.heads * self.head_size))?;
        self.output.forward(&joined, observer)
    }

    /// `[tokens, heads · size]` to `[heads, tokens, size]`.
    fn heads(&self, flat: &Tensor, heads: usize, norm: Option<&Norm>) -> Result<Tensor> {
        let split = flat.reshape((flat.dim(0)?, heads, self.head_size))?.transpose(0, 1)?.contiguous()?;
        norm.map_or(Ok(split.clone()), |norm| norm.forward(&split))
    }

    /// Heads that share keys are stacked along the token axis, so that keys and values are never copied.
    fn mix(&self, query: &Tensor, keys: &Tensor, values: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (tokens, seen) = (query.dim(1)?, keys.dim(1)?);
        let stacked = (self.kv_heads, self.heads / self.kv_heads * tokens, self.head_size);
        let query = (query.reshape(stacked)? / (self.head_size as f64).sqrt())?;
        let scores = query.matmul(&keys.t()?)?.reshape((self.heads, tokens, seen))?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        let shares = softmax_last_dim(&scores)?.reshape((stacked.0, stacked.1, seen))?;
        shares.matmul(values)?.reshape((self.heads, tokens, self.head_size))
    }
}

impl Positions<'_> {
    fn rotate(&self, heads: &Tensor) -> Result<Tensor> {
        self.rope.rotate(heads, &self.angles)
    }
}

impl FeedForward {
    fn load(
        config: &Config,
        weights: &mut Weights<'_>,
        name: impl Fn(&str) -> String,
    ) -> crate::Result<Self> {
        let (narrow, wide) = (config.hidden, config.feed_forward);
        Ok(Self {
            gate: weights.matrix(&name("ffn_gate.weight"), [wide, narrow])?,
            up: weights.matrix(&name("ffn_up.weight"), [wide, narrow])?,
            down: weights.matrix(&name("ffn_down.weight"), [narrow, wide])?,
        })
    }

    /// SwiGLU ([Shazeer 2020](https://arxiv.org/abs/2002.05202)).
    fn forward(&self, hidden: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        let gate = silu(&self.gate.forward(hidden, observer)?)?;
        self.down.forward(&(gate * self.up.forward(hidden, observer)?)?, observer)
    }
}

impl Linear {
    fn load(weights: &mut Weights<'_>, name: &str, shape: [usize; 2]) -> crate::Result<Self> {
        Ok(Self {
            weight: weights.matrix(&format!("{name}.weight"), shape)?,
            bias: weights.optional_vector(&format!("{name}.bias"), shape[0])?,
        })
    }

    fn forward(&self, input: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        let output = self.weight.forward(input, observer)?;
        match &self.bias {
            Some(bias) => output.broadcast_add(bias),
            None => Ok(output),
        }
    }
}

impl Norm {
    fn load(config: &Config, weights: &mut Weights<'_>, name: &str, size: usize) -> crate::Result<Self> {
        Ok(Self { weight: weights.vector(name, size)?, epsilon: config.epsilon as f32 })
    }

    fn optional(
        config: &Config,
        weights: &mut Weights<'_>,
        name: &str,
        size: usize,
    ) -> crate::Result<Option<Self>> {
        let weight = weights.optional_vector(name, size)?;
        Ok(weight.map(|weight| Self { weight, epsilon: config.epsilon as f32 }))
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        rms_norm(input, &self.weight, self.epsilon)
    }
}
