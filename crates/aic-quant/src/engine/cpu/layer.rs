use super::matrix::Matrix;
use super::pass::{Pass, room};
use super::weights::Weights;
use crate::Result;
use crate::engine::config::{Activation, Config};
use crate::kernels::{AttentionOptions, Pairs, Vectors, attend};

/// One layer: norm, attention, norm, gated feed-forward network; each with a way around it
/// ([Touvron et al. 2023](https://arxiv.org/abs/2302.13971), section 2.2).
pub(super) struct Layer {
    attention_norm: Norm,
    attention: Attention,
    /// Norms what attention returns.
    attention_post_norm: Option<Norm>,
    feed_forward_norm: Norm,
    feed_forward: FeedForward,
    feed_forward_post_norm: Option<Norm>,
}

struct Attention {
    query: Matrix,
    key: Matrix,
    value: Matrix,
    output: Matrix,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    heads: usize,
    head_size: usize,
    scale: f32,
    softcap: Option<f32>,
    window: Option<usize>,
    pairs: Pairs,
    /// Which of the model's rotations.
    rotation: usize,
}

struct FeedForward {
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    activation: Activation,
}

/// Root-mean-square norm.
pub(super) struct Norm {
    weight: Vec<f32>,
    epsilon: f32,
}

/// Intermediate results of a pass, kept from one pass to the next for their memory.
#[derive(Default)]
pub(super) struct Buffers {
    normed: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    mixed: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    output: Vec<f32>,
}

impl Layer {
    /// The layer of this `index`, whose positions turn by the model's `rotation`th rotation.
    pub(super) fn load(
        config: &Config,
        weights: &mut Weights<'_>,
        index: usize,
        rotation: usize,
    ) -> Result<Self> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let mut post = |part: &str| {
            config.post_norms.then(|| Norm::load(config, weights, &name(part), config.hidden)).transpose()
        };
        let (attention_post_norm, feed_forward_post_norm) =
            (post("post_attention_norm")?, post("post_ffw_norm")?);
        Ok(Self {
            attention_norm: Norm::load(config, weights, &name("attn_norm"), config.hidden)?,
            attention: Attention::load(config, weights, index, rotation)?,
            attention_post_norm,
            feed_forward_norm: Norm::load(config, weights, &name("ffn_norm"), config.hidden)?,
            feed_forward: FeedForward::load(config, weights, index)?,
            feed_forward_post_norm,
        })
    }

    pub(super) fn head_size(&self) -> usize {
        self.attention.head_size
    }

    /// The first half: adds attention to `hidden`, `[rows, hidden]`. Of the rows only those in `kept`, if given, go on;
    /// `hidden` then has only these.
    pub(super) fn attend(
        &self,
        pass: &mut Pass<'_>,
        index: usize,
        hidden: &mut Vec<f32>,
        kept: Option<&[usize]>,
        buffers: &mut Buffers,
    ) -> Result<()> {
        self.attention_norm.apply(pass, hidden, &mut buffers.normed);
        self.attention.mix(pass, index, hidden.len() / self.attention_norm.size(), buffers)?;
        if let Some(kept) = kept {
            gather(hidden, self.attention_norm.size(), kept);
            gather(&mut buffers.mixed, self.attention.query.rows(), kept);
        }
        let output = room(&mut buffers.output, hidden.len());
        if hidden.is_empty() {
            return Ok(());
        }
        let rows = hidden.len() / self.attention_norm.size();
        let mixed = &buffers.mixed[..rows * self.attention.query.rows()];
        pass.multiply(mixed, &mut [(&self.attention.output, output)])?;
        add(pass, hidden, output, self.attention_post_norm.as_ref());
        Ok(())
    }

    /// The second half: adds the feed-forward network's output to `hidden`.
    pub(super) fn feed(&self, pass: &mut Pass<'_>, hidden: &mut [f32], buffers: &mut Buffers) -> Result<()> {
        if hidden.is_empty() {
            return Ok(());
        }
        self.feed_forward_norm.apply(pass, hidden, &mut buffers.normed);
        self.feed_forward.forward(pass, hidden.len(), buffers)?;
        add(pass, hidden, &mut buffers.output[..hidden.len()], self.feed_forward_post_norm.as_ref());
        Ok(())
    }
}

