//! Ollama's own API: one JSON document per line, and what it says about its models.

mod body;
mod context;
mod facts;

use std::collections::{HashSet, VecDeque};

use serde_json::{Map, Value};

pub(crate) use self::body::{Settings, Target, unload_body};
pub(crate) use self::facts::{embeddings, is_embedding, loaded, models, with_facts};
use super::{Protocol, fault, parse};
use crate::{
    ChatRequest, Echo, ErrorKind, Event, FinishReason, Part, ProviderError, Thinking, ToolCall, Usage,
};

/// Marks thoughts as Ollama's own, which go back to it with the conversation.
const ECHO: &str = "ollama";

/// Reads a stream of lines; the one that is `done` is its end, and may have content too.
#[derive(Debug, Default)]
pub(crate) struct OllamaLines {
    /// The names of all calls of the conversation.
    ids: HashSet<String>,
    thinks: bool,
    called: bool,
}

impl OllamaLines {
    /// For the answer to `request`, whose calls have their names already.
    pub(crate) fn new(request: &ChatRequest) -> Self {
        let parts = request.messages.iter().flat_map(|message| &message.parts);
        let ids = parts
            .filter_map(|part| if let Part::ToolCall(call) = part { Some(call.id.clone()) } else { None });
        Self { ids: ids.collect(), ..Self::default() }
    }

    fn content(&mut self, message: &Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if let Some(text) = text(message, "thinking") {
            self.thinks = true;
            events.push_back(Event::Thinking(Thinking { text: text.into(), echo: None }));
        }
        if let Some(text) = text(message, "content") {
            events.extend(self.thought());
            events.push_back(Event::Text(text.into()));
        }
        for call in message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice) {
            events.extend(self.thought());
            events.push_back(Event::ToolCall(self.call(call)?));
        }
        Ok(())
    }

    /// The end of a thought that has begun.
    fn thought(&mut self) -> Option<Event> {
        let echo = Some(Echo::new(ECHO, true));
        std::mem::take(&mut self.thinks).then(|| Event::Thinking(Thinking { text: String::new(), echo }))
    }

    fn call(&mut self, call: &Value) -> Result<ToolCall, ProviderError> {
        let function = &call["function"];
        let name = text(function, "name").ok_or_else(|| malformed("a tool call has no name"))?;
        let arguments = arguments(&function["arguments"])?;
        self.called = true;
        Ok(ToolCall::new(self.name(text(call, "id")), name, arguments))
    }

    /// The server's name for a call, or one made up, where it has none or has given it to another call.
    fn name(&mut self, given: Option<&str>) -> String {
        let made_up = (self.ids.len()..).map(|number| format!("call_{number}"));
        let mut names = given.map(str::to_owned).into_iter().chain(made_up);
        let name = names.find(|name| !self.ids.contains(name)).expect("the numbers do not run out");
        self.ids.insert(name.clone());
        name
    }

    fn finish_reason(&self, name: Option<&str>) -> Result<FinishReason, ProviderError> {
        Ok(match name {
            None | Some("stop") if self.called => FinishReason::ToolCalls,
            None | Some("stop") => FinishReason::Stop,
            Some("length") => FinishReason::Length,
            Some("load" | "unload") => {
                return Err(malformed("the model was loaded or unloaded in place of an answer"));
            }
            Some(_) => FinishReason::Other,
        })
    }
}

impl Protocol for OllamaLines {
    fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let line = parse(data)?;
        fault::in_message(&line)?;
        self.content(&line["message"], events)?;
        if line["done"] == true {
            let finish = self.finish_reason(line["done_reason"].as_str())?;
            events.extend(self.thought());
            events.extend(usage(&line).map(Event::Usage));
            events.push_back(Event::End(finish));
        }
        Ok(())
    }
}

/// A field's text, unless it is empty.
fn text<'a>(of: &'a Value, field: &str) -> Option<&'a str> {
    of[field].as_str().filter(|text| !text.is_empty())
}

/// An object; as text from some servers that stand in for Ollama; left out where a tool takes none.
fn arguments(value: &Value) -> Result<String, ProviderError> {
    let object = match value {
        Value::Null => Some(Map::new()),
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    };
    let object = object.ok_or_else(|| malformed("a tool call's arguments are not an object"))?;
    Ok(Value::Object(object).to_string())
}

/// Both counts, or none.
///
/// Ollama leaves a count of 0 out, and some versions do not count a prompt that was in the model's cache: a
/// missing count of the prompt is not zero, and half a usage would be taken for the whole.
fn usage(line: &Value) -> Option<Usage> {
    let (input, output) = (line["prompt_eval_count"].as_u64()?, line["eval_count"].as_u64()?);
    Some(Usage { input, output, ..Usage::default() })
}

