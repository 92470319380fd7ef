//! For testing what stands on a router: a provider that plays a script, the contract of [`Provider`], and the
//! decoders of the wire formats.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use crate::wire::anthropic::AnthropicEvents;
use crate::wire::gemini::GeminiParts;
use crate::wire::ollama::OllamaLines;
use crate::wire::openai::OpenAiChunks;
use crate::wire::responses::ResponsesEvents;
use crate::wire::{Decoder, Framing};
use crate::{
    ChatRequest, EmbedRequest, Embeddings, ErrorKind, Event, EventStream, FinishReason, ModelInfo, Provider,
    ProviderError, ProviderInfo, ProviderKind, Purpose, ToolCall, Usage,
};

/// What a [`FakeProvider`] does with one call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Answers with this text, a word at a time, one token per word.
    Reply(String),
    /// Wants this tool called.
    Call(ToolCall),
    /// Refuses at once.
    Fail(ErrorKind),
    /// Says this and then fails.
    FailAfter(String, ErrorKind),
    /// Says this and then ends without its terminal event.
    Cut(String),
    /// Says this and then nothing more.
    Stall(String),
    /// Never answers.
    Hang,
}

/// A provider that plays a script, one step per call; the last step is repeated for ever.
///
/// Clones share the script and its counters, so a test keeps one and gives one away.
#[derive(Clone, Debug)]
pub struct FakeProvider {
    info: ProviderInfo,
    delay: Duration,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<Vec<Step>>,
    last: Mutex<Option<ChatRequest>>,
    calls: AtomicUsize,
    open: AtomicUsize,
    billed: Arc<AtomicU64>,
}

impl FakeProvider {
    /// A cloud provider without models; a script without steps replies `ok`.
    pub fn new(name: impl Into<String>) -> Self {
        let info = ProviderInfo::new(name, ProviderKind::Cloud);
        Self { info, delay: Duration::ZERO, shared: Arc::default() }
    }

    /// Says where it runs. Defaults to [`ProviderKind::Cloud`].
    pub fn kind(mut self, kind: ProviderKind) -> Self {
        self.info.kind = kind;
        self
    }

    /// Adds a model.
    pub fn model(mut self, model: impl Into<ModelInfo>) -> Self {
        self.info.models.push(model.into());
        self
    }

    /// Waits so long before the first event of each call. Defaults to zero.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Adds a step to the script.
    pub fn then(self, step: Step) -> Self {
        self.shared.script.lock().push(step);
        self
    }

    /// Adds a whole answer to the script.
    pub fn reply(self, text: impl Into<String>) -> Self {
        self.then(Step::Reply(text.into()))
    }

    /// Adds a refusal to the script.
    pub fn fail(self, kind: ErrorKind) -> Self {
        self.then(Step::Fail(kind))
    }

    /// How many calls were made.
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// How many calls are on their way: begun, and neither ended nor dropped.
    pub fn open_calls(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The tokens it would bill: those read by every call that began to answer, and those written until the
    /// caller left.
    pub fn billed_tokens(&self) -> u64 {
        self.shared.billed.load(Ordering::SeqCst)
    }

    /// The chat it was asked last.
    pub fn last_request(&self) -> Option<ChatRequest> {
        self.shared.last.lock().clone()
    }

    fn step(&self) -> Step {
        let call = self.shared.calls.fetch_add(1, Ordering::SeqCst);
        let script = self.shared.script.lock();
        script.get(call).or(script.last()).cloned().unwrap_or(Step::Reply("ok".into()))
    }

    fn knows(&self, model: &str, purpose: Purpose) -> Result<(), ProviderError> {
        if self.info.models.iter().any(|known| known.name == model && known.purpose == purpose) {
            return Ok(());
        }
        Err(ProviderError::new(ErrorKind::ModelNotFound, format!("there is no model `{model}`")))
    }
}

#[async_trait]
impl Provider for FakeProvider {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        self.knows(model, Purpose::Chat)?;
        let open = Open::new(&self.shared);
        *self.shared.last.lock() = Some(request.clone());
        let step = self.step();
        // Even a sleep of no time waits for the timer's next tick.
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let events = play(step, request.estimated_tokens()).await?;
        let billed = self.shared.billed.clone();
        billed.fetch_add(request.estimated_tokens(), Ordering::SeqCst);
        let bill = move |event: &Result<Event, ProviderError>| {
            // The guard moves into the stream, so that the call stays open until that is dropped.
            let _ = &open;
            billed.fetch_add(u64::from(matches!(event, Ok(Event::Text(_)))), Ordering::SeqCst);
        };
        Ok(events.inspect(bill).boxed())
    }

    /// Each text becomes its length and its number of words.
    async fn embed(&self, model: &str, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
        self.knows(model, Purpose::Embedding)?;
        if let Step::Fail(kind) = self.step() {
            return Err(scripted(kind));
        }
        let vector = |text: &String| vec![text.len() as f32, text.split_whitespace().count() as f32];
        let tokens = request.inputs.iter().map(|text| text.split_whitespace().count() as u64).sum();
        Ok(Embeddings::new(request.inputs.iter().map(vector).collect(), Some(tokens)))
    }
}

