//! The local model behind the cache's door: a vector for a text.
use aic_cache::semantic::Embedder;
use aic_quant::Model;
use async_trait::async_trait;
use tokio::task::spawn_blocking;

/// Makes vectors with a local model: the mean of its last hidden states, of length 1.
///
/// A model trained to answer, not to embed, places texts roughly; a model trained for embeddings does better.
#[derive(Clone, Debug)]
pub struct LocalEmbedder {
    model: Model,
}

impl LocalEmbedder {
    /// Makes vectors with `model`.
    #[must_use]
    pub fn new(model: Model) -> Self {
        Self { model }
    }
}

#[async_trait]
impl Embedder for LocalEmbedder {
    async fn embed(&self, text: &str) -> aic_cache::Result<Vec<f32>> {
        // The door wants a vector for the empty text too; a blank is the nearest thing a model can read.
        let (model, text) = (self.model.clone(), if text.is_empty() { " " } else { text }.to_owned());
        let unavailable = |source| aic_cache::Error::Unavailable { store: "local model".to_owned(), source };
        let vector =
            spawn_blocking(move || model.embed(&text)).await.map_err(|error| unavailable(error.into()))?;
        vector.map_err(|error| unavailable(error.into()))
    }
}