impl Attention {
    fn load(config: &Config, weights: &mut Weights<'_>, index: usize, rotation: usize) -> Result<Self> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let [query, key, value] = if config.fused_qkv {
            fused(weights, &name("attn_qkv"), config)?
        } else {
            let mut matrix = |part: &str, rows: usize| weights.matrix(&name(part), [rows, config.hidden]);
            [
                matrix("attn_q", config.query_size())?,
                matrix("attn_k", config.kv_size())?,
                matrix("attn_v", config.kv_size())?,
            ]
        };
        let mut norm = |part: &str| Norm::optional(config, weights, &name(part), config.head_size);
        let (query_norm, key_norm) = (norm("attn_q_norm")?, norm("attn_k_norm")?);
        let neighbours = config.architecture.rotates_neighbours();
        Ok(Self {
            query,
            key,
            value,
            output: weights.matrix(&name("attn_output"), [config.hidden, config.query_size()])?,
            query_norm,
            key_norm,
            heads: config.heads,
            head_size: config.head_size,
            scale: config.query_scale,
            softcap: config.attention_softcap,
            window: config.layer(index).window,
            pairs: if neighbours { Pairs::Neighbours } else { Pairs::Halves },
            rotation,
        })
    }

    /// Grouped-query attention of the normed rows over all that the store has of their sequences, and themselves.
    fn mix(&self, pass: &mut Pass<'_>, layer: usize, rows: usize, buffers: &mut Buffers) -> Result<()> {
        let query = room(&mut buffers.query, rows * self.query.rows());
        let key = room(&mut buffers.key, rows * self.key.rows());
        let value = room(&mut buffers.value, rows * self.value.rows());
        let normed = &buffers.normed[..rows * self.query.weights.columns()];
        let mut products = [(&self.query, &mut *query), (&self.key, &mut *key), (&self.value, &mut *value)];
        pass.multiply(normed, &mut products)?;
        self.turn(pass, query, self.query_norm.as_ref());
        self.turn(pass, key, self.key_norm.as_ref());
        self.store(pass, layer, key, value);
        let mixed = room(&mut buffers.mixed, query.len());
        attend(&pass.vectors(), pass.store, layer, &pass.spans, query, &self.options(), mixed);
        Ok(())
    }

    /// Norms each head, if the model does, and rotates it by its position.
    fn turn(&self, pass: &Pass<'_>, heads: &mut [f32], norm: Option<&Norm>) {
        let vectors = pass.vectors();
        if let Some(norm) = norm {
            vectors.rms_norm_in_place(heads, &norm.weight, norm.epsilon);
        }
        vectors.rope(heads, self.head_size, self.pairs, &pass.angles[self.rotation]);
    }

    fn store(&self, pass: &mut Pass<'_>, layer: usize, key: &[f32], value: &[f32]) {
        let size = self.key.rows();
        let vectors = Vectors::new(pass.pool, pass.instructions);
        for (slice, span) in pass.slices.iter().zip(&pass.spans) {
            let rows = span.first_row * size..(span.first_row + span.rows) * size;
            pass.store.store(&vectors, layer, slice.pages, slice.start, &key[rows.clone()], &value[rows]);
        }
    }

    fn options(&self) -> AttentionOptions {
        AttentionOptions { heads: self.heads, scale: self.scale, softcap: self.softcap, window: self.window }
    }
}

