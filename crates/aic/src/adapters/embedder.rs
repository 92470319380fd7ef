//! A local model behind the cache's door: a vector for a text.
use aic_cache::semantic::Embedder;
use async_trait::async_trait;
use tokio::task::spawn_blocking;

/// Makes vectors of length 1 with a local model.
///
/// A [`Model`](aic_quant::Model) that was trained to answer, not to embed, places texts roughly; one that was trained for
/// embeddings does better, which an [`Embedder`](aic_quant::Embedder) runs.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use aic::adapters::LocalEmbedder;
/// use aic::cache::semantic::Embedder as _;
///
/// let embedder = LocalEmbedder::new(aic::quant::Embedder::open("all-MiniLM-L6-v2.gguf")?);
/// let vector = embedder.embed("a blue sky").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LocalEmbedder {
    embedder: aic_quant::Embedder,
}

impl LocalEmbedder {
    /// Makes vectors with `embedder`, or with a model that is loaded already.
    #[must_use]
    pub fn new(embedder: impl Into<aic_quant::Embedder>) -> Self {
        Self { embedder: embedder.into() }
    }
}

#[async_trait]
impl Embedder for LocalEmbedder {
    async fn embed(&self, text: &str) -> aic_cache::Result<Vec<f32>> {
        // The door wants a vector for the empty text too; a blank is the nearest thing a model can read.
        let (embedder, text) = (self.embedder.clone(), if text.is_empty() { " " } else { text }.to_owned());
        let unavailable = |source| aic_cache::Error::Unavailable { store: "local model".to_owned(), source };
        let vectors = spawn_blocking(move || embedder.embed(&[&text])).await;
        let vectors = vectors.map_err(|error| unavailable(error.into()))?;
        let mut vectors = vectors.map_err(|error| unavailable(error.into()))?;
        Ok(vectors.pop().expect("there is a vector for each text"))
    }
}
