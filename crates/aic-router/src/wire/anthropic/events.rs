use std::collections::VecDeque;

use serde_json::{Value, json};

use super::WIRE;
use crate::wire::{Protocol, arguments, fault, parse};
use crate::{Echo, ErrorKind, Event, FinishReason, ProviderError, Thinking, ToolCall, ToolCallDelta, Usage};

/// The longest text of one call's arguments, or of one signature.
const BLOCK_BYTES_MAX: usize = 1 << 20;

/// Reads a stream of named events; `message_stop` is its end.
///
/// Blocks come one after the other. A call is given out when its block stops, which is the first moment its
/// arguments can be checked; a thought's signature then too.
#[derive(Debug, Default)]
pub(crate) struct AnthropicEvents {
    usage: Counts,
    block: Block,
    broken_call: bool,
    finish: Option<FinishReason>,
}

/// The block being written, as far as it is kept until it stops.
#[derive(Debug, Default)]
enum Block {
    /// Text, or something that is not known.
    #[default]
    Other,
    /// A thought with its signature.
    Thought(String),
    /// A call, and its arguments where they came with its start.
    Call(ToolCall, String),
}

/// Tokens counted so far.
#[derive(Debug, Default)]
struct Counts {
    fresh: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

impl Protocol for AnthropicEvents {
    fn message(&mut self, data: &str, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        let event = parse(data)?;
        match event["type"].as_str() {
            Some("message_start") => self.count(&event["message"]["usage"], events),
            Some("content_block_start") => self.start(&event["content_block"], events)?,
            Some("content_block_delta") => self.piece(&event["delta"], events)?,
            Some("content_block_stop") => self.stop(events),
            Some("message_delta") => {
                self.count(&event["usage"], events);
                self.finish = event["delta"]["stop_reason"].as_str().map(finish_reason).or(self.finish);
            }
            Some("message_stop") => self.end(events)?,
            // Pings, events of later versions, and errors.
            _ => fault::in_message(&event)?,
        }
        Ok(())
    }
}

impl AnthropicEvents {
    fn start(&mut self, block: &Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        self.stop(events);
        match block["type"].as_str() {
            Some("text") => events.extend(text(&block["text"]).map(Event::Text)),
            Some("thinking") => {
                events.extend(text(&block["thinking"]).map(|text| thought(text, None)));
                self.block = Block::Thought(text(&block["signature"]).unwrap_or_default());
            }
            Some("redacted_thinking") => {
                let echo = json!({"type": "redacted_thinking", "data": block["data"]});
                events.push_back(thought(String::new(), Some(echo)));
            }
            Some("tool_use") => self.block = call(block)?,
            _ => {}
        }
        Ok(())
    }

    fn piece(&mut self, delta: &Value, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        match (delta["type"].as_str(), &mut self.block) {
            (Some("text_delta"), _) => events.extend(text(&delta["text"]).map(Event::Text)),
            (Some("thinking_delta"), _) => {
                events.extend(text(&delta["thinking"]).map(|text| thought(text, None)));
            }
            (Some("signature_delta"), Block::Thought(signature)) => {
                append(signature, text(&delta["signature"]))?;
            }
            (Some("input_json_delta"), Block::Call(call, _)) => {
                let piece = text(&delta["partial_json"]);
                append(&mut call.arguments, piece.clone())?;
                let (id, name) = (call.id.clone(), call.name.clone());
                events.extend(
                    piece.map(|arguments| Event::ToolCallDelta(ToolCallDelta { id, name, arguments })),
                );
            }
            // Citations, and the input of tools that run at Anthropic's.
            _ => {}
        }
        Ok(())
    }

    fn stop(&mut self, events: &mut VecDeque<Event>) {
        match std::mem::take(&mut self.block) {
            Block::Other => {}
            Block::Thought(signature) if signature.is_empty() => {}
            Block::Thought(signature) => {
                let echo = json!({"type": "thinking", "signature": signature});
                events.push_back(thought(String::new(), Some(echo)));
            }
            Block::Call(mut call, whole) => {
                if call.arguments.is_empty() {
                    call.arguments = whole;
                }
                match arguments(&call) {
                    Ok(_) => events.push_back(Event::ToolCall(call)),
                    Err(_) => self.broken_call = true,
                }
            }
        }
    }

    /// Takes over counts, which grow from event to event.
    fn count(&mut self, usage: &Value, events: &mut VecDeque<Event>) {
        self.usage.update(usage);
        events.extend(self.usage.total().filter(|_| usage.is_object()).map(Event::Usage));
    }

    /// A call that was cut off by the answer's greatest length is left out; any other that is not whole is the
    /// model's mistake.
    fn end(&mut self, events: &mut VecDeque<Event>) -> Result<(), ProviderError> {
        self.stop(events);
        let finish = self.finish.unwrap_or(FinishReason::Other);
        if self.broken_call && finish != FinishReason::Length {
            return Err(malformed("the arguments of a tool call are not a JSON object"));
        }
        events.push_back(Event::End(finish));
        Ok(())
    }
}

impl Counts {
    fn update(&mut self, usage: &Value) {
        let newer = |name: &str, old| usage[name].as_u64().or(old);
        self.fresh = newer("input_tokens", self.fresh);
        self.read = newer("cache_read_input_tokens", self.read);
        self.written = newer("cache_creation_input_tokens", self.written);
        self.output = newer("output_tokens", self.output);
        self.thinking = usage["output_tokens_details"]["thinking_tokens"].as_u64().or(self.thinking);
    }

    /// `input_tokens` leaves out what the cache had a part in.
    fn total(&self) -> Option<Usage> {
        let cached = self.read.unwrap_or(0).saturating_add(self.written.unwrap_or(0));
        Some(Usage {
            input: self.fresh?.saturating_add(cached),
            cached_input: self.read,
            cache_write_input: self.written,
            output: self.output?,
            reasoning: self.thinking,
        })
    }
}

/// A call as it starts. Its input is empty then, but on servers that send it whole.
fn call(block: &Value) -> Result<Block, ProviderError> {
    let name = |field: &str| text(&block[field]).ok_or_else(|| malformed("a tool call has no id or no name"));
    let whole = block["input"].as_object().map_or_else(|| "{}".into(), |_| block["input"].to_string());
    Ok(Block::Call(ToolCall::new(name("id")?, name("name")?, ""), whole))
}

fn append(text: &mut String, piece: Option<String>) -> Result<(), ProviderError> {
    text.push_str(&piece.unwrap_or_default());
    if text.len() > BLOCK_BYTES_MAX {
        return Err(malformed(format!("a block is longer than {BLOCK_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn thought(text: String, echo: Option<Value>) -> Event {
    Event::Thinking(Thinking { text, echo: echo.map(|data| Echo::new(WIRE, data)) })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn malformed(message: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, message)
}

fn finish_reason(name: &str) -> FinishReason {
    match name {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}
