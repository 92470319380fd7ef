//! Anthropic Messages, text only.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{Protocol, fault, parse};
use crate::ProviderError;
use crate::{ChatRequest, Event, FinishReason, Role, Usage};

/// The answer's length where the request does not bound it: Anthropic wants one stated.
const MAX_TOKENS_DEFAULT: u32 = 4096;

/// The body of a chat. There is no seed on this wire.
pub(crate) fn chat_body(model: &str, request: &ChatRequest) -> Value {
    let turns = request.messages.iter().filter(|message| message.role != Role::System);
    let messages: Vec<Value> = turns.map(|m| json!({"role": m.role.as_str(), "content": m.text()})).collect();
    let max_tokens = request.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT);
    let mut body = json!({"model": model, "messages": messages, "max_tokens": max_tokens, "stream": true});
    let optional = [
        ("system", request.system_text().map(Value::from)),
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        ("stop_sequences", (!request.stop.is_empty()).then(|| json!(request.stop))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    body
}

/// Reads a stream of named events; `message_stop` is its end.
#[derive(Debug, Default)]
pub(crate) struct AnthropicEvents {
    input: Option<u64>,
    cached_input: Option<u64>,
    output: Option<u64>,
    finish: Option<FinishReason>,
}

impl Protocol for AnthropicEvents {
    fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let event = parse(data)?;
        match event["type"].as_str() {
            Some("message_start") => self.usage(&event["message"]["usage"]),
            Some("content_block_delta") => events.extend(text(&event["delta"])),
            Some("message_delta") => {
                self.usage(&event["usage"]);
                self.finish = event["delta"]["stop_reason"].as_str().map(finish_reason).or(self.finish);
            }
            Some("message_stop") => self.end(events),
            _ => fault::in_message(&event)?,
        }
        Ok(())
    }
}

impl AnthropicEvents {
    /// Takes over counts, which grow from event to event. `input_tokens` leaves out what the cache had a part in.
    fn usage(&mut self, usage: &Value) {
        if let Some(fresh) = usage["input_tokens"].as_u64() {
            let read = usage["cache_read_input_tokens"].as_u64();
            let written = usage["cache_creation_input_tokens"].as_u64().unwrap_or(0);
            self.input = Some(fresh.saturating_add(read.unwrap_or(0)).saturating_add(written));
            self.cached_input = read;
        }
        self.output = usage["output_tokens"].as_u64().or(self.output);
    }

    fn end(&self, events: &mut VecDeque<Event>) {
        if let (Some(input), Some(output)) = (self.input, self.output) {
            let usage = Usage { input, cached_input: self.cached_input, output, ..Usage::default() };
            events.push_back(Event::Usage(usage));
        }
        events.push_back(Event::End(self.finish.unwrap_or(FinishReason::Other)));
    }
}

fn text(delta: &Value) -> Option<Event> {
    let text = delta["text"].as_str().filter(|text| !text.is_empty())?;
    (delta["type"] == "text_delta").then(|| Event::Text(text.into()))
}

fn finish_reason(name: &str) -> FinishReason {
    match name {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decoder::tests::{assert_needs_its_end, decode};
    use crate::wire::{Decoder, Framing};
    use crate::{ErrorKind, Message};

    const HELLO: &str = "\
event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":3,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
event: ping\ndata: {\"type\": \"ping\"}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n\
event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n\
event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

    fn decoder() -> Decoder {
        Decoder::new(Framing::Sse, AnthropicEvents::default())
    }

    #[test]
    fn events_become_text_usage_and_end() {
        let usage = Usage { input: 10, cached_input: Some(3), output: 7, ..Usage::default() };

        let events = decode(decoder, HELLO).unwrap();

        let expected = [Event::Text("Hello".into()), Event::Usage(usage), Event::End(FinishReason::Stop)];
        assert_eq!(events, expected);
    }

    #[test]
    fn no_beginning_of_a_stream_passes_for_the_whole() {
        assert_needs_its_end(decoder, HELLO);
    }

    #[test]
    fn overload_within_a_stream_is_an_error() {
        let body = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";

        assert_eq!(decode(decoder, body), Err(ErrorKind::Overloaded { retry_after: None }));
    }

    #[test]
    fn system_text_stands_beside_the_messages() {
        let request = ChatRequest::user("hi").system("be brief").message(Message::assistant("ho"));

        let body = chat_body("m", &request);

        assert_eq!(body["system"], "be brief");
        assert_eq!(body["messages"].as_array().unwrap().len(), 2);
        assert_eq!(body["max_tokens"], MAX_TOKENS_DEFAULT);
    }
}
