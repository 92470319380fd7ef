//! What looking at a model says.
use std::fs;
use std::path::Path;

use aic_quant::gguf::{Metadata, Writer, shard_path};
use aic_quant::{DType, Error, inspect};

fn writer() -> Writer {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", "llama");
    metadata.insert("general.name", "Tiny\u{1b}[31m");
    metadata.insert("general.quantization_version", 2_u32);
    metadata.insert("general.file_type", 15_u32);
    metadata.insert("tokenizer.ggml.model", "gpt2");
    metadata.insert("tokenizer.ggml.pre", "llama-bpe");
    metadata.insert("tokenizer.ggml.tokens", ["a", "b", "c"].map(String::from).to_vec());
    metadata.insert("tokenizer.ggml.bos_token_id", 1_u32);
    metadata.insert("tokenizer.chat_template", "{{ x }}\n".repeat(20));
    metadata.insert("quantize.imatrix.dataset", "wiki.txt");
    metadata.insert("quantize.imatrix.entries_count", 3_i32);
    metadata.insert("quantize.imatrix.chunks_count", 20_i32);
    let mut writer = Writer::new(metadata);
    writer.tensor("token_embd.weight", &[3, 256], DType::F16).unwrap();
    for layer in 0..12 {
        let dtype = if layer == 5 { DType::Q6_K } else { DType::Q4_K };
        writer.tensor(format!("blk.{layer}.ffn_down.weight"), &[256, 256], dtype).unwrap();
        writer.tensor(format!("blk.{layer}.ffn_norm.weight"), &[256], DType::F32).unwrap();
    }
    writer
}

fn write(path: &Path) {
    writer().save(path, |tensor| Ok(vec![0; tensor.bytes as usize])).unwrap();
}

const PICTURE: &str = "\
Tiny [31m, llama, 790.3 k parameters, 464.1 KiB, 4.79 bits per weight
file       FILE, GGUF 3, 464.1 KiB
tokenizer  gpt2 (llama-bpe), 3 tokens, bos 1, chat template
quantized  Q4_K_M, version 2, importance matrix of wiki.txt, 3 matrices, 20 chunks

types
  Q4_K  11 tensors  396.0 KiB  85.7 %
  Q6_K   1 tensor    52.5 KiB  11.4 %
  F32   12 tensors   12.0 KiB   2.6 %
  F16    1 tensor     1.5 KiB   0.3 %

metadata
  general.architecture            llama
  general.name                    Tiny [31m
  general.quantization_version    2
  general.file_type               15
  tokenizer.ggml.model            gpt2
  tokenizer.ggml.pre              llama-bpe
  tokenizer.ggml.tokens           [3 values]
  tokenizer.ggml.bos_token_id     1
  tokenizer.chat_template         {{ x }} {{ x }} {{ x }} {{ x }} {{ x }} {{ x }} {{ x }} {{ x }} {{ x }} …
  quantize.imatrix.dataset        wiki.txt
  quantize.imatrix.entries_count  3
  quantize.imatrix.chunks_count   20

tensors
  token_embd.weight             F16   [3, 256]      1.5 KiB
  blk.0–4,6–11.ffn_down.weight  Q4_K  [256, 256]  396.0 KiB  11 tensors
  blk.0–11.ffn_norm.weight      F32   [256]        12.0 KiB  12 tensors
  blk.5.ffn_down.weight         Q6_K  [256, 256]   52.5 KiB
";

#[test]
fn summary_shows_the_model_at_a_glance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    write(&path);

    let text = inspect(&path).unwrap().to_string();

    assert_eq!(text.replace(path.to_str().unwrap(), "FILE"), PICTURE);
}

#[test]
fn json_has_everything_in_full() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    write(&path);

    let json = serde_json::to_value(inspect(&path).unwrap()).unwrap();

    assert_eq!(json["metadata"]["tokenizer.ggml.tokens"], serde_json::json!(["a", "b", "c"]));
    assert_eq!(json["metadata"]["tokenizer.chat_template"], "{{ x }}\n".repeat(20));
    assert_eq!(json["tensors"].as_array().unwrap().len(), 25);
    assert_eq!(json["tensors"][1]["dtype"], "Q4_K");
    assert_eq!(json["tensors"][1]["shape"], serde_json::json!([256, 256]));
    assert_eq!(json["types"][0]["tensors"], 11);
    assert_eq!(json["quantization"]["imatrix_chunks"], 20);
    assert_eq!(json["tokenizer"]["vocabulary"], 3);
}

#[test]
fn shards_are_looked_at_as_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let shards = writer().split(100_000).unwrap();
    let path = |index| shard_path(&folder.path().join("tiny"), index, shards.len() as u16);
    for (shard, index) in shards.iter().zip(0..) {
        shard.save(path(index), |tensor| Ok(vec![0; tensor.bytes as usize])).unwrap();
    }

    let inspection = inspect(path(2)).unwrap();

    assert_eq!(inspection.files.len(), shards.len());
    assert_eq!(inspection.files[2].path, path(2));
    assert_eq!(inspection.tensors.len(), 25);
    assert_eq!(inspection.architecture.as_deref(), Some("llama"));
}

#[test]
fn half_a_download_is_shown_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    write(&path);
    fs::File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();

    let inspection = inspect(&path).unwrap();

    assert_eq!(inspection.tensors.len(), 25);
    assert!(!inspection.warnings.is_empty());
    assert!(inspection.to_string().contains("the file may be cut short"));
    assert!(aic_quant::open(&path).is_err());
}

/// A safetensors file with one tensor.
fn safetensors() -> Vec<u8> {
    let header = r#"{"bert.layer.0.weight":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 12]].concat()
}

#[test]
fn folder_of_any_kind_of_model_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        r#"{"model_type": "bert", "vocab_size": 30522, "pad_token_id": 0, "eps": 1e-12, "x": [1, null]}"#;
    fs::write(folder.path().join("config.json"), config).unwrap();
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    fs::write(folder.path().join("model.safetensors"), safetensors()).unwrap();

    let inspection = inspect(folder.path()).unwrap();

    assert_eq!(inspection.format, "safetensors");
    assert_eq!(inspection.architecture.as_deref(), Some("bert"));
    assert_eq!(inspection.bits_per_weight, Some(16.0));
    assert_eq!(inspection.metadata.float("eps").unwrap(), Some(1e-12));
    assert_eq!(inspection.metadata.string("x").unwrap(), Some("[1,null]"));
    let tokenizer = inspection.tokenizer.unwrap();
    assert_eq!(tokenizer.vocabulary, Some(30522));
    assert_eq!(tokenizer.special, [("pad".to_owned(), 0)]);

    let alone = inspect(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(alone.tensors, inspection.tensors);
    assert_eq!(alone.tokenizer, None);
}

#[test]
fn what_is_no_model_is_refused_as_by_open() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("model.gguf");
    fs::write(&page, "<!DOCTYPE html>").unwrap();

    assert!(matches!(inspect(&page), Err(Error::NotAModel { .. })));
    assert!(matches!(inspect(folder.path()), Err(Error::Io { .. })));
}
