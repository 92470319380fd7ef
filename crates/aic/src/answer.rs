use std::fmt;
use std::time::Duration;

use aic_router::{FinishReason, Message, NanoUsd, Part, Role, ToolCall, Usage};
use serde::Serialize;

/// A whole answer and how it was come by. Prints as its text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Answer {
    /// What the model thought, said and called, in order.
    pub parts: Vec<Part>,
    /// The provider that made it.
    pub provider: String,
    /// The model that made it.
    pub model: String,
    /// Why it ended.
    pub finish: FinishReason,
    /// Tokens used for *this* call, where the provider says: none for an answer from the cache.
    pub usage: Option<Usage>,
    /// What *this* call cost, where usage and price are known: nothing for an answer from the cache.
    pub cost: Option<NanoUsd>,
    /// Where it came from.
    pub origin: Origin,
    /// Time from the question to the first text.
    pub first_text: Duration,
    /// Time from the question to the end.
    pub elapsed: Duration,
}

impl Answer {
    /// The text, without thoughts and tool calls.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }

    /// The tools the model wants called. Answer each with a [`ToolResult`](aic_router::ToolResult).
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None })
    }

    /// The answer as a turn of the conversation, for going on from it: with thoughts and tool calls.
    #[must_use]
    pub fn into_message(self) -> Message {
        Message::new(Role::Assistant, self.parts)
    }

    /// Tokens written per second after the first text; `None` from the cache or where usage is unknown.
    #[must_use]
    pub fn tokens_per_second(&self) -> Option<f64> {
        let later = self.usage?.output.checked_sub(1).filter(|tokens| *tokens > 0)?;
        let seconds = self.elapsed.saturating_sub(self.first_text).as_secs_f64();
        (seconds > 0.0 && !self.origin.is_cache()).then(|| later as f64 / seconds)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Where an answer came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "from")]
#[non_exhaustive]
pub enum Origin {
    /// A model made it for this call.
    Model,
    /// It was kept from an earlier call.
    Cache {
        /// Which store had it: `memory`, `redis`, or `coalesced` when another call was asking the same just now.
        tier: &'static str,
        /// How old it is.
        age: Duration,
        /// What making it cost then, and so what is saved now; `None` where that is unknown.
        saved: Option<NanoUsd>,
    },
}

impl Origin {
    /// Whether the answer came from the cache.
    #[must_use]
    pub fn is_cache(&self) -> bool {
        matches!(self, Self::Cache { .. })
    }
}
