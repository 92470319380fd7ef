use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use aic_cache::warm::{Outcome, Warmed, Warming};
use aic_cache::{Begin, CacheControl, Fingerprint, Outline, Recent, Tag, Tenant, Worth};
use aic_monitor::{Machine, Monitor};
use aic_profiles::Recommendation;
use aic_quant::Model;
use aic_quant::live::Live;
use aic_quant::queue::Pressure;
use aic_router::{ChatRequest, EmbedRequest, Embeddings, Explanation, Router};

use crate::adapters::{Lifetime, MonitorPressure};
use crate::assembly::{Costs, FurtherModel, Watch};
use crate::further::KeeperThread;
use crate::identity::{self, Identity};
use crate::keeping::{Answers, Lead, Terms, kept_at_the_end, refusal};
use crate::{
    Answer, Builder, CacheExplanation, ChatStream, Config, Error, Finding, Question, Result, Status,
};

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
    pub(crate) further: Option<Further>,
    pub(crate) router: Router,
    pub(crate) cache: Option<Answers>,
    /// Outlines of the requests whose answers were kept last.
    pub(crate) recent: Recent,
    /// Ends what the monitor reads here.
    #[expect(dead_code, reason = "it is there to be dropped")]
    pub(crate) lifetime: Lifetime,
    pub(crate) watch: Watch,
    pub(crate) costs: Option<Costs>,
    pub(crate) findings: Vec<Finding>,
}

/// The local model as it was loaded.
pub(crate) struct Local {
    pub(crate) model: Live<Model>,
    pub(crate) name: String,
    pub(crate) recommendation: Recommendation,
}

/// The local models that are loaded when they are asked for.
pub(crate) struct Further {
    pub(crate) known: Vec<FurtherModel>,
    pub(crate) thread: KeeperThread,
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
    /// neither uses nor fills the cache unless the configuration says so; nor does one with a picture or sound that
    /// lies at an address. Callers who ask the same at the same time share one call, and each reads its answer from
    /// the first word on. Kept are whole answers only: none that broke off, was withheld, or calls a tool with
    /// arguments that are no JSON.
    ///
    /// # Errors
    /// [`Error::Router`] when no provider could begin to answer; it names every attempt and what to do.
    /// [`Error::Refused`] when the same request was refused in the last minute for what it is.
    ///
    /// # Cancel safety
    /// Dropping the future or the stream cancels the call on its way, unless another caller is reading its answer, too.
    pub async fn chat(&self, question: impl Into<Question>) -> Result<ChatStream> {
        let asked = Instant::now();
        let (request, control) = self.complete(question.into());
        let Some((cache, key, control)) = self.key(&request, control) else {
            let events = self.inner.router.chat(request).await?;
            return Ok(ChatStream::own(events, asked));
        };
        match in_time(&request, cache.begin(&key, &control)).await? {
            Begin::Hit(hit) => Ok(ChatStream::kept(hit, asked)),
            Begin::Refused(hit) => Err(Error::Refused { refusal: hit.value, age: hit.age }),
            Begin::Follow(tee) => Ok(ChatStream::followed(tee, asked)),
            Begin::Lead(lead) => self.answer(request, lead, asked).await,
            Begin::Renew(hit, lead) => {
                let ai = self.clone();
                tokio::spawn(async move { ai.renew(request, lead).await });
                Ok(ChatStream::kept(hit, asked))
            }
        }
    }

    /// Clears every kept answer with one of `tags`: `Tag::new("provider", "openai")`, `Tag::new("model", …)`,
    /// [`Tag::tenant`], or a mark that a [question](Question::tag) gave. Costs the same however many there are.
    ///
    /// Other programs that share the cache see it within a second.
    ///
    /// # Errors
    /// [`Error::Cache`] if the others could not be told; the answers are cleared here, and there once they can be.
    pub async fn clear(&self, tags: &[Tag]) -> Result<()> {
        match &self.inner.cache {
            Some(cache) => cache.clear(tags).await.map_err(Error::Cache),
            None => Ok(()),
        }
    }

