use std::collections::VecDeque;

use serde_json::{Map, Value};

use super::WIRE;
use crate::wire::{Protocol, fault, parse};
use crate::{
    ChatRequest, Echo, ErrorKind, Event, FinishReason, Part, ProviderError, Thinking, ToolCall, Usage,
};

/// What ids start with that are made up here.
const ID_PREFIX: &str = "call_";

/// Reads a stream of partial answers.
///
/// It has no last message: the answer is whole when the body ends after a finish reason, which usage and
/// signatures may follow.
#[derive(Debug, Default)]
pub(crate) struct GeminiParts {
    /// The number of the next id made up.
    next_id: u64,
    called: bool,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
}

impl GeminiParts {
    /// Reads the answer to `request`, and gives calls without ids some that the conversation does not have.
    pub(crate) fn answering(request: &ChatRequest) -> Self {
        let parts = request.messages.iter().flat_map(|message| &message.parts);
        let last = parts.filter_map(number).max();
        Self { next_id: last.map_or(0, |last| u64::from(last) + 1), ..Self::default() }
    }

    fn part(&mut self, part: &Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        if let Some(call) = part.get("functionCall") {
            let call = self.call(call, signature(part))?;
            events.push_back(Event::ToolCall(call));
            return Ok(());
        }
        let text = part["text"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if part["thought"] == true {
            let (text, echo) = (text.unwrap_or_default(), echo(part));
            events.push_back(Event::Thinking(Thinking { text, echo }));
        } else {
            events.extend(text.map(Event::Text));
            let signed = |echo| Event::Thinking(Thinking { text: String::new(), echo: Some(echo) });
            events.extend(echo(part).map(signed));
        }
        Ok(())
    }

    fn call(&mut self, call: &Value, signature: Option<&str>) -> Result<ToolCall, ProviderError> {
        let name = call["name"].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| malformed("a tool call has no name"))?;
        let arguments = match &call["args"] {
            Value::Null => "{}".into(),
            Value::Object(arguments) => Value::from(arguments.clone()).to_string(),
            _ => return Err(malformed("the arguments of a tool call are not a JSON object")),
        };
        let id = call["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        let id = id.unwrap_or_else(|| self.made_up_id());
        self.called = true;
        let echo = signature.map(|signature| Echo::new(WIRE, signature));
        Ok(ToolCall { echo, ..ToolCall::new(id, name, arguments) })
    }

    fn made_up_id(&mut self) -> String {
        let id = format!("{ID_PREFIX}{}", self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    fn count(&mut self, counts: &Value, events: &mut VecDeque<Event>) {
        let newer = usage(counts).filter(|usage| self.usage != Some(*usage));
        self.usage = newer.or(self.usage);
        events.extend(newer.map(Event::Usage));
    }
}

impl Protocol for GeminiParts {
    fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let answer = parse(data)?;
        fault::in_message(&answer)?;
        if let Some(reason) = answer["promptFeedback"]["blockReason"].as_str() {
            let message = format!("the prompt was blocked: {reason}");
            return Err(ProviderError::new(ErrorKind::ContentPolicy, message));
        }
        let candidate = &answer["candidates"][0];
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            self.part(part, events)?;
        }
        self.count(&answer["usageMetadata"], events);
        if let Some(reason) = candidate["finishReason"].as_str() {
            self.finish = finish_reason(reason)?.or(self.finish);
        }
        Ok(())
    }

    fn body_ended(&mut self, events: &mut VecDeque<Event>) {
        // There is no reason of its own for calls.
        let finish = match self.finish {
            Some(FinishReason::Stop | FinishReason::Other) if self.called => Some(FinishReason::ToolCalls),
            finish => finish,
        };
        events.extend(finish.map(Event::End));
    }
}

/// The number in an id that was made up for an earlier turn.
fn number(part: &Part) -> Option<u32> {
    match part {
        Part::ToolCall(call) => call.id.strip_prefix(ID_PREFIX)?.parse().ok(),
        _ => None,
    }
}

fn signature(part: &Value) -> Option<&str> {
    part["thoughtSignature"].as_str().filter(|signature| !signature.is_empty())
}

fn echo(part: &Value) -> Option<Echo> {
    let mut data = Map::new();
    data.insert("thoughtSignature".into(), signature(part)?.into());
    if part["thought"] == true {
        data.insert("thought".into(), true.into());
    }
    Some(Echo::new(WIRE, data))
}

/// Counts so far. Candidates leave out thoughts, which are paid for as output too. What Google's own tools read
/// is in the prompt on some models and beside it on others: it is added where the total says so.
fn usage(counts: &Value) -> Option<Usage> {
    let count = |name: &str| counts[name].as_u64();
    let thoughts = count("thoughtsTokenCount");
    let prompt = count("promptTokenCount")?;
    let output = count("candidatesTokenCount").unwrap_or(0).saturating_add(thoughts.unwrap_or(0));
    let with_tools = prompt.saturating_add(count("toolUsePromptTokenCount").unwrap_or(0));
    let beside = count("totalTokenCount").is_some_and(|total| total >= with_tools.saturating_add(output));
    Some(Usage {
        input: if beside { with_tools } else { prompt },
        cached_input: count("cachedContentTokenCount"),
        cache_write_input: None,
        output,
        reasoning: thoughts,
    })
}

/// Why the answer ended; none where it does not say, and an error where there is no answer.
fn finish_reason(name: &str) -> Result<Option<FinishReason>, ProviderError> {
    Ok(Some(match name {
        "FINISH_REASON_UNSPECIFIED" => return Ok(None),
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => FinishReason::ContentFilter,
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "MALFORMED_RESPONSE" => {
            return Err(malformed(format!("the model wrote what cannot be read: {name}")));
        }
        "MISSING_THOUGHT_SIGNATURE" => {
            let message = "a call in the conversation lacks the signature it came with";
            return Err(ProviderError::new(ErrorKind::BadRequest, message));
        }
        _ => FinishReason::Other,
    }))
}

fn malformed(message: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, message)
}
