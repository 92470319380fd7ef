//! Ollama's own chat: one JSON document per line.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::openai::vector;
use super::{Protocol, fault, parse};
use crate::{ChatRequest, Embeddings, Event, FinishReason, ModelInfo, ProviderError, Usage};

/// The context Ollama gives a model on the smallest machines; above it, one is asked for.
const CONTEXT_DEFAULT: u64 = 4096;
/// Room for an answer whose length is not bounded.
const ANSWER_TOKENS: u64 = 1024;

/// The body of a chat.
pub(crate) fn chat_body(model: &str, request: &ChatRequest) -> Value {
    let messages: Vec<Value> =
        request.messages.iter().map(|m| json!({"role": m.role.as_str(), "content": m.text()})).collect();
    json!({"model": model, "messages": messages, "stream": true, "options": options(request)})
}

fn options(request: &ChatRequest) -> Map<String, Value> {
    let optional = [
        ("num_ctx", context(request).map(Value::from)),
        ("num_predict", request.max_tokens.map(Value::from)),
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        ("seed", request.seed.map(Value::from)),
        ("stop", (!request.stop.is_empty()).then(|| json!(request.stop))),
    ];
    optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The context to ask for, where the default may not do: Ollama cuts what does not fit without a word.
///
/// Asked for in powers of two with half as much again in hand, as each new size loads the model anew.
fn context(request: &ChatRequest) -> Option<u64> {
    let input = request.estimated_tokens();
    let needed = input + input / 2 + request.max_tokens.map_or(ANSWER_TOKENS, u64::from);
    (needed > CONTEXT_DEFAULT).then(|| needed.checked_next_power_of_two().unwrap_or(needed))
}

/// Reads a stream of lines; the one that is `done` is its end, and may have text too.
#[derive(Debug, Default)]
pub(crate) struct OllamaLines;

impl Protocol for OllamaLines {
    fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let line = parse(data)?;
        fault::in_message(&line)?;
        let text = line["message"]["content"].as_str().filter(|text| !text.is_empty());
        events.extend(text.map(|text| Event::Text(text.into())));
        if line["done"] == true {
            events.extend(usage(&line).map(Event::Usage));
            events.push_back(Event::End(finish_reason(line["done_reason"].as_str())));
        }
        Ok(())
    }
}

/// Reads the models of `/api/tags`. Those whose family is a BERT make embeddings; its names often tell too.
pub(crate) fn models(answer: &Value) -> Option<Vec<ModelInfo>> {
    Some(answer["models"].as_array()?.iter().filter_map(model).collect())
}

fn model(entry: &Value) -> Option<ModelInfo> {
    let name = entry["name"].as_str()?;
    let family = entry["details"]["family"].as_str().unwrap_or_default();
    if family.contains("bert") || name.contains("embed") {
        return Some(ModelInfo::embedding(name));
    }
    let model = ModelInfo::chat(name);
    let size = entry["details"]["parameter_size"].as_str().and_then(billions);
    Some(match size {
        Some(size) => model.class(crate::ModelClass::of_size(size)),
        None => model,
    })
}

/// `"8.0B"` or `"361.82M"`.
fn billions(size: &str) -> Option<f64> {
    if let Some(number) = size.strip_suffix('B') {
        return number.parse().ok();
    }
    Some(size.strip_suffix('M')?.parse::<f64>().ok()? / 1000.0)
}

/// Reads the vectors of an answer.
pub(crate) fn embeddings(answer: &Value) -> Option<Embeddings> {
    let vectors = answer["embeddings"].as_array()?.iter().map(vector).collect::<Option<_>>()?;
    Some(Embeddings::new(vectors, answer["prompt_eval_count"].as_u64()))
}

/// Both counts, or none: Ollama leaves out the prompt's where it was in its cache.
fn usage(line: &Value) -> Option<Usage> {
    let (input, output) = (line["prompt_eval_count"].as_u64()?, line["eval_count"].as_u64()?);
    Some(Usage { input, output, ..Usage::default() })
}

fn finish_reason(name: Option<&str>) -> FinishReason {
    match name {
        None | Some("stop") => FinishReason::Stop,
        Some("length") => FinishReason::Length,
        Some(_) => FinishReason::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decoder::tests::{assert_needs_its_end, decode};
    use crate::wire::{Decoder, Framing};
    use crate::{ErrorKind, ModelClass, Purpose};

    const HELLO: &str = "\
{\"message\":{\"role\":\"assistant\",\"content\":\"Hel\"},\"done\":false}\n\
{\"message\":{\"content\":\"\",\"thinking\":\"hm\"},\"done\":false}\n\
{\"message\":{\"content\":\"lo\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":6,\"eval_count\":2}\n";

    fn decoder() -> Decoder {
        Decoder::new(Framing::Ndjson, OllamaLines)
    }

    #[test]
    fn lines_become_text_usage_and_end() {
        let usage = Usage { input: 6, output: 2, ..Usage::default() };

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
    fn error_line_within_a_stream_is_an_error() {
        let body = "{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"error\":\"runner stopped\"}\n";

        assert_eq!(decode(decoder, body), Err(ErrorKind::Transient));
    }

    #[test]
    fn long_conversations_ask_for_a_context_that_holds_them() {
        assert_eq!(context(&ChatRequest::user("hi")), None);
        assert_eq!(context(&ChatRequest::user("x".repeat(40_000))), Some(16_384));
    }

    #[test]
    fn tags_become_models_of_a_purpose_and_a_class() {
        let tags = json!({"models": [
            {"name": "llama3.1:latest", "details": {"family": "llama", "parameter_size": "8.0B"}},
            {"name": "smol:latest", "details": {"family": "llama", "parameter_size": "361.82M"}},
            {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}},
            {"nameless": true}]});

        let models = models(&tags).unwrap();

        let classes: Vec<_> = models.iter().map(|model| model.class).collect();
        assert_eq!(classes, [Some(ModelClass::Medium), Some(ModelClass::Tiny), None]);
        assert_eq!(models[2].purpose, Purpose::Embedding);
    }
}
