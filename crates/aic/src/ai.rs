use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use aic_cache::{Begin, Cache, CacheControl, Fingerprint, Tenant};
use aic_monitor::{Machine, Monitor};
use aic_profiles::Recommendation;
use aic_quant::Model;
use aic_router::{ChatRequest, EmbedRequest, Embeddings, Explanation, Router};
use serde::Serialize;

use crate::assembly::{Costs, Watch};
use crate::{Answer, Builder, ChatStream, Config, Error, Finding, Result, Status};

/// Sampling temperature of a request that names none: the likeliest answer, which is also one worth keeping.
const TEMPERATURE: f32 = 0.0;

/// The whole of `aic`: a local model, providers, a cache, a monitor and alerts, wired together.
///
/// A cheap handle: clones are the same. Background work ends with the last clone, or in order with
/// [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct Aic {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) machine: Machine,
    pub(crate) local: Option<Local>,
    pub(crate) router: Router,
    pub(crate) cache: Option<Cache<aic_router::Answer>>,
    pub(crate) watch: Watch,
    pub(crate) costs: Option<Costs>,
    pub(crate) findings: Vec<Finding>,
}

/// The local model as it was loaded.
pub(crate) struct Local {
    pub(crate) model: Model,
    pub(crate) name: String,
    pub(crate) recommendation: Recommendation,
}

/// A question: a text, which is asked with the configured priority, or a request, which has its own.
#[derive(Clone, Debug)]
pub struct Question {
    request: ChatRequest,
    /// Whether `request` says by which priority it wants to be routed.
    has_priority: bool,
}

impl From<&str> for Question {
    fn from(text: &str) -> Self {
        Self { request: ChatRequest::user(text), has_priority: false }
    }
}

impl From<String> for Question {
    fn from(text: String) -> Self {
        Self { request: ChatRequest::user(text), has_priority: false }
    }
}

impl From<ChatRequest> for Question {
    fn from(request: ChatRequest) -> Self {
        Self { request, has_priority: true }
    }
}

impl Aic {
    /// Looks at the machine and the environment, reads `aic.toml` or `aic.yaml` if there is one, and puts together
    /// whatever it finds.
    ///
    /// What is missing or broken is no error: it is in [`findings`](Self::findings), and the rest goes on without it.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting that cannot be used, [`Error::Model`] for a model file that was asked for and
    /// cannot be loaded.
    pub async fn from_env() -> Result<Self> {
        Self::builder().build().await
    }

    /// Starts with the configuration and the environment, to be changed before [`build`](Builder::build).
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Errors
    /// As [`chat`](Self::chat), and when the answer breaks off.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call on its way and keeps nothing.
    pub async fn ask(&self, question: impl Into<Question>) -> Result<Answer> {
        self.chat(question).await?.collect().await
    }

    /// Asks and returns the answer as it comes; from the cache, if the same was asked before.
    ///
    /// A request that names no temperature gets 0. One with a temperature above 0 wants another answer each time, and
    /// neither uses nor fills the cache. Callers who ask the same at the same time share one call.
    ///
    /// # Errors
    /// [`Error::Router`] when no provider could begin to answer; it names every attempt and what to do.
    ///
    /// # Cancel safety
    /// Dropping the future or the stream cancels the call on its way and keeps nothing.
    pub async fn chat(&self, question: impl Into<Question>) -> Result<ChatStream> {
        let asked = Instant::now();
        let request = self.complete(question.into());
        let keep = match self.key(&request) {
            Some((cache, key)) => match in_time(&request, cache.begin(&key, &CacheControl::default())).await?
            {
                Begin::Hit(hit) => return Ok(ChatStream::kept(hit, asked)),
                Begin::Lead(guard) => Some(guard),
            },
            None => None,
        };
        let events = self.inner.router.chat(request).await?;
        Ok(ChatStream::live(events, keep, asked))
    }

    /// Turns a text into a vector, with the local model or else the first provider that makes embeddings.
    ///
    /// [`embed_all`](Self::embed_all) takes several texts, and a model by name.
    ///
    /// # Errors
    /// [`Error::NoEmbedder`] if nobody here makes embeddings, [`Error::Router`] if the call failed.
    pub async fn embed(&self, text: impl Into<String>) -> Result<Vec<f32>> {
        let mut embeddings = self.embed_all(EmbedRequest::new([text.into()])).await?;
        embeddings.vectors.pop().ok_or(Error::NoEmbedder)
    }

