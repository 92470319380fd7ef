use async_trait::async_trait;

use super::vectors;
use crate::wire::openai::{OpenAiChunks, chat_body, embed_body, embeddings};
use crate::wire::remote::Remote;
use crate::wire::{Decoder, Framing};
use crate::{
    ApiKey, ChatRequest, EmbedRequest, Embeddings, Error, EventStream, Http, ModelInfo, Provider,
    ProviderError, ProviderInfo, ProviderKind, Result, prices,
};

/// Where OpenAI itself is.
const OPENAI_URL: &str = "https://api.openai.com/v1";
const OPENAI_HOST: &str = "api.openai.com";

/// OpenAI, or any server that speaks its Chat Completions: vLLM, SGLang, llama.cpp, a company's gateway.
///
/// ```
/// use aic_router::OpenAi;
///
/// let vllm = OpenAi::builder("http://gpu-box:8000/v1").name("vllm").local().model("Qwen/Qwen3-8B").build()?;
/// # Ok::<_, aic_router::Error>(())
/// ```
#[derive(Debug)]
pub struct OpenAi {
    info: ProviderInfo,
    remote: Remote,
    limit_field: &'static str,
}

impl OpenAi {
    /// OpenAI itself, with the models of the price table.
    ///
    /// # Errors
    /// [`Error::Config`] if no header may hold the key.
    pub fn new(key: impl Into<ApiKey>) -> Result<Self> {
        Self::builder(OPENAI_URL).key(key).build()
    }

    /// A server whose `chat/completions` is right below `base_url`, as in `http://localhost:8000/v1`.
    pub fn builder(base_url: impl Into<String>) -> OpenAiBuilder {
        OpenAiBuilder {
            base_url: base_url.into(),
            name: None,
            kind: ProviderKind::Cloud,
            key: None,
            models: Vec::new(),
            http: Http::default(),
        }
    }
}

/// Collects the settings of an [`OpenAi`].
#[derive(Debug)]
#[must_use]
pub struct OpenAiBuilder {
    base_url: String,
    name: Option<String>,
    kind: ProviderKind,
    key: Option<ApiKey>,
    models: Vec<ModelInfo>,
    http: Http,
}

impl OpenAiBuilder {
    /// The provider's name. Defaults to `openai` for OpenAI itself and to the host's name for others.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Says that nothing is paid per token there. Cloud by default.
    pub fn local(mut self) -> Self {
        self.kind = ProviderKind::Local;
        self
    }

    /// The key, sent as a bearer token. None by default.
    pub fn key(mut self, key: impl Into<ApiKey>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a model. By default OpenAI itself has those of the price table, other servers none.
    pub fn model(mut self, model: impl Into<ModelInfo>) -> Self {
        self.models.push(model.into());
        self
    }

    /// The connections to use. Its own by default.
    pub fn http(mut self, http: &Http) -> Self {
        self.http = http.clone();
        self
    }

    /// Builds the provider; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Config`] if the address is not one of HTTP, no header may hold the key, or there is no model.
    pub fn build(self) -> Result<OpenAi> {
        let mut remote = Remote::with(&self.base_url, &self.http)?;
        if let Some(key) = self.key {
            remote = remote.key("authorization", "Bearer ", key)?;
        }
        let first_party = remote.host() == OPENAI_HOST;
        let models = if first_party { with_prices(self.models) } else { self.models };
        let name =
            self.name.unwrap_or_else(|| if first_party { "openai".into() } else { remote.host().into() });
        if models.is_empty() {
            return Err(Error::Config(format!("`{name}` has no model; name one with `model`")));
        }
        let info = ProviderInfo { models, ..ProviderInfo::new(name, self.kind) };
        // OpenAI's newer models refuse `max_tokens`; most other servers know nothing else.
        let limit_field = if first_party { "max_completion_tokens" } else { "max_tokens" };
        Ok(OpenAi { info, remote, limit_field })
    }
}

/// Fills in what the price table knows; without models, takes all of its.
fn with_prices(models: Vec<ModelInfo>) -> Vec<ModelInfo> {
    if models.is_empty() {
        return prices::models_of("openai");
    }
    let fill = |model: ModelInfo| {
        let known = prices::known("openai", &model.name);
        ModelInfo {
            price: model.price.or(known.as_ref().and_then(|known| known.price)),
            context_tokens: model.context_tokens.or(known.and_then(|known| known.context_tokens)),
            ..model
        }
    };
    models.into_iter().map(fill).collect()
}

#[async_trait]
impl Provider for OpenAi {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        let body = chat_body(model, request, self.limit_field);
        let decoder = Decoder::new(Framing::Sse, OpenAiChunks::default());
        self.remote.events("chat/completions", &body, decoder).await
    }

    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        vectors(&self.remote.post("embeddings", &embed_body(model, request)).await?, embeddings)
    }
}
