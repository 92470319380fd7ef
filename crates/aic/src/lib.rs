//! Fast, cheap and dependable AI calls on whatever machine the program finds itself on.
//!
//! [`Aic::from_env`] looks at the machine, picks a profile, loads a local model as that profile says, finds Ollama, the
//! clouds whose keys are set and Redis, and says in plain words what it found and what it chose. With nothing but
//! `aic` in `Cargo.toml`:
//!
//! ```
//! # #[cfg(all(feature = "full", feature = "demo-model"))]
//! #[aic::tokio::main(crate = "aic::tokio")]
//! async fn main() -> aic::Result<()> {
//!     let ai = aic::Aic::from_env().await?;
//!
//!     let answer = ai.ask("Why is the sky blue?").await?;
//!     println!("{answer}");
//!
//!     let mut stream = ai.chat("What is the capital of France?").await?;
//!     while let Some(event) = stream.next().await {
//!         if let aic::Event::Text(text) = event? {
//!             print!("{text}");
//!         }
//!     }
//!
//!     println!("{}", ai.status()); // which backend, cached or not, what it cost, how the machine feels
//!     ai.shutdown().await;
//!     Ok(())
//! }
//! # #[cfg(not(all(feature = "full", feature = "demo-model")))]
//! # fn main() {}
//! ```
//!
//! # Settings
//! Everything has a default. [`Config`] lists what `aic.toml` (or `aic.yaml`, with the feature `yaml`) may say; of the
//! environment, `AIC_CONFIG`, `AIC_MODEL`, `AIC_EMBEDDING_MODEL`, `AIC_QUANTIZATION`, `AIC_PRIORITY`, `OLLAMA_HOST`, `GEMINI_API_KEY`,
//! `ANTHROPIC_API_KEY`, `OPENAI_API_KEY`, `OPENAI_BASE_URL` and `REDIS_URL` are read.
//!
//! # Features
//! Each feature named after a crate re-exports that crate as a module, which is useful alone. `full`, the default, turns
//! all of them on and adds [`Aic`]. Further ones: `demo-model` (a small demonstration model inside the program), `nvml`
//! (NVIDIA GPUs), `redis`, `yaml`.
#[cfg(feature = "alerts")]
pub use aic_alerts as alerts;
#[cfg(feature = "bench")]
pub use aic_bench as bench;
#[cfg(feature = "cache")]
pub use aic_cache as cache;
#[cfg(feature = "monitor")]
pub use aic_monitor as monitor;
#[cfg(feature = "profiles")]
pub use aic_profiles as profiles;
#[cfg(feature = "quant")]
pub use aic_quant as quant;
#[cfg(feature = "router")]
pub use aic_router as router;
#[cfg(feature = "tuner")]
pub use aic_tuner as tuner;

#[cfg(feature = "full")]
pub mod adapters;
#[cfg(feature = "full")]
mod ai;
#[cfg(feature = "full")]
mod answer;
#[cfg(feature = "full")]
mod assembly;
#[cfg(feature = "full")]
mod builder;
#[cfg(feature = "full")]
mod cache_explanation;
#[cfg(feature = "full")]
pub mod config;
#[cfg(feature = "full")]
mod error;
#[cfg(feature = "full")]
mod finding;
#[cfg(feature = "full")]
mod further;
#[cfg(feature = "full")]
mod identity;
#[cfg(feature = "full")]
mod keeping;
#[cfg(feature = "full")]
mod question;
#[cfg(feature = "full")]
mod status;
#[cfg(feature = "full")]
mod step;
#[cfg(feature = "full")]
mod stream;

#[cfg(feature = "full")]
pub use {
    ai::Aic,
    aic_router::{
        ChatRequest, EmbedRequest, Embeddings, Event, Explanation, FinishReason, NanoUsd, Priority, Task,
        Usage,
    },
    answer::{Answer, Origin},
    builder::Builder,
    cache_explanation::CacheExplanation,
    config::{Config, Environment},
    error::{Error, Result},
    finding::{Finding, FindingState},
    question::Question,
    status::{FurtherModelStatus, ModelStatus, Status},
    step::{Progress, Step},
    stream::ChatStream,
    tokio,
};

/// The demonstration model of this project, a GGUF file: see `docs/demo-model.md`.
#[cfg(feature = "demo-model")]
pub static DEMO_MODEL: &[u8] = include_bytes!("../models/aic-demo-f16.gguf");

/// The tour in docs/cache.md: its programs are compiled, and run where they need nothing.
#[cfg(all(doctest, feature = "full", feature = "redis"))]
#[doc = include_str!("../../../docs/cache.md")]
mod cache_tour {}

/// The tour in docs/quantization.md: its programs are compiled.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../../docs/quantization.md")]
mod quantization_tour {}

/// The tour in docs/inference-onnx.md: its program is compiled.
#[cfg(all(doctest, feature = "full", feature = "onnx"))]
#[doc = include_str!("../../../docs/inference-onnx.md")]
mod onnx_tour {}
