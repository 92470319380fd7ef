//! The answer to a chat, chunk by chunk.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Value, json};

use super::plain::Plain;
use super::usage::Counts;
use super::{Calls, Fragment};
use crate::wire::{Protocol, fault, parse};
use crate::{ChatRequest, ErrorKind, Event, FinishReason, ProviderError, Thinking};

/// Reads a stream of chunks; `data: [DONE]` after a finish reason is its end.
#[derive(Debug, Default)]
pub(crate) struct OpenAiChunks {
    calls: Calls,
    finish: Option<FinishReason>,
}

impl OpenAiChunks {
    /// Reads the answer to `request`.
    pub(crate) fn answering(request: &ChatRequest) -> Self {
        Self { calls: Calls::after(request), finish: None }
    }
}

impl Protocol for OpenAiChunks {
    fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if data.trim() == "[DONE]" {
            return self.end(events);
        }
        if let Some(plain) = Plain::read(data) {
            events.extend(plain.text().map(|text| Event::Text(text.into())));
            return self.rest(plain.usage.as_ref(), plain.finish_reason(), events);
        }
        let chunk = parse(data)?;
        fault_in(&chunk)?;
        let choice = first_choice(&chunk);
        self.delta(&choice["delta"], events)?;
        self.rest(counts(&chunk["usage"]).as_ref(), non_empty(&choice["finish_reason"]), events)
    }
}

impl OpenAiChunks {
    /// Takes what a chunk says beside its piece of the answer.
    fn rest(
        &mut self,
        counts: Option<&Counts>,
        finish: Option<&str>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        events.extend(counts.and_then(Counts::usage).map(Event::Usage));
        if let Some(name) = finish {
            self.finish = Some(finish_reason(name)?);
        }
        Ok(())
    }

    fn delta(&mut self, delta: &Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        events.extend(thought(delta).map(Event::Thinking));
        for field in ["content", "refusal"] {
            events.extend(non_empty(&delta[field]).map(|text| Event::Text(text.into())));
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.call(call, events)?;
        }
        Ok(())
    }

    fn call(&mut self, call: &Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let function = &call["function"];
        let fragment = Fragment {
            index: call["index"].as_u64(),
            id: non_empty(&call["id"]).unwrap_or_default(),
            name: non_empty(&function["name"]).unwrap_or_default(),
            arguments: &arguments(&function["arguments"]),
        };
        self.calls.add(fragment, events)
    }

    fn end(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let reason = self.finish.ok_or_else(unfinished)?;
        let reason = self.calls.finish(reason, events)?;
        events.push_back(Event::End(reason));
        Ok(())
    }
}

/// Older versions of vLLM send an error without its envelope.
fn fault_in(chunk: &Value) -> Result<(), ProviderError> {
    if chunk["object"] == "error" {
        return fault::in_message(&json!({"error": chunk}));
    }
    fault::in_message(chunk)
}

/// The choice of index 0, `null` in a chunk that has only usage.
fn first_choice(chunk: &Value) -> &Value {
    let choices = chunk["choices"].as_array().map_or(&[][..], Vec::as_slice);
    choices.iter().find(|choice| choice["index"].as_u64().unwrap_or(0) == 0).unwrap_or(&Value::Null)
}

/// DeepSeek, SGLang and llama.cpp call it `reasoning_content`, vLLM and OpenRouter `reasoning`, and some send both.
fn thought(delta: &Value) -> Option<Thinking> {
    let text = ["reasoning_content", "reasoning"].iter().find_map(|field| non_empty(&delta[*field]))?;
    Some(Thinking { text: text.into(), echo: None })
}

