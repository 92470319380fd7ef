//! The answer to a chat, event by event.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::echo;
use crate::wire::openai::{Calls, Fragment};
use crate::wire::{Protocol, fault, parse};
use crate::{ChatRequest, ErrorKind, Event, FinishReason, ProviderError, Thinking, Usage};

/// Reads a stream of typed events; one of `response.completed`, `.incomplete` and `.failed` is its end.
#[derive(Debug, Default)]
pub(crate) struct ResponsesEvents {
    calls: Calls,
    host: String,
}

impl ResponsesEvents {
    /// Reads the answer to `request` of the server at `host`.
    pub(crate) fn answering(request: &ChatRequest, host: &str) -> Self {
        Self { calls: Calls::after(request), host: host.to_owned() }
    }
}

impl Protocol for ResponsesEvents {
    fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if data.trim() == "[DONE]" {
            return Err(ProviderError::new(ErrorKind::Truncated, "the answer has no terminal event"));
        }
        let event = parse(data)?;
        match event["type"].as_str().unwrap_or_default() {
            "response.output_text.delta" | "response.refusal.delta" => {
                events.extend(piece(&event).map(|text| Event::Text(text.into())));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                events.extend(piece(&event).map(thought));
            }
            "response.reasoning_summary_part.added" if event["summary_index"].as_u64() > Some(0) => {
                events.push_back(thought("\n\n"));
            }
            "response.output_item.added" => self.begun(&event, events)?,
            "response.function_call_arguments.delta" => self.calls.add(arguments(&event), events)?,
            "response.output_item.done" => self.done(&event, events)?,
            "response.completed" => self.end(&event["response"], FinishReason::Stop, events)?,
            "response.incomplete" => {
                self.end(&event["response"], why_incomplete(&event["response"]), events)?;
            }
            "response.failed" => return Err(failure(&event["response"]["error"])),
            "error" if event["error"].is_null() => return Err(failure(&event)),
            "error" => return Err(failure(&event["error"])),
            _ => fault::in_message(&event)?,
        }
        Ok(())
    }
}

impl ResponsesEvents {
    fn begun(&mut self, event: &Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if event["item"]["type"] == "function_call" {
            self.calls.add(beginning(event), events)?;
        }
        Ok(())
    }

    fn done(&mut self, event: &Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let item = &event["item"];
        match item["type"].as_str() {
            Some("function_call") => self.called(event, events)?,
            Some("reasoning") => events.extend(kept(item).map(|item| sealed(&self.host, &item))),
            _ => {}
        }
        Ok(())
    }

    /// Some servers send the arguments only here. A call that the answer's length cut is not whole.
    fn called(&mut self, event: &Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let (item, index) = (&event["item"], event["output_index"].as_u64().unwrap_or(0));
        let have = self.calls.arguments(index);
        if have.is_none_or(str::is_empty) {
            let arguments = text(&item["arguments"]);
            self.calls.add(Fragment { arguments, ..beginning(event) }, events)?;
        }
        if item["status"] == "incomplete" {
            return Ok(());
        }
        self.calls.close(index, events)
    }

    fn end(
        &mut self,
        response: &Value,
        reason: FinishReason,
        events: &mut VecDeque<Event>,
    ) -> Result<(), ProviderError> {
        let reason = self.calls.finish(reason, events)?;
        events.extend(usage(&response["usage"]).map(Event::Usage));
        events.push_back(Event::End(reason));
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn piece(event: &Value) -> Option<&str> {
    event["delta"].as_str().filter(|text| !text.is_empty())
}

fn thought(text: &str) -> Event {
    Event::Thinking(Thinking { text: text.into(), echo: None })
}

/// A call's name and id. Its `call_id` is what results refer to; the item's own id is another.
fn beginning(event: &Value) -> Fragment<'_> {
    let item = &event["item"];
    let index = Some(event["output_index"].as_u64().unwrap_or(0));
    Fragment { index, id: text(&item["call_id"]), name: text(&item["name"]), arguments: "" }
}

fn arguments(event: &Value) -> Fragment<'_> {
    let index = Some(event["output_index"].as_u64().unwrap_or(0));
    Fragment { index, arguments: text(&event["delta"]), ..Fragment::default() }
}

fn sealed(host: &str, item: &Value) -> Event {
    Event::Thinking(Thinking { text: String::new(), echo: Some(echo(host, item)) })
}

/// What to keep of a thought's item, if it can be given back: sealed, or open as servers of open models have it.
///
/// Only the fields an input may have: OpenAI refuses `status` there, and `content` if there is any of it.
fn kept(item: &Value) -> Option<Value> {
    let mut kept = json!({"type": "reasoning", "id": item["id"], "summary": item["summary"]});
    if let Some(seal) = item["encrypted_content"].as_str() {
        kept["encrypted_content"] = seal.into();
    } else {
        kept["content"] = item["content"].as_array().filter(|content| !content.is_empty())?.clone().into();
    }
    if !kept["summary"].is_array() {
        kept["summary"] = json!([]);
    }
    Some(kept)
}

