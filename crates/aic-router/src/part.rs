use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Media, ToolCall, ToolResult};

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Words.
    Text(String),
    /// A picture.
    Image(Media),
    /// A sound.
    Audio(Media),
    /// What the model thought before it spoke.
    Thinking(Thinking),
    /// A tool the model wants called.
    ToolCall(ToolCall),
    /// What a tool gave back.
    ToolResult(ToolResult),
}

impl Part {
    /// The words of a text, `None` for other parts.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// About how many tokens it has: a quarter of a text's UTF-8 bytes, a thousand for a picture, and for a
    /// sound one per kilobyte, which is 32 per second of uncompressed speech.
    pub(crate) fn estimated_tokens(&self) -> u64 {
        let quarter = |bytes: usize| (bytes as u64).div_ceil(4);
        match self {
            Self::Text(text) => quarter(text.len()),
            Self::Thinking(thinking) => quarter(thinking.text.len()),
            Self::ToolCall(call) => quarter(call.name.len() + call.arguments.len()),
            Self::ToolResult(result) => quarter(result.content.len()),
            Self::Image(_) => IMAGE_TOKENS,
            Self::Audio(media) => media.len().map_or(IMAGE_TOKENS, |bytes| (bytes as u64).div_ceil(1000)),
        }
    }
}

/// About what a picture of a megapixel costs: 765 tokens at OpenAI, 1334 at Anthropic, 1032 at Gemini.
const IMAGE_TOKENS: u64 = 1000;

/// What a model thought, or a piece of it.
///
/// Kept in a conversation so that the model can go on from it: `echo` is sent back to the provider it came
/// from, and left out for every other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinking {
    /// The thoughts, or the provider's summary of them; empty where it hides them.
    pub text: String,
    /// What the provider wants to see again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<Echo>,
}

/// What a provider wants to see again, unchanged, when the conversation goes on: a signature of its thoughts,
/// or the thoughts themselves in a form only it can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// The protocol it belongs to: `anthropic`, `gemini`, `ollama`, `responses`. Others leave it out.
    pub wire: String,
    /// What it is; only that protocol knows.
    pub data: Value,
}

impl Echo {
    /// Something for the protocol `wire`.
    pub fn new(wire: impl Into<String>, data: impl Into<Value>) -> Self {
        Self { wire: wire.into(), data: data.into() }
    }

    /// The data, if it belongs to `wire`.
    pub fn of(&self, wire: &str) -> Option<&Value> {
        (self.wire == wire).then_some(&self.data)
    }
}
