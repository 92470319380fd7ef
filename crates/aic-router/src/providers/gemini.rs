use async_trait::async_trait;

use super::vectors;
use crate::wire::gemini::{GeminiParts, chat_body, embed_body, embeddings};
use crate::wire::remote::Remote;
use crate::wire::{Decoder, Framing};
use crate::{
    ApiKey, ChatRequest, EmbedRequest, Embeddings, EventStream, ModelInfo, Provider, ProviderError,
    ProviderInfo, ProviderKind, Result, prices,
};

/// Google's Gemini models, text only.
#[derive(Debug)]
pub struct Gemini {
    info: ProviderInfo,
    remote: Remote,
}

impl Gemini {
    /// Google's own service, with the models of the price table.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if no header may hold the key.
    pub fn new(key: impl Into<ApiKey>) -> Result<Self> {
        Self::at("https://generativelanguage.googleapis.com/v1beta", key)
    }

    /// A server that speaks Gemini's protocol, whose `models` is right below `base_url`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the address is not one of HTTP, or no header may hold the key.
    pub fn at(base_url: &str, key: impl Into<ApiKey>) -> Result<Self> {
        let remote = Remote::new(base_url)?.key("x-goog-api-key", "", key.into())?;
        let models = prices::models_of("gemini");
        Ok(Self { info: ProviderInfo { models, ..ProviderInfo::new("gemini", ProviderKind::Cloud) }, remote })
    }

    /// Has these models in place of those of the price table.
    pub fn models(mut self, models: impl IntoIterator<Item = ModelInfo>) -> Self {
        self.info.models = models.into_iter().collect();
        self
    }
}

#[async_trait]
impl Provider for Gemini {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        let path = format!("models/{model}:streamGenerateContent?alt=sse");
        let decoder = Decoder::new(Framing::Sse, GeminiParts::default());
        self.remote.events(&path, &chat_body(request), decoder).await
    }

    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        let path = format!("models/{model}:batchEmbedContents");
        vectors(&self.remote.post(&path, &embed_body(model, request)).await?, embeddings)
    }
}
