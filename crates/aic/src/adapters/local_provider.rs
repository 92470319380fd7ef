//! Quant's engine behind the router's door: the provider `local`.
use std::fmt;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use aic_quant::live::{Lease, Live, Sample};
use aic_quant::residency::Refusal;
use aic_quant::{Constraint, Embedder, GenerateOptions, Generation, Message as Turn, Model, Role as Speaker};
use aic_router::{
    Ability, ChatRequest, EmbedRequest, Embeddings, ErrorKind, Event, EventStream, FinishReason, Message,
    ModelClass, ModelInfo, Price, Provider, ProviderError, ProviderInfo, ProviderKind, Purpose,
    ResponseFormat, Role, Usage, Warmth,
};
use async_trait::async_trait;
use futures_util::stream;
use tokio::task::spawn_blocking;

use crate::further::{Held, ModelKeeper};

/// The local engine as a provider: of the model that was loaded at the start, or of what is tried out in its place; of an
/// embedding model; of models that are loaded when they are asked for.
///
/// The engine answers several requests at once and lets others wait, as it was told when a model was loaded.
pub(crate) struct LocalProvider {
    first: Option<First>,
    embedder: Option<Embedder>,
    further: Option<ModelKeeper>,
    info: ProviderInfo,
}

/// The model that was loaded at the start.
struct First {
    name: String,
    model: Live<Model>,
}

impl LocalProvider {
    /// One that has no models yet.
    pub(crate) fn new() -> Self {
        let info = ProviderInfo::new("local", ProviderKind::Local);
        Self { first: None, embedder: None, further: None, info }
    }

    /// Adds the model that was loaded at the start.
    pub(crate) fn first(mut self, model: Live<Model>, name: &str) -> Self {
        let current = model.current();
        let facts = current.info();
        let described = ModelInfo::chat(name)
            .context_tokens(facts.context_length as u64)
            .price(Price::FREE)
            .class(ModelClass::of_size(facts.parameters as f64 / 1e9));
        self.info.models.push(limited(described));
        self.first = Some(First { name: name.to_owned(), model });
        self
    }

    /// Makes embeddings with `embedder`, under its own name.
    pub(crate) fn embedder(mut self, embedder: Embedder, name: &str) -> Self {
        self.info.models.push(ModelInfo::embedding(name).price(Price::FREE));
        self.embedder = Some(embedder);
        self
    }

    /// Makes embeddings with the first model, called by its `name`.
    pub(crate) fn embedding_with_the_first(mut self, name: &str) -> Self {
        let embedding = ModelInfo::embedding(format!("{name}-embedding"));
        self.info.models.push(embedding.price(Price::FREE));
        self
    }

    /// Adds models that `keeper` loads when they are asked for.
    pub(crate) fn further(
        mut self,
        keeper: ModelKeeper,
        models: impl IntoIterator<Item = ModelInfo>,
    ) -> Self {
        self.info.models.extend(models.into_iter().map(limited));
        self.further = Some(keeper);
        self
    }

    /// Takes hold of a model for a conversation; loads it if need be.
    async fn hold(&self, name: &str, turns: &[Turn]) -> Result<Hold, ProviderError> {
        if let Some(first) = self.first.as_ref().filter(|first| first.name == name) {
            return Ok(Hold::First(Some(first.model.lease(conversation(turns)))));
        }
        match &self.further {
            Some(further) => further.acquire(name).await.map(Hold::Further).map_err(failed),
            None => Err(unknown(name)),
        }
    }
}

/// What none of the engine's models can do.
fn limited(model: ModelInfo) -> ModelInfo {
    let unable = [Ability::Images, Ability::Audio, Ability::Tools, Ability::Prefill];
    unable.into_iter().fold(model, ModelInfo::cannot)
}

fn unknown(model: &str) -> ProviderError {
    ProviderError::new(ErrorKind::ModelNotFound, format!("the local engine has no model `{model}`"))
}

impl fmt::Debug for LocalProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalProvider").field("info", &self.info).finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider for LocalProvider {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        let (turns, options) = (turns(&request.messages), options(request));
        let hold = self.hold(model, &turns).await?;
        // Rendering and cutting up a long conversation takes milliseconds.
        let begun = spawn_blocking(move || {
            let started = Instant::now();
            let generation = hold.model().generate(&turns, &options).map_err(failed);
            generation.map(|generation| Answer {
                generation,
                hold,
                started,
                is_over: false,
                ending: Vec::new(),
            })
        });
        let answer = begun.await.map_err(stopped)??;
        Ok(Box::pin(stream::unfold(answer, Answer::next)))
    }

    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        let is_it = |known: &ModelInfo| known.purpose == Purpose::Embedding && known.name == model;
        if !self.info.models.iter().any(is_it) {
            return Err(unknown(model));
        }
        // Vectors of two models cannot be compared, so a candidate makes none.
        let first = || self.first.as_ref().map(|first| Embedder::from((*first.model.current()).clone()));
        let embedder = self.embedder.clone().or_else(first).ok_or_else(|| unknown(model))?;
        let texts = request.inputs.clone();
        let vectors =
            spawn_blocking(move || embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
        let vectors = vectors.await.map_err(stopped)?.map_err(failed)?;
        Ok(Embeddings::new(vectors, None))
    }

    fn warmth(&self, model: &str) -> Warmth {
        match &self.further {
            Some(further) if further.knows(model) => {
                if further.form(model).is_some() {
                    Warmth::Warm
                } else {
                    Warmth::Cold
                }
            }
            _ => Warmth::Unknown,
        }
    }
}

