//! Anthropic Messages: the body of a chat, and the stream of named events that answers it.
//!
//! What a model thought is signed by Anthropic and must come back unchanged. Its [`Echo`](crate::Echo) is the
//! block without its text: `{"type":"thinking","signature":…}` or `{"type":"redacted_thinking","data":…}`.

mod body;
mod cache;
mod events;
mod schema;
mod thinking;
mod version;

pub(crate) use body::chat_body;
pub(crate) use events::AnthropicEvents;

/// The name echoes of this protocol bear.
const WIRE: &str = "anthropic";

#[cfg(test)]
mod tests;
