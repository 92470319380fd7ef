//! OpenAI Responses, without anything kept at the server.
//!
//! Fields and events are those of OpenAI's [reference](https://platform.openai.com/docs/api-reference/responses).
//! Each request says the whole conversation and asks that nothing be stored; what the model thought is given
//! back as the sealed items it came in.
//!
//! Only the server that sealed a thought can open it, and only servers of open models take one that is not
//! sealed; so an echo names its server, and another server of this protocol is not sent it.

mod body;
mod events;

pub(crate) use body::chat_body;
pub(crate) use events::ResponsesEvents;

use serde_json::{Value, json};

use crate::Echo;

/// The name of this protocol in an [`Echo`](crate::Echo).
const WIRE: &str = "responses";

/// What a server sent, to be sent to it again.
fn echo(host: &str, item: &Value) -> Echo {
    Echo::new(WIRE, json!({"host": host, "item": item}))
}

/// What was sent by the server at `host`.
fn echoed<'a>(echo: &'a Echo, host: &str) -> Option<&'a Value> {
    echo.of(WIRE).filter(|data| data["host"] == host)?.get("item")
}
