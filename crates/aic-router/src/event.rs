use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::{NanoUsd, Thinking, ToolCall, ToolCallDelta};

/// One step of an answer.
///
/// A [`Provider`](crate::Provider) yields `Text`, `Thinking` and tool calls any number of times, `Usage` as
/// often as it learns more (each one replaces the last), and `End` exactly once, last. The router puts `Start`
/// before and `Cost` just before `End`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// Who answers. Sent by the router, first, and again when another model goes on with an answer that broke
    /// off.
    Start {
        /// The provider's name.
        provider: String,
        /// The model's name at that provider.
        model: String,
    },
    /// The next piece of the answer's text.
    Text(String),
    /// The next piece of the model's thoughts. A piece with an echo ends the thought it belongs to.
    Thinking(Thinking),
    /// The next piece of a tool call's arguments, for showing progress.
    ToolCallDelta(ToolCallDelta),
    /// A whole tool call.
    ToolCall(ToolCall),
    /// What the answer has used so far.
    Usage(Usage),
    /// What the answer costs. Sent by the router where usage and price are known.
    Cost(NanoUsd),
    /// The answer is whole.
    End(FinishReason),
}

impl Event {
    /// Whether the caller has something in hand once it has this event, so that another model can no longer
    /// answer in this one's place. Thoughts are not enough.
    pub(crate) fn is_content(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::ToolCallDelta(_) | Self::ToolCall(_) | Self::End(_) => true,
            Self::Start { .. } | Self::Thinking(_) | Self::Usage(_) | Self::Cost(_) => false,
        }
    }
}

/// Tokens read and written for one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All tokens read, those from the provider's prompt cache included.
    pub input: u64,
    /// The part of `input` read from the provider's prompt cache; `None` where it does not say.
    pub cached_input: Option<u64>,
    /// The part of `input` written to the provider's prompt cache; `None` where it does not say.
    pub cache_write_input: Option<u64>,
    /// All tokens written, reasoning included.
    pub output: u64,
    /// The part of `output` spent on reasoning; `None` where the provider does not say.
    pub reasoning: Option<u64>,
}

/// The sum of two calls' tokens; what only one of them states is taken for the whole.
impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (one, other) => one.or(other),
        };
        Self {
            input: self.input.saturating_add(other.input),
            cached_input: sum(self.cached_input, other.cached_input),
            cache_write_input: sum(self.cache_write_input, other.cache_write_input),
            output: self.output.saturating_add(other.output),
            reasoning: sum(self.reasoning, other.reasoning),
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model had finished, or wrote a stop text.
    Stop,
    /// The answer reached its greatest length.
    Length,
    /// The model waits for the results of the tools it called.
    ToolCalls,
    /// The provider withheld the rest for its content rules.
    ContentFilter,
    /// A reason of the provider that has no name here.
    Other,
}
