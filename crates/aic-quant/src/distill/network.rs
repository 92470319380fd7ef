use candle_core::quantized::QMatMul;
use candle_core::{D, Device, Module, Result, Tensor};
use candle_nn::ops::rms_norm_slow;
use candle_nn::rotary_emb::{rope_i_slow, rope_slow};

use crate::Error;
use crate::engine::candle::{Angles, Rope, Weights, compute};
use crate::engine::{Config, EMBEDDING};

/// The decoder of the engine for training: whole texts side by side, no cache, and every operation has a gradient.
///
/// Built on trainable weights it is the student, built on a file's weights (quantized ones stay so) the frozen teacher.
pub(super) struct Network {
    embedding: QMatMul,
    layers: Vec<Layer>,
    norm: Norm,
    output: QMatMul,
    rope: Rope,
    device: Device,
}

/// Where a network takes its weights from.
pub(super) trait Supply {
    /// The matrix called `name`, if there is one, of `shape` `[out_features, in_features]`.
    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> crate::Result<Option<QMatMul>>;

    /// The vector called `name`, if there is one.
    fn vector(&mut self, name: &str, length: usize) -> crate::Result<Option<Tensor>>;
}

/// Frozen weights of a model file.
impl Supply for Weights<'_> {
    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> crate::Result<Option<QMatMul>> {
        self.optional_weight(name, shape)
    }

    fn vector(&mut self, name: &str, length: usize) -> crate::Result<Option<Tensor>> {
        self.optional_vector(name, length)
    }
}

struct Layer {
    attention_norm: Norm,
    attention: Attention,
    feed_forward_norm: Norm,
    gate: QMatMul,
    up: QMatMul,
    down: QMatMul,
}

struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: QMatMul,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    heads: usize,
    kv_heads: usize,
    head_size: usize,
}

struct Linear {
    weight: QMatMul,
    bias: Option<Tensor>,
}

struct Norm {
    weight: Tensor,
    epsilon: f32,
}

/// What every layer needs to know about the positions: all texts start at 0.
struct Positions<'a> {
    texts: usize,
    length: usize,
    rope: &'a Rope,
    angles: Angles,
    /// `[length, length]`: 0 where a token may look, −∞ where it may not.
    mask: Tensor,
}

impl Network {
    pub(super) fn load(config: &Config, supply: &mut dyn Supply, device: &Device) -> crate::Result<Self> {
        config.check_plain(config.context)?;
        let vocabulary = [config.vocabulary, config.hidden];
        let embedding = matrix(supply, EMBEDDING, vocabulary)?;
        let layers =
            (0..config.layers).map(|i| Layer::load(config, supply, i)).collect::<crate::Result<_>>()?;
        let norm = Norm::load(config, supply, "output_norm.weight", config.hidden)?;
        let output = supply.matrix("output.weight", vocabulary)?.unwrap_or_else(|| embedding.clone());
        let factors = supply.vector(config.rope_factors(config.context), config.rope_size / 2)?;
        let factors = factors.map(|factors| factors.to_vec1::<f32>()).transpose();
        let factors = factors.map_err(compute("loading a tensor"))?;
        let rope = Rope::new(config, factors.as_deref());
        Ok(Self { embedding, layers, norm, output, rope, device: device.clone() })
    }

    /// Runs `ids`, `[texts, length]`; returns the states after each of the layers `kept` (in ascending order), each
    /// `[texts · length, hidden]`.
    ///
    /// A shorter text is filled up at its end, where no other token looks.
    pub(super) fn states(&self, ids: &Tensor, kept: &[usize]) -> Result<Vec<Tensor>> {
        let positions = self.positions(ids)?;
        let mut state = self.embedding.embedding(&ids.flatten_all()?)?;
        let mut states = Vec::with_capacity(kept.len());
        for (index, layer) in self.layers.iter().enumerate() {
            state = layer.forward(&state, &positions)?;
            if kept.contains(&index) {
                states.push(state.clone());
            }
        }
        Ok(states)
    }

    /// The logits of the next token after each of the last layer's `states`, `[rows, vocabulary]`.
    pub(super) fn logits(&self, states: &Tensor) -> Result<Tensor> {
        self.output.forward(&self.norm.forward(states)?)
    }

    fn positions(&self, ids: &Tensor) -> Result<Positions<'_>> {
        let (texts, length) = ids.dims2()?;
        let row = |at: usize| (0..length).map(move |seen| if seen <= at { 0.0 } else { f32::NEG_INFINITY });
        let mask = Tensor::from_vec((0..length).flat_map(row).collect(), (length, length), &self.device)?;
        let angles = self.rope.angles(0, length, &self.device)?;
        Ok(Positions { texts, length, rope: &self.rope, angles, mask })
    }
}

impl Layer {
    fn load(config: &Config, supply: &mut dyn Supply, index: usize) -> crate::Result<Self> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let (narrow, wide) = (config.hidden, config.feed_forward);
        Ok(Self {
            attention_norm: Norm::load(config, supply, &name("attn_norm"), narrow)?,
            attention: Attention::load(config, supply, index)?,
            feed_forward_norm: Norm::load(config, supply, &name("ffn_norm"), narrow)?,
            gate: matrix(supply, &name("ffn_gate"), [wide, narrow])?,
            up: matrix(supply, &name("ffn_up"), [wide, narrow])?,
            down: matrix(supply, &name("ffn_down"), [narrow, wide])?,
        })
    }

    fn forward(&self, state: &Tensor, positions: &Positions<'_>) -> Result<Tensor> {
        let attended = self.attention.forward(&self.attention_norm.forward(state)?, positions)?;
        let state = (state + attended)?;
        let normed = self.feed_forward_norm.forward(&state)?;
        let mixed = (self.gate.forward(&normed)?.silu()? * self.up.forward(&normed)?)?;
        state + self.down.forward(&mixed)?
    }
}