    /// Turns texts into vectors.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub async fn embed_all(&self, request: EmbedRequest) -> Result<Embeddings> {
        match self.inner.router.embed(request).await {
            Err(aic_router::Error::NoProvider | aic_router::Error::NoCandidate(_)) => Err(Error::NoEmbedder),
            done => Ok(done?),
        }
    }

    /// Says where a question would go now, and why not elsewhere, without sending it.
    #[must_use]
    pub fn explain(&self, question: impl Into<Question>) -> Explanation {
        self.inner.router.explain(&self.complete(question.into()))
    }

    /// How everything is: machine, model, providers, cache, money and alerts.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(self)
    }

    /// What was looked for at the start, and what came of it.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.inner.findings
    }

    /// The machine, as it was at the start.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.inner.machine
    }

    /// Why the local model was loaded as it was; `None` without a local model.
    #[must_use]
    pub fn recommendation(&self) -> Option<&Recommendation> {
        self.inner.local.as_ref().map(|local| &local.recommendation)
    }

    /// The local model, if one is loaded.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        self.inner.local.as_ref().map(|local| &local.model)
    }

    /// The router, for its own statistics and health.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.inner.router
    }

    /// The monitor, for its history or a round of readings at once.
    #[must_use]
    pub fn monitor(&self) -> &Monitor {
        &self.inner.watch.monitor
    }

    /// Stops the background work in order. With other clones alive it does nothing: the last one ends it.
    pub async fn shutdown(self) {
        if let Some(inner) = Arc::into_inner(self.inner) {
            inner.watch.stop().await;
            if let Some(costs) = inner.costs {
                costs.stop().await;
            }
        }
    }

    /// Fills in what the configuration says and the question does not.
    fn complete(&self, Question { mut request, has_priority }: Question) -> ChatRequest {
        let routing = &self.inner.config.routing;
        if !has_priority {
            request.priority = routing.priority;
        }
        request.temperature.get_or_insert(TEMPERATURE);
        request.deadline.get_or_insert(routing.deadline);
        request
    }

    /// The cache and the key for a request whose answer may be kept.
    fn key(&self, request: &ChatRequest) -> Option<(&Cache<aic_router::Answer>, Fingerprint)> {
        let cache = self.inner.cache.as_ref().filter(|_| request.temperature == Some(TEMPERATURE))?;
        let tenant = request.tenant.as_deref().map_or_else(Tenant::default, Tenant::new);
        let question = Asked { request, models: self.models() };
        match Fingerprint::of("aic chat 1", &tenant, &question) {
            Ok(key) => Some((cache, key)),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "request has no fingerprint, not cached"
                );
                None
            }
        }
    }

    /// Every model that could answer: with other models the same question may have another answer.
    fn models(&self) -> Vec<String> {
        let local = self.inner.local.as_ref().map(|local| {
            let info = local.model.info();
            format!("local {} {} {}", local.name, info.dtype, info.file_bytes)
        });
        let others = self.inner.router.providers().flat_map(|provider| {
            let info = provider.info();
            info.models.iter().map(|model| format!("{} {}", info.name, model.name))
        });
        local.into_iter().chain(others).collect()
    }
}

impl fmt::Debug for Aic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aic")
            .field("router", &self.inner.router)
            .field("cache", &self.inner.cache)
            .finish_non_exhaustive()
    }
}

/// Whoever waits for another caller's answer waits no longer than for its own.
async fn in_time<T>(request: &ChatRequest, wait: impl Future<Output = T>) -> Result<T> {
    let Some(limit) = request.deadline else { return Ok(wait.await) };
    let late = |_| aic_router::Error::DeadlineExceeded { limit, attempts: Vec::new() };
    Ok(tokio::time::timeout(limit, wait).await.map_err(late)?)
}

/// What an answer depends on: everything in the request but how long it may take, and who could answer.
#[derive(Serialize)]
struct Asked<'a> {
    #[serde(serialize_with = "without_deadline")]
    request: &'a ChatRequest,
    models: Vec<String>,
}

fn without_deadline<S: serde::Serializer>(request: &&ChatRequest, serializer: S) -> Result<S::Ok, S::Error> {
    ChatRequest { deadline: None, ..(*request).clone() }.serialize(serializer)
}
