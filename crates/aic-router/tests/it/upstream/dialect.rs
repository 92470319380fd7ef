//! What a wire format has to be able to say.

use std::fmt;

use aic_router::{Provider, Usage};
use async_trait::async_trait;
use serde_json::Value;

use super::Refusal;
use super::anthropic::Anthropic;
use super::gemini::Gemini;
use super::ollama::Ollama;
use super::openai::OpenAi;
use super::responses::Responses;

/// The one model every upstream has.
pub(crate) const MODEL: &str = "m";
/// The key every client has. No other text in these tests is like it.
pub(crate) const KEY: &str = "sk-canary-7f3b9d1e5a8c";
/// The length of every answer.
pub(crate) const ANSWER_TOKENS: usize = 60;

/// An error as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A wire format, from the server's side.
#[async_trait]
pub(crate) trait Dialect: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;

    /// The client for a server at `url`, with the key [`KEY`] where the wire has one.
    async fn provider(&self, url: &str) -> Box<dyn Provider>;

    fn content_type(&self) -> &'static str {
        "text/event-stream"
    }

    /// The frames before the first token.
    fn opening(&self) -> Vec<String> {
        Vec::new()
    }

    /// The frame of one token.
    fn token(&self, text: &str) -> String;

    /// The frames after the last token of what was `said`; the last one of them says that the answer is whole.
    fn ending(&self, said: &str) -> Vec<String>;

    /// What [`ending`](Self::ending) says was used.
    fn usage(&self) -> Usage;

    /// The error for `why`, where this wire has one.
    fn refusal(&self, why: Refusal) -> Option<Reply>;

    /// The error within a stream.
    fn error(&self) -> String;

    /// `text` as the data of a frame.
    fn frame(&self, text: &str) -> String {
        format!("data: {text}\n\n")
    }

    /// A frame in which nothing is said.
    fn ping(&self) -> String {
        ": ping\n\n".into()
    }

    /// The document for a request that is no chat's; `None` for one that is.
    fn aside(&self, line: &str) -> Option<Value> {
        let _ = line;
        None
    }

    /// The beginning of the answer that the request ends with.
    fn prefill(&self, body: &Value) -> Option<String> {
        prefill(&body["messages"], "assistant", "content")
    }

    /// Why this prefill cannot be gone on from, where this wire has such rules.
    fn bad_prefill(&self, prefill: &str) -> Option<Reply> {
        let _ = prefill;
        None
    }
}

/// Every wire format the router speaks.
pub(crate) fn dialects() -> [&'static dyn Dialect; 5] {
    [&OpenAi, &Responses, &Anthropic, &Gemini, &Ollama]
}

/// The tokens of the answer: one without quotes or accents would prove little, and one is a line break, which
/// some providers do not let a prefill end with.
pub(crate) fn tokens() -> impl Iterator<Item = String> {
    (0..ANSWER_TOKENS).map(|index| match index {
        20 => "\n".into(),
        _ if index % 7 == 3 => format!(" \"é{index}\\😀\""),
        _ => format!(" w{index}"),
    })
}

/// The answer's text.
pub(crate) fn answer() -> String {
    tokens().collect()
}

/// The text of the last of `turns`, if it is `role`'s.
pub(crate) fn prefill(turns: &Value, role: &str, content: &str) -> Option<String> {
    let last = turns.as_array()?.last().filter(|turn| turn["role"] == role)?;
    Some(match &last[content] {
        Value::String(text) => text.clone(),
        parts => parts.as_array()?.iter().filter_map(|part| part["text"].as_str()).collect(),
    })
}