fn why_incomplete(response: &Value) -> FinishReason {
    match response["incomplete_details"]["reason"].as_str() {
        Some("max_output_tokens") => FinishReason::Length,
        Some("content_filter") => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

fn usage(value: &Value) -> Option<Usage> {
    Some(Usage {
        input: value["input_tokens"].as_u64()?,
        cached_input: value["input_tokens_details"]["cached_tokens"].as_u64(),
        cache_write_input: value["input_tokens_details"]["cache_write_tokens"].as_u64(),
        output: value["output_tokens"].as_u64()?,
        reasoning: value["output_tokens_details"]["reasoning_tokens"].as_u64(),
    })
}

/// What an error in place of an answer means. Its codes are more precise than those of a response.
fn failure(error: &Value) -> ProviderError {
    let Err(fault) = fault::in_message(&json!({"error": error})) else {
        return ProviderError::new(ErrorKind::Transient, "the answer failed without a reason");
    };
    let kind = match text(&error["code"]) {
        "invalid_prompt" | "image_content_policy_violation" => ErrorKind::ContentPolicy,
        "server_is_overloaded" | "slow_down" => ErrorKind::Overloaded { retry_after: None },
        code if code.contains("image") => ErrorKind::BadRequest,
        _ => return fault,
    };
    ProviderError::new(kind, fault.message())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToolCall;
    use crate::wire::decoder::tests::{assert_needs_its_end, decode};
    use crate::wire::{Decoder, Framing};

    /// A sealed thought with a summary of two parts, and text, as OpenAI sends them.
    const HELLO: &str = "\
event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"status\":\"in_progress\",\"error\":null}}\n\n\
event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[]}}\n\n\
event: response.reasoning_summary_part.added\ndata: {\"type\":\"response.reasoning_summary_part.added\",\"summary_index\":0}\n\n\
event: response.reasoning_summary_text.delta\ndata: {\"type\":\"response.reasoning_summary_text.delta\",\"delta\":\"Hm\"}\n\n\
event: response.reasoning_summary_part.added\ndata: {\"type\":\"response.reasoning_summary_part.added\",\"summary_index\":1}\n\n\
event: response.reasoning_summary_text.delta\ndata: {\"type\":\"response.reasoning_summary_text.delta\",\"delta\":\"ah\"}\n\n\
event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"reasoning\",\"id\":\"rs_1\",\"status\":\"completed\",\"content\":null,\"summary\":[{\"type\":\"summary_text\",\"text\":\"Hm\"}],\"encrypted_content\":\"x\"}}\n\n\
event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":1,\"delta\":\"Hé\"}\n\n\
event: response.refusal.delta\ndata: {\"type\":\"response.refusal.delta\",\"output_index\":1,\"delta\":\"llo\"}\n\n\
event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"text\":\"Héllo\"}\n\n\
event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":4},\"output_tokens\":7,\"output_tokens_details\":{\"reasoning_tokens\":5}}}}\n\n";

    fn decoder() -> Decoder {
        let request = ChatRequest::user("hi");
        Decoder::new(Framing::Sse, ResponsesEvents::answering(&request, "api.openai.com"))
    }

    fn stream(events: &[Value]) -> String {
        events.iter().map(|event| format!("data: {event}\n\n")).collect()
    }

    fn completed() -> Value {
        json!({"type": "response.completed", "response": {}})
    }

    fn incomplete(reason: &str) -> Value {
        json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": reason}}})
    }

    fn item(step: &str, index: u64, item: &Value) -> Value {
        json!({"type": format!("response.output_item.{step}"), "output_index": index, "item": item})
    }

    fn delta(index: u64, delta: &str) -> Value {
        json!({"type": "response.function_call_arguments.delta", "output_index": index, "delta": delta})
    }

    fn call(id: &str, name: &str, arguments: &str) -> Value {
        json!({"type": "function_call", "id": "fc", "call_id": id, "name": name, "arguments": arguments})
    }

    fn calls(events: Vec<Event>) -> Vec<ToolCall> {
        let whole = |event| if let Event::ToolCall(call) = event { Some(call) } else { None };
        events.into_iter().filter_map(whole).collect()
    }

    #[test]
    fn events_become_thoughts_text_usage_and_end() {
        let item = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "x",
            "summary": [{"type": "summary_text", "text": "Hm"}]});
        let usage =
            Usage { input: 9, cached_input: Some(4), output: 7, reasoning: Some(5), ..Usage::default() };

        let events = decode(decoder, HELLO).unwrap();

        assert_eq!(events[..3], ["Hm", "\n\n", "ah"].map(thought));
        assert_eq!(events[3], sealed("api.openai.com", &item));
        assert_eq!(events[4..6], ["Hé", "llo"].map(|text| Event::Text(text.into())));
        assert_eq!(events[6..], [Event::Usage(usage), Event::End(FinishReason::Stop)]);
    }

    #[test]
    fn no_beginning_of_a_stream_passes_for_the_whole() {
        assert_needs_its_end(decoder, HELLO);
        assert_eq!(decode(decoder, "data: [DONE]\n\n"), Err(ErrorKind::Truncated));
    }

    #[test]
    fn calls_come_whole_once_their_item_is_done() {
        let body = stream(&[
            item("added", 0, &call("a", "look", "")),
            item("added", 1, &call("b", "hear", "")),
            delta(1, "{}"),
            delta(0, "{\"at\":"),
            delta(0, "1}"),
            item("done", 0, &call("a", "look", "{\"at\":1}")),
            item("done", 1, &call("b", "hear", "{}")),
            item("done", 2, &call("", "smell", "{}")),
            item("added", 3, &call("d", "taste", "")),
            item("done", 3, &call("d", "taste", "[]")),
            completed(),
        ]);

        let events = decode(decoder, &body).unwrap();

        assert_eq!(events.last(), Some(&Event::End(FinishReason::ToolCalls)));
        let expected = [
            ToolCall::new("a", "look", "{\"at\":1}"),
            ToolCall::new("b", "hear", "{}"),
            ToolCall::new("call_3", "smell", "{}"),
            ToolCall::new("d", "taste", "[]"),
        ];
        assert_eq!(calls(events), expected);
    }

    #[test]
    fn broken_call_is_malformed_unless_the_answers_length_cut_it() {
        let mut cut = call("a", "look", "{\"at\"");
        let whole =
            stream(&[item("added", 0, &cut), delta(0, "{\"at\""), item("done", 0, &cut), completed()]);
        cut["status"] = "incomplete".into();
        let short = stream(&[item("done", 0, &cut), incomplete("max_output_tokens")]);

        assert_eq!(decode(decoder, &whole), Err(ErrorKind::Malformed));
        let events = decode(decoder, &short).unwrap();
        assert_eq!(events.last(), Some(&Event::End(FinishReason::Length)));
        assert_eq!(calls(events), []);
    }

    #[test]
    fn incomplete_answers_say_why() {
        let reasons = [
            ("max_output_tokens", FinishReason::Length),
            ("content_filter", FinishReason::ContentFilter),
            ("something_new", FinishReason::Other),
        ];
        for (name, reason) in reasons {
            let events = decode(decoder, &stream(&[json!({"type": "news"}), incomplete(name)])).unwrap();
            assert_eq!(events, [Event::End(reason)]);
        }
    }

    #[test]
    fn thought_that_cannot_be_given_back_is_not_kept() {
        let open = json!({"type": "reasoning", "id": "rs_1", "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm"}]});

        assert_eq!(kept(&open), Some(open));
        for empty in [json!({"id": "rs_1", "encrypted_content": null}), json!({"id": "rs_1", "content": []})]
        {
            assert_eq!(kept(&empty), None);
        }
    }

    #[test]
    fn failures_are_errors_of_their_kind() {
        let failed = |code: &str| json!({"type": "response.failed", "response": {"error": {"code": code, "message": "no"}}});
        let cases = [
            (failed("server_error"), ErrorKind::Transient),
            (failed("rate_limit_exceeded"), ErrorKind::RateLimited { retry_after: None }),
            (failed("server_is_overloaded"), ErrorKind::Overloaded { retry_after: None }),
            (failed("invalid_prompt"), ErrorKind::ContentPolicy),
            (failed("invalid_image_url"), ErrorKind::BadRequest),
            (json!({"type": "response.failed", "response": {"error": null}}), ErrorKind::Transient),
            (
                json!({"type": "error", "code": "insufficient_quota", "message": "no"}),
                ErrorKind::QuotaExhausted,
            ),
            (
                json!({"type": "error", "error": {"code": "context_length_exceeded"}}),
                ErrorKind::ContextTooLong,
            ),
            (
                json!({"error": {"code": 503, "message": "loading"}}),
                ErrorKind::Overloaded { retry_after: None },
            ),
        ];
        for (event, kind) in cases {
            assert_eq!(decode(decoder, &stream(std::slice::from_ref(&event))), Err(kind), "{event}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_events_in_any_order_make_it_panic(
            picks in proptest::collection::vec((0usize..8, 0u64..3, "[a{}\"]{0,3}"), 0..20),
        ) {
            let event = |(pick, index, text): (usize, u64, String)| match pick {
                0 => item("added", index, &call(&text, &text, &text)),
                1 => item("done", index, &call(&text, &text, &text)),
                2 => item("done", index, &json!(text)),
                3 => delta(index, &text),
                4 => json!({"type": "response.function_call_arguments.delta", "delta": index}),
                5 => json!({"type": "response.output_text.delta", "delta": text}),
                6 => json!({"type": "response.failed"}),
                _ => json!([text]),
            };
            let events: Vec<Value> = picks.into_iter().map(event).chain([completed()]).collect();
            let mut found = VecDeque::new();
            let mut decoder = decoder();

            let result = decoder.feed(stream(&events).as_bytes(), &mut found);

            proptest::prop_assert!(result.is_err() || decoder.ended());
        }
    }
}