/// A number that is the same for all requests of a conversation: by how it begins.
fn conversation(turns: &[Turn]) -> u64 {
    let mut hasher = DefaultHasher::new();
    turns
        .iter()
        .take_while(|turn| turn.role != Speaker::Assistant)
        .for_each(|turn| turn.text.hash(&mut hasher));
    hasher.finish()
}

/// A request's hold on the model that answers it.
enum Hold {
    /// Until the answer is over, and how that went has been told, in case something is tried out.
    First(Option<Lease<Model>>),
    /// Until the answer is dropped.
    Further(Held),
}

impl Hold {
    fn model(&self) -> &Model {
        match self {
            Self::First(lease) => lease.as_ref().expect("it is told how an answer went once it is over"),
            Self::Further(held) => held,
        }
    }
}

/// An answer on its way; dropping it stops the engine's work on it.
struct Answer {
    /// Goes before the hold, so that a model that is let go of is held by nobody.
    generation: Generation,
    hold: Hold,
    started: Instant,
    is_over: bool,
    /// Events that are left once the text is over, the last first.
    ending: Vec<Event>,
}

impl Answer {
    /// The next event, and what comes after it.
    async fn next(mut self) -> Option<(Result<Event, ProviderError>, Self)> {
        while !self.is_over {
            match poll_fn(|context| self.generation.poll_next(context)).await {
                Some(Ok(piece)) if piece.text.is_empty() => {}
                Some(Ok(piece)) => return Some((Ok(Event::Text(piece.text)), self)),
                Some(Err(error)) => {
                    self.end(true);
                    return Some((Err(failed(error)), self));
                }
                None => {
                    self.end(false);
                    self.ending = ending(&self.generation).into_iter().rev().collect();
                }
            }
        }
        let event = self.ending.pop()?;
        Some((Ok(event), self))
    }

    fn end(&mut self, failed: bool) {
        self.is_over = true;
        let tokens = u32::try_from(self.generation.usage().output_tokens).unwrap_or(u32::MAX).max(1);
        let elapsed = self.started.elapsed();
        let latency = if failed { elapsed } else { elapsed / tokens };
        if let Hold::First(lease) = &mut self.hold
            && let Some(lease) = lease.take()
        {
            lease.done(Sample { failed, latency, quality: None });
        }
    }
}

fn ending(generation: &Generation) -> [Event; 2] {
    let used = generation.usage();
    let usage =
        Usage { input: used.prompt_tokens as u64, output: used.output_tokens as u64, ..Usage::default() };
    let reason = match generation.finish_reason() {
        Some(aic_quant::FinishReason::Length) => FinishReason::Length,
        _ => FinishReason::Stop,
    };
    [Event::Usage(usage), Event::End(reason)]
}

/// What the request leaves open is the engine's own default.
fn options(request: &ChatRequest) -> GenerateOptions {
    let own = GenerateOptions::default();
    GenerateOptions {
        max_tokens: request.max_tokens.map_or(own.max_tokens, |tokens| tokens as usize),
        temperature: request.temperature.unwrap_or(own.temperature),
        top_p: request.top_p.unwrap_or(own.top_p),
        seed: request.seed,
        stop: request.stop.clone(),
        constraint: request.response_format.as_ref().map(constraint),
        ..own
    }
}

fn constraint(format: &ResponseFormat) -> Constraint {
    match format {
        ResponseFormat::Schema { schema, .. } => Constraint::JsonSchema(schema.to_string()),
        // Every format is JSON at least.
        _ => Constraint::Json,
    }
}

fn turns(messages: &[Message]) -> Vec<Turn> {
    messages.iter().map(|message| Turn::new(speaker(message.role), message.text().into_owned())).collect()
}

fn speaker(role: Role) -> Speaker {
    match role {
        Role::System => Speaker::System,
        Role::User => Speaker::User,
        Role::Assistant => Speaker::Assistant,
        // The engine calls no tools, so the router sends it no results of any.
        Role::Tool => Speaker::User,
    }
}

fn failed(error: aic_quant::Error) -> ProviderError {
    let kind = match error {
        aic_quant::Error::PromptTooLong { .. } => ErrorKind::ContextTooLong,
        aic_quant::Error::Compute { .. } | aic_quant::Error::Stopped { .. } => ErrorKind::Transient,
        aic_quant::Error::QueueFull { .. } | aic_quant::Error::Expired { .. } => {
            ErrorKind::Overloaded { retry_after: None }
        }
        aic_quant::Error::NotAdmitted { ref reason, .. } => refused(reason),
        _ => ErrorKind::BadRequest,
    };
    ProviderError::new(kind, error.to_string()).caused_by(error)
}

/// A model that finds no room may find some later; one that cannot be loaded leaves the question to another.
fn refused(reason: &Refusal) -> ErrorKind {
    match reason {
        Refusal::Unknown => ErrorKind::ModelNotFound,
        reason if reason.is_temporary() => ErrorKind::Overloaded { retry_after: None },
        _ => ErrorKind::Unsupported,
    }
}

fn stopped(error: impl std::error::Error + Send + Sync + 'static) -> ProviderError {
    ProviderError::new(ErrorKind::Transient, "the local engine was stopped").caused_by(error)
}

#[cfg(all(test, feature = "demo-model"))]
mod tests {
    use aic_router::testing::provider_contract;

    use super::*;

    #[tokio::test]
    async fn the_local_engine_keeps_the_contract_of_providers() {
        let model = Model::from_bytes(crate::DEMO_MODEL).unwrap();

        let provider = LocalProvider::new().first(Live::new(model), "aic-demo");
        provider_contract(&provider.embedding_with_the_first("aic-demo")).await;
    }
}