/// A text of JSON, or in some dialects the JSON itself.
fn arguments(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

fn non_empty(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// Counts that are not all numbers say nothing.
fn counts(value: &Value) -> Option<Counts> {
    Counts::deserialize(value).ok()
}

/// Besides OpenAI's own names: `model_length` of Mistral, `eos` and `eos_token` of Together and TGI; and those
/// that mean a failure, of DeepSeek, vLLM, SGLang and OpenRouter.
fn finish_reason(name: &str) -> Result<FinishReason, ProviderError> {
    let failed = |kind| Err(ProviderError::new(kind, format!("the answer ended with `{name}`")));
    match name {
        "stop" | "eos" | "eos_token" => Ok(FinishReason::Stop),
        "length" | "model_length" => Ok(FinishReason::Length),
        "tool_calls" | "function_call" => Ok(FinishReason::ToolCalls),
        "content_filter" => Ok(FinishReason::ContentFilter),
        "insufficient_system_resource" => failed(ErrorKind::Overloaded { retry_after: None }),
        "error" | "abort" => failed(ErrorKind::Transient),
        _ => Ok(FinishReason::Other),
    }
}

fn unfinished() -> ProviderError {
    ProviderError::new(ErrorKind::Truncated, "the answer ended without a finish reason")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decoder::tests::{assert_needs_its_end, decode};
    use crate::wire::{Decoder, Framing};
    use crate::{ToolCall, Usage};

    const HELLO: &str = "\
: keep-alive\n\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n\
data: {\"choices\":[{\"delta\":{\"content\":\"Hé\"}}]}\n\n\
data: {\"choices\":[{\"delta\":{\"content\":\"llo\"}}]}\n\n\
data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n\
data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n\
data: [DONE]\n\n";

    /// Two calls at once, their pieces interleaved; as OpenAI sends them.
    const CALLS: &str = "\
data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"look\",\"arguments\":\"\"}}]}}]}\n\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"hear\",\"arguments\":\"\"}},{\"index\":0,\"function\":{\"arguments\":\"{\\\"at\\\":\"}}]}}]}\n\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{}\"}},{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]}}]}\n\n\
data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n\
data: [DONE]\n\n";

    /// As llama.cpp's server sends a thought: nulls, the end and the timings in the last chunk with content.
    const THOUGHT: &str = "\
data: {\"choices\":[{\"delta\":{\"role\":null,\"content\":null,\"reasoning_content\":\"Hm\"}}]}\n\n\
data: {\"choices\":[{\"delta\":{\"reasoning\":\".\",\"reasoning_content\":\".\"}}]}\n\n\
data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"another choice\"}}]}\n\n\
data: {\"object\":\"something.new\"}\n\n\
data: {\"choices\":[{\"delta\":{\"content\":\"Yes\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"completion_tokens_details\":{\"reasoning_tokens\":2}},\"timings\":{\"prompt_n\":3,\"predicted_ms\":1.5}}\n\n\
data: [DONE]\n\n";

    fn decoder() -> Decoder {
        Decoder::new(Framing::Sse, OpenAiChunks::default())
    }

    fn stream(chunks: &[Value]) -> String {
        let chunks: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        chunks + "data: [DONE]\n\n"
    }

    fn saying(delta: &Value, finish_reason: &str) -> String {
        stream(&[json!({"choices": [{"delta": delta, "finish_reason": finish_reason}]})])
    }

    fn delta(id: &str, name: &str, arguments: &str) -> Event {
        let (id, name, arguments) = (id.into(), name.into(), arguments.into());
        Event::ToolCallDelta(crate::ToolCallDelta { id, name, arguments })
    }

    #[test]
    fn chunks_become_text_usage_and_end() {
        let usage = Usage { input: 9, cached_input: Some(4), output: 2, ..Usage::default() };

        let events = decode(decoder, HELLO).unwrap();

        let texts = ["Hé", "llo"].map(|text| Event::Text(text.into()));
        assert_eq!(events[..2], texts);
        assert_eq!(events[2..], [Event::Usage(usage), Event::End(FinishReason::Length)]);
    }

    #[test]
    fn no_beginning_of_a_stream_passes_for_the_whole() {
        for body in [HELLO, CALLS, THOUGHT] {
            assert_needs_its_end(decoder, body);
        }
    }

    #[test]
    fn interleaved_calls_become_pieces_and_then_whole_calls() {
        let events = decode(decoder, CALLS).unwrap();

        let pieces = [
            delta("a", "look", ""),
            delta("b", "hear", ""),
            delta("a", "look", "{\"at\":"),
            delta("b", "hear", "{}"),
            delta("a", "look", "1}"),
        ];
        assert_eq!(events[..5], pieces);
        let calls = [ToolCall::new("a", "look", "{\"at\":1}"), ToolCall::new("b", "hear", "{}")];
        assert_eq!(events[5..7], calls.map(Event::ToolCall));
        assert_eq!(events[7..], [Event::End(FinishReason::ToolCalls)]);
    }

    #[test]
    fn calls_of_other_dialects_are_understood() {
        let whole_in_one = json!({"tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}]});

        let events = decode(decoder, &saying(&whole_in_one, "stop")).unwrap();

        let call = Event::ToolCall(ToolCall::new("call_1", "look", "{\"at\":1}"));
        assert_eq!(events[1..], [call, Event::End(FinishReason::ToolCalls)]);
    }

    #[test]
    fn call_whose_arguments_are_not_json_is_malformed() {
        let broken =
            json!({"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": "{at: 1}"}}]});

        assert_eq!(decode(decoder, &saying(&broken, "tool_calls")), Err(ErrorKind::Malformed));
    }

    #[test]
    fn thoughts_come_apart_from_the_text_and_only_once() {
        let usage = Usage { input: 3, output: 5, reasoning: Some(2), ..Usage::default() };

        let events = decode(decoder, THOUGHT).unwrap();

        let thoughts = ["Hm", "."].map(|text| Event::Thinking(Thinking { text: text.into(), echo: None }));
        assert_eq!(events[..2], thoughts);
        let rest = [Event::Text("Yes".into()), Event::Usage(usage), Event::End(FinishReason::Stop)];
        assert_eq!(events[2..], rest);
    }

    #[test]
    fn refusal_is_text_and_ends_as_the_provider_says() {
        for (name, reason) in [("stop", FinishReason::Stop), ("content_filter", FinishReason::ContentFilter)]
        {
            let events = decode(decoder, &saying(&json!({"content": null, "refusal": "No."}), name)).unwrap();

            assert_eq!(events, [Event::Text("No.".into()), Event::End(reason)]);
        }
    }

    #[test]
    fn usage_counts_everything_written_in_every_dialect() {
        let openai = json!({"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14});
        let xai = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 14});
        let deepseek = json!({"prompt_tokens": 5, "completion_tokens": 9, "prompt_cache_hit_tokens": 4});

        let usage = |value: &Value| counts(value)?.usage();
        for value in [&openai, &xai, &deepseek] {
            assert_eq!(usage(value).unwrap().output, 9, "{value}");
        }
        assert_eq!(usage(&deepseek).unwrap().cached_input, Some(4));
        assert_eq!(usage(&json!({"prompt_tokens": 5})), None);
    }

    #[test]
    fn error_within_a_stream_is_an_error() {
        let limited = json!({"error": {"code": "rate_limit_exceeded", "message": "slow down"}});
        let numbered = json!({"error": {"code": 503, "message": "loading", "type": "server"}});
        let bare = json!({"object": "error", "message": "no", "type": "BadRequestError", "code": 400});
        let cases = [
            (limited, ErrorKind::RateLimited { retry_after: None }),
            (numbered, ErrorKind::Overloaded { retry_after: None }),
            (bare, ErrorKind::BadRequest),
        ];
        for (error, kind) in cases {
            let text = json!({"choices": [{"delta": {"content": "a"}}]});
            assert_eq!(decode(decoder, &stream(&[text, error])), Err(kind));
        }
        assert_eq!(decode(decoder, &saying(&json!({}), "error")), Err(ErrorKind::Transient));
    }

    #[test]
    fn done_without_a_finish_reason_is_a_cut_answer() {
        let body = stream(&[json!({"choices": [{"delta": {"content": "a"}, "finish_reason": ""}]})]);

        assert_eq!(decode(decoder, &body), Err(ErrorKind::Truncated));
    }
}
