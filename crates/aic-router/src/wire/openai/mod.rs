//! OpenAI Chat Completions, as spoken by OpenAI, vLLM, llama.cpp's server and many others.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::{Protocol, fault, parse};
use crate::{ChatRequest, EmbedRequest, Embeddings, ErrorKind, Event, FinishReason, ProviderError, Usage};

/// The body of a chat. `max_tokens` is called `limit_field`, which differs between servers.
pub(crate) fn chat_body(model: &str, request: &ChatRequest, limit_field: &str) -> Value {
    let messages: Vec<Value> =
        request.messages.iter().map(|m| json!({"role": m.role.as_str(), "content": m.text()})).collect();
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("messages".into(), messages.into());
    body.insert("stream".into(), true.into());
    body.insert("stream_options".into(), json!({"include_usage": true}));
    let optional = [
        (limit_field, request.max_tokens.map(Value::from)),
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        ("seed", request.seed.map(Value::from)),
        ("stop", (!request.stop.is_empty()).then(|| json!(request.stop))),
    ];
    body.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Value::Object(body)
}

/// Reads a stream of chunks; `data: [DONE]` after a finish reason is its end.
#[derive(Debug, Default)]
pub(crate) struct OpenAiChunks {
    finish: Option<FinishReason>,
}

impl Protocol for OpenAiChunks {
    fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if data == "[DONE]" {
            events.push_back(Event::End(self.finish.ok_or_else(unfinished)?));
            return Ok(());
        }
        let chunk = parse(data)?;
        fault::in_message(&chunk)?;
        let choice = &chunk["choices"][0];
        for field in ["content", "refusal"] {
            let text = choice["delta"][field].as_str().filter(|text| !text.is_empty());
            events.extend(text.map(|text| Event::Text(text.into())));
        }
        events.extend(usage(&chunk["usage"]).map(Event::Usage));
        self.finish = choice["finish_reason"].as_str().map(finish_reason).or(self.finish);
        Ok(())
    }
}

/// Reads the vectors of an answer, in the request's order.
pub(crate) fn embeddings(answer: &Value) -> Option<Embeddings> {
    let mut rows: Vec<(u64, Vec<f32>)> = answer["data"].as_array()?.iter().map(row).collect::<Option<_>>()?;
    rows.sort_by_key(|(index, _)| *index);
    let vectors = rows.into_iter().map(|(_, vector)| vector).collect();
    Some(Embeddings::new(vectors, answer["usage"]["prompt_tokens"].as_u64()))
}

/// The body of a request for vectors.
pub(crate) fn embed_body(model: &str, request: &EmbedRequest) -> Value {
    let mut body = json!({"model": model, "input": request.inputs});
    if let Some(dimensions) = request.dimensions {
        body["dimensions"] = dimensions.into();
    }
    body
}

/// A JSON list of numbers as a vector.
pub(crate) fn vector(value: &Value) -> Option<Vec<f32>> {
    value.as_array()?.iter().map(|number| number.as_f64().map(|number| number as f32)).collect()
}

fn row(value: &Value) -> Option<(u64, Vec<f32>)> {
    Some((value["index"].as_u64()?, vector(&value["embedding"])?))
}

fn usage(value: &Value) -> Option<Usage> {
    Some(Usage {
        input: value["prompt_tokens"].as_u64()?,
        cached_input: value["prompt_tokens_details"]["cached_tokens"].as_u64(),
        cache_write_input: None,
        output: value["completion_tokens"].as_u64()?,
        reasoning: value["completion_tokens_details"]["reasoning_tokens"].as_u64(),
    })
}

fn finish_reason(name: &str) -> FinishReason {
    match name {
        "stop" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
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

    const HELLO: &str = "\
: keep-alive\n\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n\
data: {\"choices\":[{\"delta\":{\"content\":\"Hé\"}}]}\n\n\
data: {\"choices\":[{\"delta\":{\"content\":\"llo\"}}]}\n\n\
data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n\
data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n\
data: [DONE]\n\n";

    fn decoder() -> Decoder {
        Decoder::new(Framing::Sse, OpenAiChunks::default())
    }

    #[test]
    fn chunks_become_text_usage_and_end() {
        let usage = Usage { input: 9, cached_input: Some(4), output: 2, ..Usage::default() };

        let events = decode(decoder, HELLO).unwrap();

        assert_eq!(
            events,
            [
                Event::Text("Hé".into()),
                Event::Text("llo".into()),
                Event::Usage(usage),
                Event::End(FinishReason::Length)
            ]
        );
    }

    #[test]
    fn no_beginning_of_a_stream_passes_for_the_whole() {
        assert_needs_its_end(decoder, HELLO);
    }

    #[test]
    fn error_within_a_stream_is_an_error() {
        let body = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n\
                    data: {\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\"}}\n\n";

        let error = decode(decoder, body).unwrap_err();

        assert_eq!(error, ErrorKind::RateLimited { retry_after: None });
    }

    #[test]
    fn done_without_a_finish_reason_is_a_cut_answer() {
        let body = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";

        assert_eq!(decode(decoder, body), Err(ErrorKind::Truncated));
    }

    #[test]
    fn body_has_only_what_was_asked_for() {
        let request = ChatRequest::user("hi").max_tokens(5).stop("\n");

        let body = chat_body("m", &request, "max_tokens");

        assert_eq!((&body["max_tokens"], &body["stop"]), (&json!(5), &json!(["\n"])));
        assert!(body.get("temperature").is_none() && body.get("tenant").is_none());
    }

    #[test]
    fn vectors_are_put_in_the_requests_order() {
        let answer = json!({"data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]});

        assert_eq!(embeddings(&answer).unwrap().vectors, [[1.0], [2.0]]);
        assert_eq!(embeddings(&json!({"data": [{"index": 0, "embedding": ["x"]}]})), None);
    }
}
