//! A tiny model with random weights, and what it should compute, in plain loops.
use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::gguf::{Metadata, Writer};
use crate::{DType, encode, tokenizer};

/// The measures of a tiny model.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) architecture: &'static str,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    pub(crate) rope_size: usize,
}

pub(crate) const LLAMA: Shape = Shape {
    architecture: "llama",
    hidden: 64,
    feed_forward: 96,
    layers: 2,
    heads: 4,
    kv_heads: 2,
    head_size: 16,
    rope_size: 16,
};

/// Metadata and tensors, as a file would have them.
pub(crate) struct Tiny {
    pub(crate) shape: Shape,
    pub(crate) metadata: Metadata,
    pub(crate) tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

const EPSILON: f32 = 1e-5;
const ROPE_BASE: f32 = 10_000.0;

impl Tiny {
    pub(crate) fn new(shape: Shape) -> Self {
        let mut tiny = Self { shape, metadata: describe(shape), tensors: BTreeMap::new() };
        let mut random = StdRng::seed_from_u64(42);
        let Shape { hidden, feed_forward, heads, kv_heads, head_size, .. } = shape;
        tiny.add(&mut random, "token_embd.weight", &[tiny.vocabulary(), hidden]);
        tiny.add(&mut random, "output_norm.weight", &[hidden]);
        for layer in 0..shape.layers {
            let mut add =
                |part: &str, shape: &[usize]| tiny.add(&mut random, &format!("blk.{layer}.{part}"), shape);
            add("attn_norm.weight", &[hidden]);
            add("attn_q.weight", &[heads * head_size, hidden]);
            add("attn_k.weight", &[kv_heads * head_size, hidden]);
            add("attn_v.weight", &[kv_heads * head_size, hidden]);
            add("attn_output.weight", &[hidden, heads * head_size]);
            add("ffn_norm.weight", &[hidden]);
            add("ffn_gate.weight", &[feed_forward, hidden]);
            add("ffn_up.weight", &[feed_forward, hidden]);
            add("ffn_down.weight", &[hidden, feed_forward]);
            if shape.architecture == "qwen2" {
                add("attn_q.bias", &[heads * head_size]);
                add("attn_k.bias", &[kv_heads * head_size]);
                add("attn_v.bias", &[kv_heads * head_size]);
            }
            if shape.architecture == "qwen3" {
                add("attn_q_norm.weight", &[head_size]);
                add("attn_k_norm.weight", &[head_size]);
            }
        }
        tiny
    }

    pub(crate) fn vocabulary(&self) -> usize {
        self.metadata.array("tokenizer.ggml.tokens").unwrap().unwrap().len()
    }

    /// The model as a GGUF file whose matrices have `dtype`.
    pub(crate) fn gguf(&self, dtype: DType) -> Vec<u8> {
        let mut writer = Writer::new(self.metadata.clone());
        for (name, (shape, _)) in &self.tensors {
            let dtype = if shape.len() == 2 { dtype } else { DType::F32 };
            writer.tensor(name, shape, dtype).unwrap();
        }
        writer.to_vec(|tensor| encode(&self.tensors[&tensor.name].1, tensor.dtype)).unwrap()
    }

    /// Vectors are around 1 (norms) or 0 (biases), matrices scaled to keep the size of what they multiply.
    fn add(&mut self, random: &mut StdRng, name: &str, shape: &[usize]) {
        let scale = if shape.len() == 2 { 3.0 / (shape[1] as f32).sqrt() } else { 0.5 };
        let centre = if name.contains("norm") { 1.0 } else { 0.0 };
        let count = shape.iter().product();
        let values = (0..count).map(|_| centre + scale * (random.random::<f32>() - 0.5)).collect();
        self.tensors.insert(name.to_owned(), (shape.to_vec(), values));
    }

    /// The logits after each of `tokens`.
    pub(crate) fn logits(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        let mut states: Vec<Vec<f64>> = tokens.iter().map(|token| self.embedding(*token)).collect();
        for layer in 0..self.shape.layers {
            states = self.layer(layer, &states);
        }
        let output =
            |state: &Vec<f64>| self.multiply("token_embd.weight", &self.norm("output_norm.weight", state));
        states.iter().map(output).collect()
    }

    fn embedding(&self, token: u32) -> Vec<f64> {
        let row = self.shape.hidden * token as usize;
        self.values("token_embd.weight")[row..row + self.shape.hidden].iter().map(|x| f64::from(*x)).collect()
    }

    fn layer(&self, layer: usize, states: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let attended = self.attention(layer, states);
        let fed = |state: Vec<f64>| {
            let normed = self.norm(&name("ffn_norm.weight"), &state);
            let gate = self.multiply(&name("ffn_gate.weight"), &normed);
            let up = self.multiply(&name("ffn_up.weight"), &normed);
            let mixed: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
            sum(&state, &self.multiply(&name("ffn_down.weight"), &mixed))
        };
        states.iter().zip(&attended).map(|(state, change)| fed(sum(state, change))).collect()
    }

