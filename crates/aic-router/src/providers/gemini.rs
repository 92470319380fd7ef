use async_trait::async_trait;

use super::{known, vectors};
use crate::wire::gemini::{BATCH_MAX, GeminiParts, chat_body, embed_body, embeddings};
use crate::wire::remote::Remote;
use crate::wire::{Decoder, Framing};
use crate::{
    ApiKey, ChatRequest, EmbedRequest, Embeddings, EventStream, Http, ModelInfo, Provider, ProviderError,
    ProviderInfo, ProviderKind, Result, prices,
};

/// Google's Gemini models.
///
/// Pictures and sounds go as bytes, or as addresses that Google can fetch. A
/// [`ReasoningEffort`](crate::ReasoningEffort) is a thinking level from Gemini 3 on and a budget in Gemini 2.5
/// (1024, 8192 or 24,576 tokens); where a model cannot be told not to think, it thinks as little as it can. Of a
/// seed the lower 31 bits are sent.
///
/// Calls that Gemini gives no id get one that the conversation does not have: `call_0`, `call_1` and so on.
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

    /// Goes by this name, so that two keys can be used in one router. Defaults to `gemini`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.info.name = name.into();
        self
    }

    /// Is reached over these connections. Defaults to some of its own.
    ///
    /// # Errors
    /// [`Error::Setup`](crate::Error::Setup) if an HTTP client cannot be made.
    pub fn http(mut self, http: &Http) -> Result<Self> {
        self.remote = self.remote.over(http)?;
        Ok(self)
    }

    /// Has these models in place of those the price table offers; what they leave open is filled in from it.
    pub fn models(mut self, models: impl IntoIterator<Item = ModelInfo>) -> Self {
        self.info.models = models.into_iter().map(|model| prices::completed("gemini", model)).collect();
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
        let body = chat_body(&known(&self.info, model), request)?;
        let decoder = Decoder::new(Framing::Sse, GeminiParts::answering(request));
        self.remote.events(&path, &body, decoder).await
    }

    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        let path = format!("models/{model}:batchEmbedContents");
        let mut all = Vec::with_capacity(request.inputs.len());
        for inputs in request.inputs.chunks(BATCH_MAX) {
            let answer = self.remote.post(&path, &embed_body(model, request, inputs)).await?;
            all.extend(vectors(&answer, embeddings)?.vectors);
        }
        Ok(Embeddings::new(all, None))
    }
}
