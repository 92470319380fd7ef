mod builder;
mod family;

pub use builder::OpenAiBuilder;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::vectors;
use crate::wire::openai::{Dialect, OpenAiChunks, base64_body, chat_body, embeddings};
use crate::wire::remote::Remote;
use crate::wire::responses::{self, ResponsesEvents};
use crate::wire::{Decoder, Framing};
use crate::{
    ApiKey, ChatRequest, EmbedRequest, Embeddings, ErrorKind, EventStream, ModelInfo, Provider,
    ProviderError, ProviderInfo, Result,
};

/// Where OpenAI itself is.
const OPENAI_URL: &str = "https://api.openai.com/v1";
const OPENAI_HOST: &str = "api.openai.com";

/// OpenAI, or any server that speaks its protocol: vLLM, SGLang, llama.cpp, LM Studio, a company's gateway.
///
/// ```
/// use aic_router::OpenAi;
///
/// let vllm = OpenAi::builder("http://gpu-box:8000/v1").name("vllm").local().model("Qwen/Qwen3-8B").build()?;
/// # Ok::<_, aic_router::Error>(())
/// ```
///
/// Pictures are sent by address or as bytes, sounds as WAV or MP3 bytes to Chat Completions only. What a model
/// is known not to take ([`Ability::Sampling`](crate::Ability::Sampling),
/// [`Ability::Reasoning`](crate::Ability::Reasoning)) is left out. A JSON Schema is sent as strict; OpenAI then
/// wants every property required and `additionalProperties` false. [`ResponseFormat::Json`] wants the word
/// "JSON" in the conversation.
///
/// [`ResponseFormat::Json`]: crate::ResponseFormat::Json
#[derive(Debug)]
pub struct OpenAi {
    info: ProviderInfo,
    remote: Remote,
    api: Option<OpenAiApi>,
    dialect: Dialect,
}

/// Which of OpenAI's two protocols a server is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenAiApi {
    /// `chat/completions`, which every compatible server has.
    ///
    /// What OpenAI's models think is lost between tool calls here, and those since GPT-5.4 take no tools unless
    /// they are told not to think.
    ChatCompletions,
    /// `responses`, in which OpenAI's models go on from what they thought while they call tools.
    ///
    /// Nothing is stored at the server. Stop texts, the seed, penalties and sounds do not exist there: sounds
    /// are refused as unsupported, the others are not sent.
    Responses,
}

impl OpenAi {
    /// OpenAI itself, with the models of the price table.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if no header may hold the key.
    pub fn new(key: impl Into<ApiKey>) -> Result<Self> {
        Self::builder(OPENAI_URL).key(key).build()
    }

    /// A server whose `chat/completions` or `responses` is right below `base_url`, as in
    /// `http://localhost:8000/v1`.
    pub fn builder(base_url: impl Into<String>) -> OpenAiBuilder {
        OpenAiBuilder::new(base_url.into())
    }

    /// A model it has. Others are refused here, as llama.cpp's server answers to every name.
    fn model(&self, name: &str) -> Result<&ModelInfo, ProviderError> {
        self.info.models.iter().find(|model| model.name == name).ok_or_else(|| {
            let message = format!("`{}` has no model `{name}`", self.info.name);
            ProviderError::new(ErrorKind::ModelNotFound, message)
        })
    }
}

#[async_trait]
impl Provider for OpenAi {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        let model = self.model(model)?;
        match self.api.unwrap_or_else(|| family::api(self.dialect, model, request)) {
            OpenAiApi::ChatCompletions => {
                let body = chat_body(model, request, self.dialect)?;
                let decoder = Decoder::new(Framing::Sse, OpenAiChunks::answering(request));
                self.remote.events("chat/completions", &body, decoder).await
            }
            OpenAiApi::Responses => {
                let host = self.remote.host();
                let body = responses::chat_body(model, request, host)?;
                let decoder = Decoder::new(Framing::Sse, ResponsesEvents::answering(request, host));
                self.remote.events("responses", &body, decoder).await
            }
        }
    }

    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        let body = base64_body(&self.model(model)?.name, request);
        let found = vectors(&self.remote.post("embeddings", &body).await?, embeddings)?;
        let (sent, came) = (request.inputs.len(), found.vectors.len());
        if sent != came {
            return Err(ProviderError::new(
                ErrorKind::Malformed,
                format!("{came} vectors came for {sent} texts"),
            ));
        }
        Ok(found)
    }
}