    fn attention(&self, layer: usize, states: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let Shape { heads, kv_heads, head_size, .. } = self.shape;
        let normed: Vec<_> = states.iter().map(|state| self.norm(&name("attn_norm.weight"), state)).collect();
        let project = |part: &str| -> Vec<Vec<f64>> {
            normed.iter().map(|state| self.linear(&name(part), state)).collect()
        };
        let (mut queries, mut keys, values) = (project("attn_q"), project("attn_k"), project("attn_v"));
        for (position, (query, key)) in queries.iter_mut().zip(&mut keys).enumerate() {
            for head in query.chunks_mut(head_size) {
                self.prepare(head, &name("attn_q_norm.weight"), position);
            }
            for head in key.chunks_mut(head_size) {
                self.prepare(head, &name("attn_k_norm.weight"), position);
            }
        }
        let attend = |position: usize| {
            let mut joined = Vec::new();
            for head in 0..heads {
                let kv = head / (heads / kv_heads) * head_size;
                let query = &queries[position][head * head_size..(head + 1) * head_size];
                let scores: Vec<f64> = (0..=position)
                    .map(|seen| dot(query, &keys[seen][kv..kv + head_size]) / (head_size as f64).sqrt())
                    .collect();
                let shares = softmax(&scores);
                joined.extend((0..head_size).map(|i| {
                    shares.iter().enumerate().map(|(seen, share)| share * values[seen][kv + i]).sum::<f64>()
                }));
            }
            self.multiply(&name("attn_output.weight"), &joined)
        };
        (0..states.len()).map(attend).collect()
    }

    /// Norm (Qwen 3) and rotation of one head.
    fn prepare(&self, head: &mut [f64], norm: &str, position: usize) {
        if self.tensors.contains_key(norm) {
            let normed = self.norm(norm, head);
            head.copy_from_slice(&normed);
        }
        let pairs = self.shape.rope_size / 2;
        for pair in 0..pairs {
            let exponent = (2 * pair) as f64 / self.shape.rope_size as f64;
            let angle = position as f64 / f64::from(ROPE_BASE).powf(exponent);
            let (a, b) = match self.shape.architecture {
                "llama" => (2 * pair, 2 * pair + 1),
                _ => (pair, pair + pairs),
            };
            let (x, y) = (head[a], head[b]);
            head[a] = x * angle.cos() - y * angle.sin();
            head[b] = x * angle.sin() + y * angle.cos();
        }
    }

    fn linear(&self, name: &str, input: &[f64]) -> Vec<f64> {
        let output = self.multiply(&format!("{name}.weight"), input);
        match self.tensors.get(&format!("{name}.bias")) {
            Some((_, bias)) => output.iter().zip(bias).map(|(x, b)| x + f64::from(*b)).collect(),
            None => output,
        }
    }

    fn multiply(&self, name: &str, input: &[f64]) -> Vec<f64> {
        let row = |row: &[f32]| row.iter().zip(input).map(|(w, x)| f64::from(*w) * x).sum();
        self.values(name).chunks(input.len()).map(row).collect()
    }

    fn norm(&self, name: &str, input: &[f64]) -> Vec<f64> {
        let mean = input.iter().map(|x| x * x).sum::<f64>() / input.len() as f64;
        let scale = 1.0 / (mean + f64::from(EPSILON)).sqrt();
        input.iter().zip(self.values(name)).map(|(x, w)| x * scale * f64::from(*w)).collect()
    }

    fn values(&self, name: &str) -> &[f32] {
        &self.tensors[name].1
    }
}

fn describe(shape: Shape) -> Metadata {
    let mut metadata = tokenizer::tests::tiny();
    metadata.insert("general.architecture", shape.architecture);
    metadata.insert("general.name", "tiny");
    metadata.insert("general.license", "MIT");
    let mut put = |name: &str, value: usize| {
        metadata.insert(format!("{}.{name}", shape.architecture), value as u32);
    };
    put("block_count", shape.layers);
    put("context_length", 1024);
    put("embedding_length", shape.hidden);
    put("feed_forward_length", shape.feed_forward);
    put("attention.head_count", shape.heads);
    put("attention.head_count_kv", shape.kv_heads);
    put("attention.key_length", shape.head_size);
    put("attention.value_length", shape.head_size);
    put("rope.dimension_count", shape.rope_size);
    metadata.insert(format!("{}.rope.freq_base", shape.architecture), ROPE_BASE);
    metadata.insert(format!("{}.attention.layer_norm_rms_epsilon", shape.architecture), EPSILON);
    metadata
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn softmax(logits: &[f64]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - highest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}