impl Attention {
    fn load(config: &Config, supply: &mut dyn Supply, index: usize) -> crate::Result<Self> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let mut norm =
            |part: &str| Norm::optional(config, supply, &name(&format!("{part}.weight")), config.head_size);
        let (query_norm, key_norm) = (norm("attn_q_norm")?, norm("attn_k_norm")?);
        let output = matrix(supply, &name("attn_output.weight"), [config.hidden, config.query_size()])?;
        let mut linear = |part: &str, out: usize| Linear::load(supply, &name(part), [out, config.hidden]);
        Ok(Self {
            query: linear("attn_q", config.query_size())?,
            key: linear("attn_k", config.kv_size())?,
            value: linear("attn_v", config.kv_size())?,
            output,
            query_norm,
            key_norm,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_size: config.head_size,
        })
    }

    fn forward(&self, state: &Tensor, positions: &Positions<'_>) -> Result<Tensor> {
        let split = |flat: Tensor, heads: usize, norm: Option<&Norm>| {
            let heads = flat
                .reshape((positions.texts, positions.length, heads, self.head_size))?
                .transpose(1, 2)?
                .contiguous()?;
            norm.map_or(Ok(heads.clone()), |norm| norm.forward(&heads))
        };
        let query = split(self.query.forward(state)?, self.heads, self.query_norm.as_ref())?;
        let key = split(self.key.forward(state)?, self.kv_heads, self.key_norm.as_ref())?;
        let value = split(self.value.forward(state)?, self.kv_heads, None)?;
        let mixed = self.mix(&positions.rotate(&query)?, &positions.rotate(&key)?, &value, positions)?;
        let rows = (positions.texts * positions.length, self.heads * self.head_size);
        self.output.forward(&mixed.transpose(1, 2)?.reshape(rows)?)
    }

    /// Heads that share keys are stacked along the token axis, so that keys and values are never copied.
    fn mix(&self, query: &Tensor, key: &Tensor, value: &Tensor, positions: &Positions<'_>) -> Result<Tensor> {
        let Positions { texts, length, .. } = *positions;
        let rows = self.heads / self.kv_heads * length;
        let stacked =
            (query.reshape((texts, self.kv_heads, rows, self.head_size))? / (self.head_size as f64).sqrt())?;
        let scores = stacked.matmul(&key.t()?)?.reshape((texts, self.heads, length, length))?;
        let shares = softmax(&scores.broadcast_add(&positions.mask)?)?;
        let shares = shares.reshape((texts, self.kv_heads, rows, length))?;
        shares.matmul(value)?.reshape((texts, self.heads, length, self.head_size))
    }
}

impl Positions<'_> {
    /// Rotates `heads`, `[texts, heads, length, head_size]`; sizes beyond the rotated ones pass unchanged.
    fn rotate(&self, heads: &Tensor) -> Result<Tensor> {
        let rest = heads.dim(D::Minus1)? - self.rope.size;
        if rest == 0 {
            return self.rotate_whole(heads);
        }
        let rotated = self.rotate_whole(&heads.narrow(D::Minus1, 0, self.rope.size)?.contiguous()?)?;
        Tensor::cat(&[&rotated, &heads.narrow(D::Minus1, self.rope.size, rest)?], D::Minus1)
    }

    fn rotate_whole(&self, heads: &Tensor) -> Result<Tensor> {
        let rotate = if self.rope.neighbours { rope_i_slow } else { rope_slow };
        rotate(heads, &self.angles.cosines, &self.angles.sines)
    }
}

impl Linear {
    fn load(supply: &mut dyn Supply, name: &str, shape: [usize; 2]) -> crate::Result<Self> {
        Ok(Self {
            weight: matrix(supply, &format!("{name}.weight"), shape)?,
            bias: supply.vector(&format!("{name}.bias"), shape[0])?,
        })
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let output = self.weight.forward(input)?;
        match &self.bias {
            Some(bias) => output.broadcast_add(bias),
            None => Ok(output),
        }
    }
}

impl Norm {
    fn load(config: &Config, supply: &mut dyn Supply, name: &str, size: usize) -> crate::Result<Self> {
        Self::optional(config, supply, name, size)?.ok_or_else(|| missing(name))
    }

    fn optional(
        config: &Config,
        supply: &mut dyn Supply,
        name: &str,
        size: usize,
    ) -> crate::Result<Option<Self>> {
        let weight = supply.vector(name, size)?;
        Ok(weight.map(|weight| Self { weight, epsilon: config.epsilon as f32 }))
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        rms_norm_slow(input, &self.weight, self.epsilon)
    }
}

fn matrix(supply: &mut dyn Supply, name: &str, shape: [usize; 2]) -> crate::Result<QMatMul> {
    supply.matrix(name, shape)?.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Error {
    Error::MissingTensor { name: name.to_owned() }
}

/// The maximum, subtracted against overflow, has no part in the gradient.
fn softmax(scores: &Tensor) -> Result<Tensor> {
    let powers = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}
