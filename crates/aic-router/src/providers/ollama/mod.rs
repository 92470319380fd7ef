mod builder;
mod options;
mod pull;
mod warmth;

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::json;

pub use self::builder::OllamaBuilder;
pub use self::options::OllamaOptions;
pub use self::pull::PullProgress;
pub use self::warmth::LoadedModel;
use self::warmth::{RefreshOnDrop, Watch};
use super::vectors;
use crate::wire::ollama::{OllamaLines, Settings, Target, embeddings, unload_body};
use crate::wire::remote::Remote;
use crate::wire::{Decoder, Framing};
use crate::{
    ChatRequest, EmbedRequest, Embeddings, EventStream, ModelInfo, Provider, ProviderError, ProviderInfo,
    Result, Warmth,
};

/// The models of an [Ollama](https://ollama.com) server.
///
/// Nothing is cut silently: each request names a context that holds it, within the model's and the machine's
/// bounds, and one that does not fit is refused as too long before it is sent.
///
/// ```no_run
/// # async fn run() -> aic_router::Result<()> {
/// use std::time::Duration;
///
/// use aic_router::{Ollama, OllamaOptions};
///
/// let ollama = Ollama::builder("http://gpu-box:11434")
///     .keep_alive(Duration::from_secs(3600))
///     .options(OllamaOptions { context_tokens_max: Some(32_768), ..OllamaOptions::default() })
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Ollama {
    info: ProviderInfo,
    remote: Remote,
    settings: Settings,
    watch: Arc<Watch>,
}

impl Ollama {
    /// Starts the settings of the server at `url`, as in `http://localhost:11434`.
    pub fn builder(url: impl Into<String>) -> OllamaBuilder {
        OllamaBuilder::new(url.into())
    }

    /// Finds the models of the server at `url`, as in `http://localhost:11434`, with default settings.
    ///
    /// # Errors
    /// Those of [`OllamaBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder(url).connect().await
    }

    /// The models that are in memory now.
    ///
    /// # Errors
    /// If the server does not say so within 5 s.
    pub async fn loaded(&self) -> Result<Vec<LoadedModel>, ProviderError> {
        let seen = warmth::look(&self.remote).await;
        self.watch.saw(seen.as_deref().ok());
        seen
    }

    /// Has the server download `model`, as in `llama3.2:3b`, and says how far that is.
    ///
    /// The model is whole once `success` came, the last item; a stream that would end without it yields an
    /// error in its place. A new model is among [`info`](Provider::info)'s after connecting again. Nothing
    /// bounds the time it takes.
    ///
    /// # Errors
    /// If the server refuses; within the stream too, as `ModelNotFound` for a name that does not exist.
    ///
    /// # Cancel safety
    /// Dropping the future or the stream stops the download; Ollama goes on from there the next time.
    pub async fn pull(
        &self,
        model: &str,
    ) -> Result<BoxStream<'static, Result<PullProgress, ProviderError>>, ProviderError> {
        let lines = self.remote.lines("api/pull", &json!({"model": model, "stream": true})).await?;
        Ok(pull::progress(lines))
    }

    /// Loads `model`, and returns once it is in memory, which takes seconds to minutes.
    ///
    /// # Errors
    /// If the server does not have it or cannot load it.
    pub async fn preload(&self, model: &str) -> Result<(), ProviderError> {
        let model = self.model(model);
        let (path, body) = self.target(&model).preload();
        self.load_or_unload(path, &body).await
    }

    /// Takes `model` out of memory; an answer that is being written is finished first.
    ///
    /// # Errors
    /// If the server does not have it.
    pub async fn unload(&self, model: &str) -> Result<(), ProviderError> {
        self.load_or_unload("api/chat", &unload_body(model)).await
    }

    async fn load_or_unload(&self, path: &str, body: &serde_json::Value) -> Result<(), ProviderError> {
        let _refresh = RefreshOnDrop::new(&self.watch);
        self.remote.post(path, body).await.map(drop)
    }

    /// What is known of a model; of one that came after connecting, its name.
    fn model(&self, name: &str) -> Cow<'_, ModelInfo> {
        let known = self.info.models.iter().find(|model| warmth::same(&model.name, name));
        known.map_or_else(|| Cow::Owned(ModelInfo::chat(name)), Cow::Borrowed)
    }

    fn target<'a>(&'a self, model: &'a ModelInfo) -> Target<'a> {
        let loaded_context = self.watch.context_tokens(&model.name);
        Target { model, settings: &self.settings, loaded_context }
    }
}

#[async_trait]
impl Provider for Ollama {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        let body = self.target(&self.model(model)).chat(request)?;
        let refresh = RefreshOnDrop::new(&self.watch);
        let decoder = Decoder::new(Framing::Ndjson, OllamaLines::new(request));
        let events = self.remote.events("api/chat", &body, decoder).await?;
        Ok(events.inspect(move |_| _ = &refresh).boxed())
    }

    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        let body = self.target(&self.model(model)).embed(request);
        let _refresh = RefreshOnDrop::new(&self.watch);
        vectors(&self.remote.post("api/embed", &body).await?, embeddings)
    }

    /// As last seen, at most a minute ago; each call has it looked up again in the background.
    fn warmth(&self, model: &str) -> Warmth {
        self.watch.refresh();
        self.watch.warmth(model)
    }
}
