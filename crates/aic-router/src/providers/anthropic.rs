use async_trait::async_trait;

use super::known;
use crate::wire::anthropic::{AnthropicEvents, chat_body};
use crate::wire::remote::Remote;
use crate::wire::{Decoder, Framing};
use crate::{
    ApiKey, ChatRequest, EventStream, Http, ModelInfo, Provider, ProviderError, ProviderInfo, ProviderKind,
    Result, prices,
};

/// Anthropic's Claude models.
///
/// Anthropic wants the answer's length bounded: where the request does not, it is as long as the model writes,
/// or 4096 tokens where that is not known. What a request asks for is sent as far as this protocol and the model
/// have it:
///
/// - Seeds and penalties do not exist here, nor do sounds: a request with one fails before it is sent. A
///   temperature above 1 is sent as 1; with a temperature, `top_p` is not sent. Neither is sent to Claude 4.7 and
///   later, which refuse them, nor (but for a `top_p` of at least 0.95) to a model that is told to think.
/// - [`ResponseFormat::Schema`](crate::ResponseFormat::Schema) is Anthropic's structured output, for which
///   objects that do not say so are closed to further properties; it has been there since Claude 4.5.
///   [`ResponseFormat::Json`](crate::ResponseFormat::Json) is an instruction, as there is no field for it.
/// - [`ReasoningEffort`](crate::ReasoningEffort) is an effort from Claude 4.6 on, and before that a budget of
///   2048, 8192 or 24,576 tokens, but never more than half of the answer's greatest length. Without room for
///   1024 of them, when a tool must be called, and when the conversation goes on from tools that another
///   provider's model called, those older models do not think.
/// - With `prompt_cache`, the tools, the system text and the conversation before the newest turn are kept in
///   Anthropic's cache for five minutes.
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

    /// Goes by this name, so that two keys can be used in one router. Defaults to `anthropic`.
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
        self.info.models = models.into_iter().map(|model| prices::completed("anthropic", model)).collect();
        self
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        let body = chat_body(&known(&self.info, model), request)?;
        let decoder = Decoder::new(Framing::Sse, AnthropicEvents::default());
        self.remote.events("messages", &body, decoder).await
    }
}