fn malformed(message: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::wire::decoder::tests::{assert_needs_its_end, decode};
    use crate::wire::{Decoder, Framing};

    const HELLO: &str = "\
{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"h\"},\"done\":false}\n\
{\"message\":{\"content\":\"\",\"thinking\":\"m\"},\"done\":false}\n\
{\"message\":{\"content\":\"H\u{e9}l\"},\"done\":false}\n\
{\"message\":{\"content\":\"lo\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":6,\"eval_count\":2}\n";

    const CALLS: &str = "\
{\"message\":{\"content\":\"\",\"thinking\":\"rain?\"},\"done\":false}\n\
{\"message\":{\"content\":\"\",\"tool_calls\":[\
{\"function\":{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}}},\
{\"id\":\"call_x\",\"function\":{\"name\":\"clock\",\"arguments\":null}}]},\"done\":false}\n\
{\"message\":{\"content\":\"\",\"tool_calls\":[{\"id\":\"call_x\",\"function\":{\"name\":\"clock\"}}]},\"done\":true,\"done_reason\":\"stop\"}\n";

    fn decoder() -> Decoder {
        Decoder::new(Framing::Ndjson, OllamaLines::default())
    }

    fn thinking(text: &str) -> Event {
        Event::Thinking(Thinking { text: text.into(), echo: None })
    }

    fn thought() -> Event {
        Event::Thinking(Thinking { text: String::new(), echo: Some(Echo::new(ECHO, true)) })
    }

    fn done(reason: &str) -> String {
        format!("{{\"message\":{{\"content\":\"a\"}},\"done\":true,\"done_reason\":\"{reason}\"}}\n")
    }

    #[test]
    fn lines_become_thoughts_text_usage_and_end() {
        let usage = Usage { input: 6, output: 2, ..Usage::default() };

        let events = decode(decoder, HELLO).unwrap();

        let [first, second] = ["H\u{e9}l", "lo"].map(|text| Event::Text(text.into()));
        assert_eq!(events[..5], [thinking("h"), thinking("m"), thought(), first, second]);
        assert_eq!(events[5..], [Event::Usage(usage), Event::End(FinishReason::Stop)]);
    }

    #[test]
    fn calls_of_any_line_become_whole_calls_of_different_names() {
        let events = decode(decoder, CALLS).unwrap();

        let calls = [
            ToolCall::new("call_0", "weather", "{\"city\":\"Oslo\"}"),
            ToolCall::new("call_x", "clock", "{}"),
            ToolCall::new("call_2", "clock", "{}"),
        ];
        assert_eq!(events[..2], [thinking("rain?"), thought()]);
        assert_eq!(events[2..5], calls.map(Event::ToolCall));
        assert_eq!(events[5..], [Event::End(FinishReason::ToolCalls)]);
    }

    #[test]
    fn no_beginning_of_a_stream_passes_for_the_whole() {
        assert_needs_its_end(decoder, HELLO);
        assert_needs_its_end(decoder, CALLS);
    }

    #[test]
    fn made_up_names_are_those_of_no_call_before() {
        let before = ["call_1", "call_2"].map(|id| Part::ToolCall(ToolCall::new(id, "t", "{}")));
        let request = ChatRequest::new(vec![Message::new(crate::Role::Assistant, before.into())]);
        let mut lines = OllamaLines::new(&request);

        let names = [None, Some("call_1"), Some("own")].map(|given| lines.name(given));

        assert_eq!(names, ["call_3", "call_4", "own"]);
    }

    #[test]
    fn error_line_within_a_stream_is_an_error() {
        let body = "{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"error\":\"runner stopped\"}\n";

        assert_eq!(decode(decoder, body), Err(ErrorKind::Transient));
    }

    #[test]
    fn prompt_found_too_long_by_the_server_is_context_too_long() {
        let body = "{\"error\":\"prompt too long; exceeded max context length by 4 tokens\"}\n";

        assert_eq!(decode(decoder, body), Err(ErrorKind::ContextTooLong));
    }

    #[test]
    fn end_has_its_reason_and_loading_is_none() {
        let end = |reason| decode(decoder, &done(reason)).map(|events| events.last().cloned());

        assert_eq!(end("stop"), Ok(Some(Event::End(FinishReason::Stop))));
        assert_eq!(end("length"), Ok(Some(Event::End(FinishReason::Length))));
        assert_eq!(end("new"), Ok(Some(Event::End(FinishReason::Other))));
        assert_eq!(end("load"), Err(ErrorKind::Malformed));
    }

    #[test]
    fn calls_that_are_none_are_malformed() {
        for function in ["{}", "{\"name\":\"t\",\"arguments\":[1]}", "{\"name\":\"t\",\"arguments\":\"{\"}"] {
            let body =
                format!("{{\"message\":{{\"tool_calls\":[{{\"function\":{function}}}]}},\"done\":true}}\n");

            assert_eq!(decode(decoder, &body), Err(ErrorKind::Malformed), "{function}");
        }
    }

    #[test]
    fn half_a_usage_is_none() {
        let body = "{\"message\":{\"content\":\"a\"},\"done\":true,\"eval_count\":2}\n";

        let events = decode(decoder, body).unwrap();

        assert_eq!(events, [Event::Text("a".into()), Event::End(FinishReason::Stop)]);
    }
}
