use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{
    Ability, ChatRequest, EmbedRequest, Embeddings, ErrorKind, Event, ModelClass, Price, ProviderError, Task,
};

/// What a provider answers with: events, of which `End` is the last.
pub type EventStream = BoxStream<'static, Result<Event, ProviderError>>;

/// Somebody who can answer a chat.
///
/// Implement it to put any model behind the router: an engine in this process, a company's own gateway.
/// The router does the choosing, retrying, timing and accounting; a provider makes one call, once.
///
/// # Contract
/// - The stream ends with exactly one [`Event::End`]; one that ends without it was cut, and counts as failed.
/// - It yields no `Start` and no `Cost`, which are the router's, and nothing after `End` or an error.
/// - Dropping the future or the stream ends the work behind it; nothing is left running or blocked.
/// - An error's kind is chosen with care: what happens next follows from it ([`ErrorKind::next_step`]).
///
/// `testing::provider_contract` (feature `testing`) checks what can be checked from outside.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// Who this is and which models it has. Must not change.
    fn info(&self) -> &ProviderInfo;

    /// Begins to answer `request` with `model`, which is the name of one of [`info`](Self::info)'s models.
    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError>;

    /// Turns each of `request`'s texts into a vector. Not supported unless implemented.
    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        let _ = request;
        let name = &self.info().name;
        Err(ProviderError::new(ErrorKind::Unsupported, format!("`{name}/{model}` makes no embeddings")))
    }

    /// Whether `model` is loaded, as far as is known without waiting. Unknown unless implemented.
    fn warmth(&self, model: &str) -> Warmth {
        let _ = model;
        Warmth::Unknown
    }
}

/// Whether a model would have to be loaded first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmth {
    /// Nobody knows, or it does not matter, as in a cloud.
    #[default]
    Unknown,
    /// It would have to be loaded, which takes seconds to minutes.
    Cold,
    /// It is loaded.
    Warm,
}

#[async_trait]
impl<T: Provider + ?Sized> Provider for Arc<T> {
    fn info(&self) -> &ProviderInfo {
        (**self).info()
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        (**self).chat(model, request).await
    }

    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        (**self).embed(model, request).await
    }

    fn warmth(&self, model: &str) -> Warmth {
        (**self).warmth(model)
    }
}

#[async_trait]
impl<T: Provider + ?Sized> Provider for Box<T> {
    fn info(&self) -> &ProviderInfo {
        (**self).info()
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        (**self).chat(model, request).await
    }

    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        (**self).embed(model, request).await
    }

    fn warmth(&self, model: &str) -> Warmth {
        (**self).warmth(model)
    }
}

/// Where a provider's models run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// On this machine or in this house: nothing is paid per token, and a cold model may load for minutes.
    Local,
    /// At somebody else's, over the network, usually paid per token.
    Cloud,
}

/// Who a provider is and what it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProviderInfo {
    /// A short name, unique in a router: `local`, `ollama`, `openai`.
    pub name: String,
    /// Where its models run.
    pub kind: ProviderKind,
    /// What it serves.
    pub models: Vec<ModelInfo>,
}

impl ProviderInfo {
    /// A provider named `name`, so far without models.
    pub fn new(name: impl Into<String>, kind: ProviderKind) -> Self {
        Self { name: name.into(), kind, models: Vec::new() }
    }

    /// Adds a model.
    pub fn model(mut self, model: ModelInfo) -> Self {
        self.models.push(model);
        self
    }
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// It answers chats.
    Chat,
    /// It makes embeddings.
    Embedding,
}

/// One model of a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The provider's name for it.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The most tokens it holds, question and answer together; `None` where unknown.
    pub context_tokens: Option<u64>,
    /// The most tokens it writes in one answer; `None` where unknown.
    pub output_tokens_max: Option<u64>,
    /// What it can and cannot do; what is not named is unknown, and tried.
    pub abilities: BTreeMap<Ability, bool>,
    /// What its tokens cost; `None` where unknown, which is not free.
    pub price: Option<Price>,
    /// How capable it is; guessed from its name where `None`.
    pub class: Option<ModelClass>,
    /// Tasks it is better at than its class.
    pub strengths: Vec<Task>,
}

impl ModelInfo {
    /// A model that answers chats.
    pub fn chat(name: impl Into<String>) -> Self {
        Self::new(name.into(), Purpose::Chat)
    }

    /// A model that makes embeddings.
    pub fn embedding(name: impl Into<String>) -> Self {
        Self::new(name.into(), Purpose::Embedding)
    }

    fn new(name: String, purpose: Purpose) -> Self {
        Self {
            name,
            purpose,
            context_tokens: None,
            output_tokens_max: None,
            abilities: BTreeMap::new(),
            price: None,
            class: None,
            strengths: Vec::new(),
        }
    }

    /// The most tokens it holds, question and answer together. Unknown by default.
    pub fn context_tokens(mut self, tokens: u64) -> Self {
        self.context_tokens = Some(tokens);
        self
    }

    /// The most tokens it writes in one answer. Unknown by default.
    pub fn output_tokens_max(mut self, tokens: u64) -> Self {
        self.output_tokens_max = Some(tokens);
        self
    }

    /// Says that it can do something. Unknown by default.
    pub fn can(mut self, ability: Ability) -> Self {
        self.abilities.insert(ability, true);
        self
    }

    /// Says that it cannot do something. Unknown by default.
    pub fn cannot(mut self, ability: Ability) -> Self {
        self.abilities.insert(ability, false);
        self
    }

    /// Whether it is known to be able to do something, or not to be.
    pub fn ability(&self, ability: Ability) -> Option<bool> {
        self.abilities.get(&ability).copied()
    }

    /// The same model, and what is left open of it as `other` says it.
    pub(crate) fn or(self, other: Self) -> Self {
        let mut abilities = other.abilities;
        abilities.extend(self.abilities);
        Self {
            context_tokens: self.context_tokens.or(other.context_tokens),
            output_tokens_max: self.output_tokens_max.or(other.output_tokens_max),
            price: self.price.or(other.price),
            class: self.class.or(other.class),
            strengths: if self.strengths.is_empty() { other.strengths } else { self.strengths },
            abilities,
            ..self
        }
    }

    /// The price of its tokens at a provider of this kind: what is stated, else nothing for a local one, else
    /// unknown.
    pub(crate) fn price_at(&self, kind: ProviderKind) -> Option<Price> {
        self.price.or((kind == ProviderKind::Local).then_some(Price::FREE))
    }

    /// What its tokens cost. Unknown by default.
    pub fn price(mut self, price: Price) -> Self {
        self.price = Some(price);
        self
    }

    /// How capable it is. By default guessed from its name.
    pub fn class(mut self, class: ModelClass) -> Self {
        self.class = Some(class);
        self
    }

    /// Adds a task it is better at than its class. None by default.
    pub fn strength(mut self, task: Task) -> Self {
        self.strengths.push(task);
        self
    }
}

impl From<&str> for ModelInfo {
    /// A chat model of that name.
    fn from(name: &str) -> Self {
        Self::chat(name)
    }
}
