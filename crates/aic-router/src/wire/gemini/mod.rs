//! Gemini `streamGenerateContent` and `batchEmbedContents`.
//!
//! Gemini signs parts of its answers, and wants the signatures back where they were. On a call, the
//! [`Echo`](crate::Echo) is the signature itself. On a text it becomes a [`Thinking`](crate::Thinking) after it,
//! and on a thought part of that thought; there the echo is the part without its text:
//! `{"thoughtSignature":…}`, with `"thought":true` for a thought.

mod body;
mod embeddings;
mod parts;
mod thinking;

pub(crate) use body::chat_body;
pub(crate) use embeddings::{BATCH_MAX, embed_body, embeddings};
pub(crate) use parts::GeminiParts;

/// The name echoes of this protocol bear.
const WIRE: &str = "gemini";

#[cfg(test)]
mod tests;
