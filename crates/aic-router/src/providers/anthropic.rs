use async_trait::async_trait;

use crate::wire::anthropic::{AnthropicEvents, chat_body};
use crate::wire::remote::Remote;
use crate::wire::{Decoder, Framing};
use crate::{
    ApiKey, ChatRequest, EventStream, ModelInfo, Provider, ProviderError, ProviderInfo, ProviderKind, Result,
    prices,
};

/// Anthropic's Claude models, text only.
///
/// Requests that do not bound the answer's length get at most 4096 tokens; seeds are not sent.
#[derive(Debug)]
pub struct Anthropic {
    info: ProviderInfo,
    remote: Remote,
}

impl Anthropic {
    /// Anthropic itself, with the models of the price table.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if no header may hold the key.
    pub fn new(key: impl Into<ApiKey>) -> Result<Self> {
        Self::at("https://api.anthropic.com/v1", key)
    }

    /// A server that speaks Anthropic's protocol, whose `messages` is right below `base_url`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the address is not one of HTTP, or no header may hold the key.
    pub fn at(base_url: &str, key: impl Into<ApiKey>) -> Result<Self> {
        let remote = Remote::new(base_url)?.key("x-api-key", "", key.into())?;
        let models = prices::models_of("anthropic");
        let info = ProviderInfo { models, ..ProviderInfo::new("anthropic", ProviderKind::Cloud) };
        Ok(Self { info, remote: remote.header("anthropic-version", "2023-06-01") })
    }

    /// Has these models in place of those of the price table.
    pub fn models(mut self, models: impl IntoIterator<Item = ModelInfo>) -> Self {
        self.info.models = models.into_iter().collect();
        self
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        let decoder = Decoder::new(Framing::Sse, AnthropicEvents::default());
        self.remote.events("messages", &chat_body(model, request), decoder).await
    }
}
