//! What users of the crate meet: files that are not what they should be, and other programs' view of ours.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
#[cfg(all(feature = "engine", target_os = "linux"))]
mod affinity;
mod blocks;
#[cfg(feature = "engine")]
mod calibrate;
#[cfg(feature = "candle")]
mod candle;
#[cfg(feature = "engine")]
mod constraints;
#[cfg(feature = "engine")]
mod demo;
#[cfg(feature = "candle")]
mod distill;
#[cfg(feature = "engine")]
mod embedder;
mod environment;
#[cfg(all(feature = "engine", target_os = "linux"))]
mod estimates;
#[cfg(feature = "engine")]
mod families;
#[path = "../fixtures/gguf.rs"]
mod fixtures;
#[cfg(feature = "engine")]
mod gate;
mod generated;
mod gguf_bad;
mod gguf_round_trip;
mod gguf_split;
#[cfg(feature = "engine")]
mod huggingface;
mod imatrix;
mod inspect;
mod k_quants;
#[cfg(feature = "engine")]
mod mishaps;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(feature = "engine")]
mod prune;
#[cfg(feature = "engine")]
mod python;
mod quantize;
mod queue;
#[cfg(feature = "engine")]
mod recipe_demo;
mod residency;
mod safetensors_folder;
#[cfg(feature = "engine")]
mod serving;
