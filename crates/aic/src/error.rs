use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aic_cache::Refusal;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the facade itself, or in the crate that did the work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be used.
    #[error("configuration in {place}: {message}")]
    Config {
        /// The file or the environment variable.
        place: String,
        /// What is wrong there, and what was expected.
        message: String,
    },
    /// The local model was asked for and could not be loaded.
    #[error("model {}", path.display())]
    Model {
        /// The file that was asked for.
        path: PathBuf,
        /// Why it could not be loaded.
        source: aic_quant::Error,
    },
    /// No provider could answer. Callers who were sharing the answer share the error.
    #[error(transparent)]
    Router(Arc<aic_router::Error>),
    /// The same request was refused before for what it is, and would be again; it was not sent.
    #[error("refused {} s ago for what it asks, and not sent again: {}", age.as_secs(), refusal.message)]
    Refused {
        /// What was said then.
        refusal: Refusal,
        /// How long ago.
        age: Duration,
    },
    /// The cache could not be told. What it was told holds in this process.
    #[error("cache")]
    Cache(#[source] aic_cache::Error),
    /// No local model is loaded, and none of the providers makes embeddings.
    #[error(
        "nothing here makes embeddings: load a model (model.embedding, AIC_EMBEDDING_MODEL) or start Ollama"
    )]
    NoEmbedder,
    /// The local model failed while embedding.
    #[error("embedding with the local model")]
    Embed(#[source] aic_quant::Error),
    /// A part could not be started.
    #[error("starting the {part}")]
    Start {
        /// Which part.
        part: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<aic_router::Error> for Error {
    fn from(error: aic_router::Error) -> Self {
        Self::Router(Arc::new(error))
    }
}
