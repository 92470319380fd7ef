//! OpenAI Responses, without anything kept at the server.
//!
//! Fields and events are those of OpenAI's [reference](https://platform.openai.com/docs/api-reference/responses).
//! Each request says the whole conversation and asks that nothing be stored; what the model thought is given
//! back as the sealed items it came in.

mod body;
mod events;

pub(crate) use body::chat_body;
pub(crate) use events::ResponsesEvents;

/// The name of this protocol in an [`Echo`](crate::Echo).
const WIRE: &str = "responses";
