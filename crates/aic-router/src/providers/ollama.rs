use std::time::Duration;

use async_trait::async_trait;

use super::vectors;
use crate::wire::ollama::{OllamaLines, chat_body, embeddings, models};
use crate::wire::openai::embed_body;
use crate::wire::remote::Remote;
use crate::wire::{Decoder, Framing};
use crate::{
    ChatRequest, EmbedRequest, Embeddings, Error, ErrorKind, EventStream, Provider, ProviderError,
    ProviderInfo, ProviderKind, Result,
};

/// How long Ollama may take to list its models.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// The models of an [Ollama](https://ollama.com) server.
#[derive(Debug)]
pub struct Ollama {
    info: ProviderInfo,
    remote: Remote,
}

impl Ollama {
    /// Finds the models of the server at `url`, as in `http://localhost:11434`.
    ///
    /// # Errors
    /// [`Error::Config`] if the address is not one of HTTP; [`Error::Setup`] if nobody answers there, or
    /// somebody else does.
    pub async fn connect(url: &str) -> Result<Self> {
        let remote = Remote::new(url)?;
        let listed = tokio::time::timeout(LIST_TIMEOUT, remote.get("api/tags")).await;
        let listed = listed.unwrap_or_else(|_| Err(slow())).and_then(|tags| {
            models(&tags).ok_or_else(|| ProviderError::new(ErrorKind::Malformed, "the server is not Ollama"))
        });
        let models = listed.map_err(|source| Error::Setup { provider: "ollama".into(), source })?;
        Ok(Self { info: ProviderInfo { models, ..ProviderInfo::new("ollama", ProviderKind::Local) }, remote })
    }
}

fn slow() -> ProviderError {
    ProviderError::new(ErrorKind::Timeout, format!("no list of models within {LIST_TIMEOUT:?}"))
}

#[async_trait]
impl Provider for Ollama {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        let decoder = Decoder::new(Framing::Ndjson, OllamaLines);
        self.remote.events("api/chat", &chat_body(model, request), decoder).await
    }

    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        vectors(&self.remote.post("api/embed", &embed_body(model, request)).await?, embeddings)
    }
}
