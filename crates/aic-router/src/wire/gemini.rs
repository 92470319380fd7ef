//! Gemini `streamGenerateContent`, text only.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::openai::vector;
use super::{Protocol, fault, parse};
use crate::{
    ChatRequest, EmbedRequest, Embeddings, ErrorKind, Event, FinishReason, ProviderError, Role, Usage,
};

/// The body of a chat.
pub(crate) fn chat_body(request: &ChatRequest) -> Value {
    let turns = request.messages.iter().filter(|message| message.role != Role::System);
    let contents: Vec<Value> =
        turns.map(|m| json!({"role": role(m.role), "parts": [{"text": m.text()}]})).collect();
    let mut body = json!({"contents": contents, "generationConfig": config(request)});
    if let Some(system) = request.system_text() {
        body["systemInstruction"] = json!({"parts": [{"text": system}]});
    }
    body
}

/// The body of a request for vectors.
pub(crate) fn embed_body(model: &str, request: &EmbedRequest) -> Value {
    let one = |text: &String| {
        let mut one = json!({"model": format!("models/{model}"), "content": {"parts": [{"text": text}]}});
        if let Some(dimensions) = request.dimensions {
            one["outputDimensionality"] = dimensions.into();
        }
        one
    };
    json!({"requests": request.inputs.iter().map(one).collect::<Vec<_>>()})
}

/// Reads the vectors of an answer. Gemini does not say how many tokens it read.
pub(crate) fn embeddings(answer: &Value) -> Option<Embeddings> {
    let rows = answer["embeddings"].as_array()?.iter();
    Some(Embeddings::new(rows.map(|row| vector(&row["values"])).collect::<Option<_>>()?, None))
}

/// Reads a stream of partial answers; the one with a finish reason is its end.
#[derive(Debug, Default)]
pub(crate) struct GeminiParts {
    usage: Option<Usage>,
}

impl Protocol for GeminiParts {
    fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let part = parse(data)?;
        fault::in_message(&part)?;
        if let Some(reason) = part["promptFeedback"]["blockReason"].as_str() {
            return Err(ProviderError::new(
                ErrorKind::ContentPolicy,
                format!("the prompt was blocked: {reason}"),
            ));
        }
        let candidate = &part["candidates"][0];
        events.extend(candidate["content"]["parts"].as_array().into_iter().flatten().filter_map(text));
        self.usage = usage(&part["usageMetadata"]).or(self.usage);
        if let Some(reason) = candidate["finishReason"].as_str() {
            events.extend(self.usage.map(Event::Usage));
            events.push_back(Event::End(finish_reason(reason)));
        }
        Ok(())
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Assistant => "model",
        Role::User | Role::System | Role::Tool => "user",
    }
}

fn config(request: &ChatRequest) -> Map<String, Value> {
    let optional = [
        ("maxOutputTokens", request.max_tokens.map(Value::from)),
        ("temperature", request.temperature.map(Value::from)),
        ("topP", request.top_p.map(Value::from)),
        ("seed", request.seed.map(Value::from)),
        ("stopSequences", (!request.stop.is_empty()).then(|| json!(request.stop))),
    ];
    optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn text(part: &Value) -> Option<Event> {
    let text = part["text"].as_str().filter(|text| !text.is_empty())?;
    (part["thought"] != true).then(|| Event::Text(text.into()))
}

/// Counts so far. Candidates leave out thoughts, which are paid for as output too.
fn usage(value: &Value) -> Option<Usage> {
    let thoughts = value["thoughtsTokenCount"].as_u64();
    let candidates = value["candidatesTokenCount"].as_u64().unwrap_or(0);
    Some(Usage {
        input: value["promptTokenCount"].as_u64()?,
        cached_input: value["cachedContentTokenCount"].as_u64(),
        cache_write_input: None,
        output: candidates.saturating_add(thoughts.unwrap_or(0)),
        reasoning: thoughts,
    })
}

fn finish_reason(name: &str) -> FinishReason {
    match name {
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decoder::tests::{assert_needs_its_end, decode};
    use crate::wire::{Decoder, Framing};

    const HELLO: &str = "\
data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"hm\",\"thought\":true},{\"text\":\"Hel\"}]}}],\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":1}}\r\n\r\n\
data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"lo\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":3}}\r\n\r\n";

    fn decoder() -> Decoder {
        Decoder::new(Framing::Sse, GeminiParts::default())
    }

    #[test]
    fn parts_become_text_the_last_usage_and_end() {
        let usage = Usage { input: 4, output: 5, reasoning: Some(3), ..Usage::default() };

        let events = decode(decoder, HELLO).unwrap();

        let texts = ["Hel", "lo"].map(|text| Event::Text(text.into()));
        assert_eq!(events[..2], texts);
        assert_eq!(events[2..], [Event::Usage(usage), Event::End(FinishReason::Stop)]);
    }

    #[test]
    fn no_beginning_of_a_stream_passes_for_the_whole() {
        assert_needs_its_end(decoder, HELLO);
    }

    #[test]
    fn blocked_prompt_is_an_error_and_not_an_empty_answer() {
        let body = "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n";

        assert_eq!(decode(decoder, body), Err(ErrorKind::ContentPolicy));
    }
}