/// Counts a call as open for as long as it lives.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self(shared.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn play(step: Step, input: u64) -> Result<EventStream, ProviderError> {
    match step {
        Step::Reply(text) => Ok(stream::iter(reply(&text, input)).map(Ok).boxed()),
        Step::Call(call) => Ok(stream::iter(calling(call, input)).map(Ok).boxed()),
        Step::Fail(kind) => Err(scripted(kind)),
        Step::FailAfter(text, kind) => Ok(said(&text).chain(stream::iter([Err(scripted(kind))])).boxed()),
        Step::Cut(text) => Ok(said(&text).boxed()),
        Step::Stall(text) => Ok(said(&text).chain(stream::pending()).boxed()),
        Step::Hang => std::future::pending().await,
    }
}

fn reply(text: &str, input: u64) -> Vec<Event> {
    let words = words(text);
    let usage = Usage { input, output: words.len() as u64, ..Usage::default() };
    let tail = [Event::Usage(usage), Event::End(FinishReason::Stop)];
    words.into_iter().map(Event::Text).chain(tail).collect()
}

fn calling(call: ToolCall, input: u64) -> [Event; 3] {
    let usage = Usage { input, output: 1, ..Usage::default() };
    [Event::ToolCall(call), Event::Usage(usage), Event::End(FinishReason::ToolCalls)]
}

fn said(text: &str) -> impl futures_util::Stream<Item = Result<Event, ProviderError>> + Send + 'static {
    stream::iter(words(text)).map(|word| Ok(Event::Text(word)))
}

fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn scripted(kind: ErrorKind) -> ProviderError {
    ProviderError::new(kind, "as the script says")
}

/// Checks what [`Provider`] asks of its implementors, with a real call to its first chat model.
///
/// # Panics
/// If the contract is broken, with the part that is.
pub async fn provider_contract(provider: &dyn Provider) {
    let info = provider.info();
    assert!(!info.name.is_empty(), "a provider has a name");
    assert!(info.models.iter().all(|model| !model.name.is_empty()), "every model has a name");
    let chat = info.models.iter().find(|model| model.purpose == Purpose::Chat);
    if let Some(model) = chat {
        answers_whole(provider, &model.name).await;
    }
    refuses_unknown_models(provider).await;
}

async fn answers_whole(provider: &dyn Provider, model: &str) {
    let request = ChatRequest::user("Say hello.").max_tokens(32).temperature(0.0);
    let stream = provider.chat(model, &request).await.expect("the first chat model answers");
    let events: Vec<_> = stream.collect().await;
    let (last, before) = events.split_last().expect("an answer has events");
    assert!(matches!(last, Ok(Event::End(_))), "the last event is `End`, not {last:?}");
    let foreign = |event: &Result<Event, _>| {
        matches!(event, Err(_) | Ok(Event::Start { .. } | Event::Cost(_) | Event::End(_)))
    };
    assert!(!before.iter().any(foreign), "what comes before `End` is the provider's to say: {before:?}");
}

async fn refuses_unknown_models(provider: &dyn Provider) {
    let request = ChatRequest::user("Say hello.");
    let refused = match provider.chat("no-such-model-exists", &request).await {
        Err(_) => true,
        Ok(mut stream) => matches!(stream.next().await, Some(Err(_))),
    };
    assert!(refused, "an unknown model is refused");
}

/// A format in which answers come over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// Anthropic Messages.
    Anthropic,
    /// Gemini's `streamGenerateContent`.
    Gemini,
    /// Ollama's own chat.
    Ollama,
    /// OpenAI Chat Completions.
    OpenAi,
    /// OpenAI Responses.
    Responses,
}

/// Decodes the body of an answer to `request` that comes in `pieces`: its events, and the error that ended it.
///
/// How the bytes are cut into pieces makes no difference, and no bytes make it panic; this is what the fuzz
/// targets beside this crate hold it to.
pub fn decode<'a>(
    wire: Wire,
    request: &ChatRequest,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Result<(), ProviderError>) {
    let mut decoder = decoder(wire, request);
    let mut events = VecDeque::new();
    let fed = pieces.into_iter().try_for_each(|piece| decoder.feed(piece, &mut events));
    let ended = fed.and_then(|()| decoder.finish(&mut events));
    (events.into(), ended)
}

fn decoder(wire: Wire, request: &ChatRequest) -> Decoder {
    match wire {
        Wire::Anthropic => Decoder::new(Framing::Sse, AnthropicEvents::default()),
        Wire::Gemini => Decoder::new(Framing::Sse, GeminiParts::answering(request)),
        Wire::Ollama => Decoder::new(Framing::Ndjson, OllamaLines::new(request)),
        Wire::OpenAi => Decoder::new(Framing::Sse, OpenAiChunks::answering(request)),
        Wire::Responses => Decoder::new(Framing::Sse, ResponsesEvents::answering(request, "api.openai.com")),
    }
}
