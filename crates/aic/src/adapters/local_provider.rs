//! Quant's engine behind the router's door: the provider `local`.
use std::fmt;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use aic_quant::live::{Lease, Live, Sample};
use aic_quant::{Constraint, GenerateOptions, Generation, Message as Turn, Model, Role as Speaker};
use aic_router::{
    Ability, ChatRequest, EmbedRequest, Embeddings, ErrorKind, Event, EventStream, FinishReason, Message,
    ModelClass, ModelInfo, Price, Provider, ProviderError, ProviderInfo, ProviderKind, ResponseFormat, Role,
    Usage,
};
use async_trait::async_trait;
use futures_util::stream;
use tokio::task::spawn_blocking;

/// The local engine as a provider of one model, or of what is tried out in its place.
///
/// The engine answers several requests at once and lets others wait, as it was told when the model was loaded.
pub(crate) struct LocalProvider {
    model: Live<Model>,
    info: ProviderInfo,
}

impl LocalProvider {
    pub(crate) fn new(model: Live<Model>, name: &str) -> Self {
        let current = model.current();
        let facts = current.info();
        let described = ModelInfo::chat(name)
            .context_tokens(facts.context_length as u64)
            .price(Price::FREE)
            .class(ModelClass::of_size(facts.parameters as f64 / 1e9));
        let unable = [Ability::Images, Ability::Audio, Ability::Tools, Ability::Prefill];
        let described = unable.into_iter().fold(described, ModelInfo::cannot);
        let info = ProviderInfo::new("local", ProviderKind::Local)
            .model(described)
            .model(ModelInfo::embedding(format!("{name}-embedding")).price(Price::FREE));
        Self { model, info }
    }

    fn knows(&self, model: &str) -> Result<(), ProviderError> {
        if self.info.models.iter().any(|known| known.name == model) {
            return Ok(());
        }
        Err(ProviderError::new(ErrorKind::ModelNotFound, format!("the local engine has no model `{model}`")))
    }
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
        self.knows(model)?;
        let (turns, options) = (turns(&request.messages), options(request));
        let lease = self.model.lease(conversation(&turns));
        // Rendering and cutting up a long conversation takes milliseconds.
        let begun = spawn_blocking(move || {
            let started = Instant::now();
            let generation = lease.generate(&turns, &options).map_err(failed);
            generation.map(|generation| Answer {
                generation,
                lease: Some(lease),
                started,
                ending: Vec::new(),
            })
        });
        let answer = begun.await.map_err(stopped)??;
        Ok(Box::pin(stream::unfold(answer, Answer::next)))
    }

    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        self.knows(model)?;
        // Vectors of two models cannot be compared, so a candidate makes none.
        let (model, texts) = (self.model.current(), request.inputs.clone());
        let vectors =
            spawn_blocking(move || texts.iter().map(|text| model.embed(text)).collect::<Result<Vec<_>, _>>());
        let vectors = vectors.await.map_err(stopped)?.map_err(failed)?;
        Ok(Embeddings::new(vectors, None))
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

/// An answer on its way; dropping it stops the engine's work on it.
struct Answer {
    generation: Generation,
    /// Until the answer is over, and how that went has been told, in case something is tried out.
    lease: Option<Lease<Model>>,
    started: Instant,
    /// Events that are left once the text is over, the last first.
    ending: Vec<Event>,
}

impl Answer {
    /// The next event, and what comes after it.
    async fn next(mut self) -> Option<(Result<Event, ProviderError>, Self)> {
        while self.lease.is_some() {
            match poll_fn(|context| self.generation.poll_next(context)).await {
                Some(Ok(piece)) if piece.text.is_empty() => {}
                Some(Ok(piece)) => return Some((Ok(Event::Text(piece.text)), self)),
                Some(Err(error)) => {
                    self.tell(true);
                    return Some((Err(failed(error)), self));
                }
                None => {
                    self.tell(false);
                    self.ending = ending(&self.generation).into_iter().rev().collect();
                }
            }
        }
        let event = self.ending.pop()?;
        Some((Ok(event), self))
    }

    fn tell(&mut self, failed: bool) {
        let tokens = u32::try_from(self.generation.usage().output_tokens).unwrap_or(u32::MAX).max(1);
        let elapsed = self.started.elapsed();
        let latency = if failed { elapsed } else { elapsed / tokens };
        if let Some(lease) = self.lease.take() {
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
        _ => ErrorKind::BadRequest,
    };
    ProviderError::new(kind, error.to_string()).caused_by(error)
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

        provider_contract(&LocalProvider::new(Live::new(model), "aic-demo")).await;
    }
}
