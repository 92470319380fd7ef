use super::config::Config;
use super::weights::{Linear, Norm, Weights};
use crate::Result;
use crate::kernels::Vectors;
use crate::kernels::{AttentionOptions, LayerShape, attend_all};
use crate::kernels::{InstructionSet, Packed, Pool, Product, Scratch, multiply};

/// A transformer whose tokens see each other in both directions: attention, norm, feed-forward, norm in each layer
/// ([Devlin et al. 2018](https://arxiv.org/abs/1810.04805); the original transformer's encoder with a GELU and learnt
/// positions).
pub(super) struct Network {
    pub(super) config: Config,
    pub(super) instructions: InstructionSet,
    tokens: Packed,
    /// `[context, hidden]`, the type of the only segment already added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    norm: Norm,
}

/// What is needed to run a layer, and where it computes.
struct Run<'a> {
    network: &'a Network,
    pool: &'a Pool,
    vectors: Vectors<'a>,
    scratch: Scratch,
    /// Tokens of each text; they lie one after the other.
    lengths: &'a [usize],
}

impl Network {
    pub(super) fn load(weights: &Weights<'_>, config: Config) -> Result<Self> {
        let Config { hidden, context, vocabulary, .. } = config;
        let mut positions = weights.numbers("position_embd.weight", &[context, hidden])?;
        if let Some(kind) = weights.first_row("token_types.weight", hidden)? {
            positions.iter_mut().zip(kind.iter().cycle()).for_each(|(position, kind)| *position += kind);
        }
        Ok(Self {
            instructions: weights.instructions,
            tokens: weights.embedding([vocabulary, hidden])?,
            positions,
            norm: weights.norm("token_embd_norm", hidden)?,
            layers: (0..config.layers)
                .map(|index| Layer::load(weights, &config, index))
                .collect::<Result<_>>()?,
            config,
        })
    }

    /// The last states of the tokens of several texts, `[tokens of all texts, hidden]`.
    ///
    /// Each text has at least one token and no more than there are positions; each token is below the vocabulary.
    pub(super) fn states(&self, pool: &Pool, texts: &[&[u32]]) -> Vec<f32> {
        let lengths: Vec<usize> = texts.iter().map(|tokens| tokens.len()).collect();
        let vectors = Vectors::new(pool, self.instructions);
        let mut run = Run { network: self, pool, vectors, scratch: Scratch::default(), lengths: &lengths };
        let mut states = self.embed(texts);
        run.norm(&self.norm, &mut states);
        for layer in &self.layers {
            run.layer(layer, &mut states);
        }
        states
    }

    fn embed(&self, texts: &[&[u32]]) -> Vec<f32> {
        let hidden = self.config.hidden;
        let tokens = texts.iter().flat_map(|tokens| tokens.iter().enumerate());
        let mut states = vec![0.0; texts.iter().map(|tokens| tokens.len()).sum::<usize>() * hidden];
        for (state, (position, token)) in states.chunks_exact_mut(hidden).zip(tokens) {
            self.tokens.row(*token as usize, state);
            let position = &self.positions[position * hidden..][..hidden];
            state.iter_mut().zip(position).for_each(|(state, position)| *state += position);
        }
        states
    }
}

impl Layer {
    fn load(weights: &Weights<'_>, config: &Config, index: usize) -> Result<Self> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let (narrow, wide) = (config.hidden, config.feed_forward);
        let square = |part: &str| weights.linear(&name(part), [narrow, narrow]);
        Ok(Self {
            query: square("attn_q")?,
            key: square("attn_k")?,
            value: square("attn_v")?,
            output: square("attn_output")?,
            attention_norm: weights.norm(&name("attn_output_norm"), narrow)?,
            up: weights.linear(&name("ffn_up"), [wide, narrow])?,
            down: weights.linear(&name("ffn_down"), [narrow, wide])?,
            norm: weights.norm(&name("layer_output_norm"), narrow)?,
        })
    }
}

impl Run<'_> {
    fn layer(&mut self, layer: &Layer, states: &mut [f32]) {
        let attended = self.attention(layer, states);
        self.vectors.add(states, &attended);
        self.norm(&layer.attention_norm, states);
        let [mut wide] = self.linear([&layer.up], states);
        self.vectors.gelu(&mut wide);
        let [fed] = self.linear([&layer.down], &wide);
        self.vectors.add(states, &fed);
        self.norm(&layer.norm, states);
    }

    fn attention(&mut self, layer: &Layer, states: &[f32]) -> Vec<f32> {
        let Config { hidden, heads, .. } = self.network.config;
        let size = hidden / heads;
        let [queries, keys, values] = self.linear([&layer.query, &layer.key, &layer.value], states);
        let shape = LayerShape { kv_heads: heads, key_size: size, value_size: size };
        let options = AttentionOptions {
            heads,
            scale: (1.0 / (size as f64).sqrt()) as f32,
            softcap: None,
            window: None,
        };
        let mut mixed = vec![0.0; states.len()];
        let mut start = 0;
        for length in self.lengths {
            let rows = start..start + length * hidden;
            start = rows.end;
            let [queries, keys, values] = [&queries, &keys, &values].map(|all| &all[rows.clone()]);
            attend_all(&self.vectors, shape, queries, keys, values, &options, &mut mixed[rows]);
        }
        let [output] = self.linear([&layer.output], &mixed);
        output
    }

    /// Several layers of the same input, `[tokens, columns]`.
    fn linear<const N: usize>(&mut self, layers: [&Linear; N], input: &[f32]) -> [Vec<f32>; N] {
        let tokens = self.lengths.iter().sum::<usize>();
        let mut outputs = layers.map(|layer| vec![0.0; tokens * layer.weight.rows()]);
        let mut products: Vec<_> = layers
            .iter()
            .zip(&mut outputs)
            .map(|(layer, output)| Product { weights: &layer.weight, output })
            .collect();
        multiply(self.pool, &mut self.scratch, input, tokens, &mut products);
        for (layer, output) in layers.iter().zip(&mut outputs) {
            self.vectors.add_bias(output, &layer.bias);
        }
        outputs
    }

    fn norm(&self, norm: &Norm, states: &mut [f32]) {
        self.vectors.layer_norm(states, &norm.weight, &norm.bias, self.network.config.epsilon);
    }
}