/// Queries, keys and values out of one tensor that has them one after the other.
fn fused(weights: &mut Weights<'_>, name: &str, config: &Config) -> Result<[Matrix; 3]> {
    let (query, kv) = (config.query_size(), config.kv_size());
    let shape = [query + 2 * kv, config.hidden];
    Ok([
        weights.part(name, shape, 0..query)?,
        weights.part(name, shape, query..query + kv)?,
        weights.part(name, shape, query + kv..query + 2 * kv)?,
    ])
}

impl FeedForward {
    fn load(config: &Config, weights: &mut Weights<'_>, index: usize) -> Result<Self> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let (narrow, wide) = (config.hidden, config.feed_forward);
        let [gate, up] = if config.fused_gate_up {
            let mut half = |rows| weights.part(&name("ffn_up"), [2 * wide, narrow], rows);
            [half(0..wide)?, half(wide..2 * wide)?]
        } else {
            let mut matrix = |part: &str| weights.matrix(&name(part), [wide, narrow]);
            [matrix("ffn_gate")?, matrix("ffn_up")?]
        };
        let down = weights.matrix(&name("ffn_down"), [narrow, wide])?;
        Ok(Self { gate, up, down, activation: config.activation })
    }

    /// From the normed rows to the output; `length` numbers both.
    fn forward(&self, pass: &mut Pass<'_>, length: usize, buffers: &mut Buffers) -> Result<()> {
        let rows = length / self.down.rows();
        let gate = room(&mut buffers.gate, rows * self.gate.rows());
        let up = room(&mut buffers.up, rows * self.up.rows());
        pass.multiply(&buffers.normed[..length], &mut [(&self.gate, &mut *gate), (&self.up, &mut *up)])?;
        match self.activation {
            Activation::Silu => pass.vectors().silu_multiply(gate, up),
            Activation::GeluTanh => pass.vectors().gelu_tanh_multiply(gate, up),
        }
        pass.multiply(gate, &mut [(&self.down, room(&mut buffers.output, length))])
    }
}

impl Norm {
    /// The norm `name`.weight of rows of `size` numbers.
    pub(super) fn load(config: &Config, weights: &mut Weights<'_>, name: &str, size: usize) -> Result<Self> {
        let weight = weights.vector(&format!("{name}.weight"), size)?;
        Ok(Self { weight, epsilon: config.epsilon as f32 })
    }

    fn optional(config: &Config, weights: &mut Weights<'_>, name: &str, size: usize) -> Result<Option<Self>> {
        let weight = weights.optional_vector(&format!("{name}.weight"), size)?;
        Ok(weight.map(|weight| Self { weight, epsilon: config.epsilon as f32 }))
    }

    fn size(&self) -> usize {
        self.weight.len()
    }

    /// Fills `normed` with the norms of `rows`.
    pub(super) fn apply(&self, pass: &Pass<'_>, rows: &[f32], normed: &mut Vec<f32>) {
        pass.vectors().rms_norm(rows, &self.weight, self.epsilon, room(normed, rows.len()));
    }
}

/// `sum += delta`, which is normed first if the model does.
fn add(pass: &Pass<'_>, sum: &mut [f32], delta: &mut [f32], norm: Option<&Norm>) {
    if let Some(norm) = norm {
        pass.vectors().rms_norm_in_place(delta, &norm.weight, norm.epsilon);
    }
    pass.vectors().add(sum, delta);
}

/// Leaves only the rows `kept`, in ascending order.
fn gather(rows: &mut Vec<f32>, size: usize, kept: &[usize]) {
    for (to, from) in kept.iter().enumerate() {
        rows.copy_within(from * size..(from + 1) * size, to * size);
    }
    rows.truncate(kept.len() * size);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathered_rows_are_the_kept_ones_in_order() {
        let mut rows: Vec<f32> = (0..10).map(|i| i as f32).collect();
        gather(&mut rows, 2, &[1, 2, 4]);
        assert_eq!(rows, [2.0, 3.0, 4.0, 5.0, 8.0, 9.0]);

        gather(&mut rows, 2, &[]);
        assert!(rows.is_empty());
    }
}
