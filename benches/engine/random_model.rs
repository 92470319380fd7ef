//! A GGUF file of the shape of Llama 3.2 1B, with random weights.
use std::path::{Path, PathBuf};

use aic_quant::gguf::{Metadata, Writer};
use aic_quant::{DType, Result, TensorInfo, encode};
use tempfile::TempDir;

use crate::options::Options;

const VOCABULARY: usize = 32_000;
const HEAD: usize = 64;

/// The file; removed when dropped.
pub(crate) struct Model {
    folder: TempDir,
    bytes: u64,
}

impl Model {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("model.gguf")
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

pub(crate) fn create(dtype: DType, options: &Options) -> Result<Model> {
    let mut writer = Writer::new(metadata(options));
    for (name, shape) in tensors(options) {
        writer.tensor(name, &shape, if shape.len() == 1 { DType::F32 } else { dtype })?;
    }
    let bytes = writer.tensors().iter().map(|tensor| tensor.bytes).sum();
    let folder = TempDir::new().expect("a temporary folder");
    write(&writer, &folder.path().join("model.gguf"))?;
    Ok(Model { folder, bytes })
}

fn write(writer: &Writer, path: &Path) -> Result<()> {
    let bytes = |tensor: &TensorInfo| match tensor.shape.len() {
        1 => encode(&vec![1.0; tensor.row_length()], tensor.dtype),
        _ => rows(tensor),
    };
    writer.save(path, bytes).map(drop)
}

/// Some random rows, over and over.
fn rows(tensor: &TensorInfo) -> Result<Vec<u8>> {
    let length = tensor.row_length();
    let mut state = length as u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) / (length as f32).sqrt()
    };
    let some: Vec<f32> = (0..16 * length).map(|_| random()).collect();
    let bytes = encode(&some, tensor.dtype)?;
    Ok(bytes.iter().copied().cycle().take(tensor.bytes as usize).collect())
}

/// Weights that each token of a prompt is multiplied with, the logits' left out.
pub(crate) fn multiplied_weights(options: &Options) -> f64 {
    let all: usize = tensors(options)
        .iter()
        .filter(|(name, shape)| shape.len() == 2 && name != "token_embd.weight")
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    all as f64
}

fn tensors(options: &Options) -> Vec<(String, Vec<usize>)> {
    let (hidden, wide, keys) = (options.hidden, options.feed_forward, options.hidden / 4);
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), vec![VOCABULARY, hidden]),
        ("output_norm.weight".to_owned(), vec![hidden]),
    ];
    for layer in 0..options.layers {
        let parts = [
            ("attn_norm", vec![hidden]),
            ("attn_q", vec![hidden, hidden]),
            ("attn_k", vec![keys, hidden]),
            ("attn_v", vec![keys, hidden]),
            ("attn_output", vec![hidden, hidden]),
            ("ffn_norm", vec![hidden]),
            ("ffn_gate", vec![wide, hidden]),
            ("ffn_up", vec![wide, hidden]),
            ("ffn_down", vec![hidden, wide]),
        ];
        tensors.extend(parts.into_iter().map(|(part, shape)| (format!("blk.{layer}.{part}.weight"), shape)));
    }
    tensors
}

fn metadata(options: &Options) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    let mut number = |name: &str, value: usize| metadata.insert(format!("llama.{name}"), value as u32);
    number("block_count", options.layers);
    number("context_length", 8192);
    number("embedding_length", options.hidden);
    number("feed_forward_length", options.feed_forward);
    number("attention.head_count", options.hidden / HEAD);
    number("attention.head_count_kv", options.hidden / HEAD / 4);
    number("rope.dimension_count", HEAD);
    metadata.insert("llama.attention.layer_norm_rms_epsilon", 1e-5_f32);
    metadata.insert("llama.rope.freq_base", 500_000.0_f32);
    metadata.insert("tokenizer.ggml.model", "gpt2");
    metadata.insert("tokenizer.ggml.pre", "llama-bpe");
    metadata.insert(
        "tokenizer.ggml.tokens",
        (0..VOCABULARY).map(|token| format!("t{token}")).collect::<Vec<_>>(),
    );
    metadata.insert("tokenizer.ggml.merges", Vec::<String>::new());
    metadata.insert("tokenizer.ggml.eos_token_id", 0_u32);
    metadata
}