    /// Says what the cache would do with a question, and what sets it apart from the nearest one that was asked, without
    /// asking it.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn explain_cache(&self, question: impl Into<Question>) -> CacheExplanation {
        let (request, control) = self.complete(question.into());
        let Some((cache, key, control)) = self.key(&request, control) else {
            return CacheExplanation::not_cached(&request, self.inner.cache.is_some());
        };
        let closest = self.outline(&request).and_then(|outline| self.inner.recent.closest(&outline));
        CacheExplanation::of(key, cache.explain(&key, &control).await, closest)
    }

    /// Asks `questions` ahead of use, so that their answers are kept, at the rate and within the budget of `warming`.
    ///
    /// # Cancel safety
    /// Dropping the future stops; what has been kept stays.
    pub async fn warm<Q: Into<Question>>(
        &self,
        questions: impl IntoIterator<Item = Q>,
        warming: Warming<'_>,
    ) -> Warmed {
        let ask = |question: Q| {
            let question = question.into();
            async move {
                match self.ask(question).await {
                    Ok(answer) if answer.origin.is_cache() => Outcome::Known,
                    Ok(answer) => Outcome::Computed(Worth {
                        tokens: answer.usage.map(|usage| usage.input + usage.output),
                        nano_usd: answer.cost.map(|cost| cost.0),
                    }),
                    Err(error) => Outcome::Failed(error.into()),
                }
            }
        };
        warming.run(questions, ask).await
    }

    /// Turns a text into a vector, with the local embedding model (`model.embedding`), else the local model, else the first
    /// provider that makes embeddings.
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
        self.inner.router.explain(&self.complete(question.into()).0)
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
    ///
    /// It can be replaced while requests are answered, or another one be tried out on a share of them first:
    ///
    /// ```no_run
    /// # async fn example(ai: aic::Aic) -> Result<(), Box<dyn std::error::Error>> {
    /// use aic::quant::{Model, live::Limits};
    ///
    /// if let Some(model) = ai.model() {
    ///     model.try_out(Model::open("model-q4.gguf")?, 0.1, Limits::default())?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Answers of different models are cached apart, and those given during a trial apart from both. The router goes on to
    /// call the model by its first name.
    #[must_use]
    pub fn model(&self) -> Option<&Live<Model>> {
        self.inner.local.as_ref().map(|local| &local.model)
    }

    /// How busy the machine is, for a [queue](aic_quant::queue) that makes models smaller in the background; GPUs and
    /// temperatures included, as the monitor reads them.
    #[must_use]
    pub fn pressure(&self) -> Arc<dyn Pressure> {
        Arc::new(MonitorPressure::new(self.inner.watch.monitor.clone()))
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
            if let Some(further) = inner.further {
                further.thread.stop().await;
            }
            if let Some(costs) = inner.costs {
                costs.stop().await;
            }
        }
    }

    /// Makes an answer that others may be waiting for.
    async fn answer(&self, request: ChatRequest, lead: Lead, asked: Instant) -> Result<ChatStream> {
        let terms = self.terms(&request);
        if let Some(outline) = self.outline(&request) {
            self.inner.recent.note(*lead.key(), outline);
        }
        match self.inner.router.chat(request).await {
            Ok(events) => {
                Ok(ChatStream::live(lead.share(|lead| kept_at_the_end(events, lead, terms)), asked))
            }
            Err(error) => match refusal(&error) {
                Some(refusal) => {
                    keep_refusal(lead, &refusal).await;
                    Err(error.into())
                }
                None => lead.stale().map(|hit| ChatStream::kept(hit, asked)).ok_or_else(|| error.into()),
            },
        }
    }

    /// Makes an answer that has been given already, past its time.
    async fn renew(&self, request: ChatRequest, lead: Lead) {
        match self.answer(request, lead, Instant::now()).await {
            Ok(mut stream) => while let Some(Ok(_)) = stream.next().await {},
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "answer not renewed"),
        }
    }

    fn outline(&self, request: &ChatRequest) -> Option<Outline> {
        Identity::of(request, self.models(request)).outline(&identity::tenant(request)).ok()
    }

    fn terms(&self, request: &ChatRequest) -> Terms {
        let explanation = self.inner.router.explain(request);
        let first_choice = explanation.chosen().map(|candidate| candidate.model.clone());
        Terms { length_is_asked: request.max_tokens.is_some(), first_choice }
    }

    /// Fills in what the configuration says and the question does not.
    fn complete(&self, question: Question) -> (ChatRequest, CacheControl) {
        let Question { mut request, has_priority, mut cache } = question;
        let routing = &self.inner.config.routing;
        if !has_priority {
            request.priority = routing.priority;
        }
        request.temperature.get_or_insert(TEMPERATURE);
        request.deadline.get_or_insert(routing.deadline);
        cache.tags.push(Tag::tenant(&identity::tenant(&request)));
        (request, cache)
    }

    /// The cache and the key for a request whose answer may be kept, and what it asks of the cache.
    fn key(
        &self,
        request: &ChatRequest,
        control: CacheControl,
    ) -> Option<(&Answers, Fingerprint, CacheControl)> {
        let cache = self.inner.cache.as_ref()?;
        let sampled = request.temperature != Some(TEMPERATURE);
        if !identity::is_complete(request) || (sampled && !self.inner.config.cache.sampled) {
            return None;
        }
        let (identity, tenant) = (Identity::of(request, self.models(request)), identity::tenant(request));
        match identity.key(&tenant) {
            Ok(key) => Some((cache, key, self.alike(identity, &tenant, control))),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "request has no fingerprint, not cached"
                );
                None
            }
        }
    }

    /// Lets the answer to a similar question do, where the configuration says so.
    fn alike(&self, identity: Identity<'_>, tenant: &Tenant, control: CacheControl) -> CacheControl {
        match self.inner.config.cache.similar_error {
            Some(_) => match identity.question(tenant) {
                Some((scope, text)) => control.like(scope, text),
                None => control,
            },
            None => control,
        }
    }

    /// Every model that could answer: with other models the same question may have another answer.
    fn models(&self, request: &ChatRequest) -> Vec<String> {
        let local = self.inner.local.as_ref().map(|local| {
            let (model, trial) =
                (local.model.current(), local.model.trial().map(|_| local.model.generation()));
            let info = model.info();
            let trial = trial.map_or_else(String::new, |generation| format!(" trial {generation}"));
            format!("local {} {} {}{trial}", local.name, info.dtype, info.file_bytes)
        });
        let further = self.inner.further.iter().flat_map(|further| &further.known);
        let further = further.map(|model| format!("local {} {}", model.info.name, model.file_bytes));
        let local = local.into_iter().chain(further);
        if request.model.is_some() {
            return local.collect(); // The model that is named is in the request.
        }
        let others = self.inner.router.providers().flat_map(|provider| {
            let info = provider.info();
            info.models.iter().map(|model| format!("{} {}", info.name, model.name))
        });
        local.chain(others).collect()
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

async fn keep_refusal(lead: Lead, refusal: &aic_cache::Refusal) {
    if let Err(error) = lead.refuse(refusal).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "refusal not kept");
    }
}
