//! The network: a small Llama, written for training (whole texts at once, no cache).

use candle_core::{Device, Result, Tensor, Var};

use crate::{
    dice::Dice,
    ops::{Attention, CrossEntropy, RmsNorm, Segments, SwiGlu},
    tokenizer::Encoded,
};

/// The numbers that make the architecture. Every row is a multiple of 256 long, as the K-quants want it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Architecture {
    pub(crate) layers: usize,
    pub(crate) feed_forward: usize,
    pub(crate) vocabulary: usize,
}

impl Architecture {
    pub(crate) const HIDDEN: usize = 256;
    pub(crate) const HEADS: usize = 8;
    pub(crate) const KV_HEADS: usize = 4;
    pub(crate) const HEAD_WIDTH: usize = 32;
    pub(crate) const KV_WIDTH: usize = Self::KV_HEADS * Self::HEAD_WIDTH;
    pub(crate) const ROPE_THETA: f32 = 10_000.0;
    pub(crate) const EPSILON: f32 = 1e-5;
    pub(crate) const CONTEXT: usize = 512;

    pub(crate) fn parameters(self) -> usize {
        let attention = Self::HIDDEN * (2 * Self::HIDDEN + 2 * Self::KV_WIDTH);
        let layer = attention + 3 * Self::HIDDEN * self.feed_forward + 2 * Self::HIDDEN;
        self.layers * layer + Self::HIDDEN * (self.vocabulary + 1)
    }

    fn attention(segments: Segments) -> Attention {
        Attention {
            heads: Self::HEADS,
            kv_heads: Self::KV_HEADS,
            head_width: Self::HEAD_WIDTH,
            theta: Self::ROPE_THETA,
            segments,
        }
    }
}

/// Weights of one layer; matrices are `[in, out]`.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Var,
    /// Queries, keys and values beside each other.
    pub(crate) qkv: Var,
    pub(crate) attention_output: Var,
    pub(crate) feed_forward_norm: Var,
    /// Gate and up beside each other.
    pub(crate) gate_up: Var,
    pub(crate) down: Var,
}

/// All weights. The embedding is also the output matrix.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) architecture: Architecture,
    pub(crate) embedding: Var,
    pub(crate) layers: Vec<Layer>,
    pub(crate) output_norm: Var,
}

/// Texts laid one after the other, with the token to predict at each place.
#[derive(Debug)]
pub(crate) struct Batch {
    ids: Tensor,
    segments: Segments,
    pub(crate) loss: CrossEntropy,
    /// Tokens in the batch.
    pub(crate) length: usize,
}

impl Batch {
    /// Each text gives its tokens but the last as input, its tokens but the first as targets.
    pub(crate) fn new(texts: &[Encoded]) -> Result<Self> {
        let ids: Vec<u32> = texts.iter().flat_map(|text| &text.ids[..text.ids.len() - 1]).copied().collect();
        let targets = texts.iter().flat_map(|text| &text.ids[1..]).copied().collect();
        let weights = texts.iter().flat_map(|text| &text.weights[1..]).copied().collect();
        let length = ids.len();
        Ok(Self {
            ids: Tensor::from_vec(ids, length, &Device::Cpu)?,
            segments: Segments::of_lengths(texts.iter().map(|text| text.ids.len() - 1)),
            loss: CrossEntropy { targets, weights },
            length,
        })
    }
}

impl Network {
    /// Draws normal weights: 0.02 for the embedding, `0.7 / sqrt(in)` for matrices, less for those that write to the residual stream.
    pub(crate) fn new(architecture: Architecture, dice: &mut Dice) -> Result<Self> {
        const HIDDEN: usize = Architecture::HIDDEN;
        let residual = 1.0 / ((2 * architecture.layers) as f32).sqrt();
        let mut matrix = |rows: usize, columns: usize, factor: f32| {
            let deviation = 0.7 * factor / (rows as f32).sqrt();
            let values: Vec<f32> = (0..rows * columns).map(|_| dice.normal() * deviation).collect();
            Var::from_vec(values, (rows, columns), &Device::Cpu)
        };
        let ones = || Var::from_vec(vec![1f32; HIDDEN], HIDDEN, &Device::Cpu);
        let embedding =
            matrix(architecture.vocabulary, HIDDEN, 0.02 / 0.7 * (architecture.vocabulary as f32).sqrt())?;
        let layers = (0..architecture.layers)
            .map(|_| {
                Ok(Layer {
                    attention_norm: ones()?,
                    qkv: matrix(HIDDEN, HIDDEN + 2 * Architecture::KV_WIDTH, 1.0)?,
                    attention_output: matrix(HIDDEN, HIDDEN, residual)?,
                    feed_forward_norm: ones()?,
                    gate_up: matrix(HIDDEN, 2 * architecture.feed_forward, 1.0)?,
                    down: matrix(architecture.feed_forward, HIDDEN, residual)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { architecture, embedding, layers, output_norm: ones()? })
    }

    /// The matrices between embedding and output.
    pub(crate) fn matrices(&self) -> Vec<Var> {
        let of_layer = |layer: &Layer| {
            [&layer.qkv, &layer.attention_output, &layer.gate_up, &layer.down].map(Var::clone)
        };
        self.layers.iter().flat_map(of_layer).collect()
    }

    /// The embedding and the scales of the norms.
    pub(crate) fn embedding_and_norms(&self) -> Vec<Var> {
        let norms = self.layers.iter().flat_map(|layer| [&layer.attention_norm, &layer.feed_forward_norm]);
        [&self.embedding, &self.output_norm].into_iter().chain(norms).cloned().collect()
    }

    /// `[tokens, vocabulary]`
    pub(crate) fn logits(&self, batch: &Batch) -> Result<Tensor> {
        let norm = RmsNorm { epsilon: Architecture::EPSILON };
        let mut x = self.embedding.index_select(&batch.ids, 0)?;
        for layer in &self.layers {
            let rows = x.apply_op2(&layer.attention_norm, norm)?.matmul(&layer.qkv)?;
            let attended = rows.apply_op1(Architecture::attention(batch.segments.clone()))?;
            x = (x + attended.matmul(&layer.attention_output)?)?;
            let rows = x.apply_op2(&layer.feed_forward_norm, norm)?.matmul(&layer.gate_up)?;
            x = (x + rows.apply_op1(SwiGlu)?.matmul(&layer.down)?)?;
        }
        x.apply_op2(&self.output_norm, norm)?.matmul(&self.embedding.t()?)
    }

    /// The weighted mean loss of a batch, ready for `backward`.
    pub(crate) fn loss(&self, batch: &Batch) -> Result<Tensor> {
        self.logits(batch)?.apply_op1(batch.loss.clone())
    }
}
