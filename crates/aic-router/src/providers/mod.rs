//! The providers that are reached over HTTP.

mod anthropic;
mod gemini;
mod ollama;
mod openai;

pub use anthropic::Anthropic;
pub use gemini::Gemini;
pub use ollama::{LoadedModel, Ollama, OllamaBuilder, OllamaOptions, PullProgress};
pub use openai::{OpenAi, OpenAiApi, OpenAiBuilder};

use serde_json::Value;

use crate::{Embeddings, ErrorKind, ModelInfo, ProviderError, ProviderInfo};

/// The vectors of an answer, or that it is none.
fn vectors(answer: &Value, read: fn(&Value) -> Option<Embeddings>) -> Result<Embeddings, ProviderError> {
    read(answer).ok_or_else(|| ProviderError::new(ErrorKind::Malformed, "the answer has no vectors"))
}

/// What is known of a model; of one that is not listed, its name.
fn known(info: &ProviderInfo, model: &str) -> ModelInfo {
    let listed = info.models.iter().find(|listed| listed.name == model);
    listed.cloned().unwrap_or_else(|| ModelInfo::chat(model))
}
