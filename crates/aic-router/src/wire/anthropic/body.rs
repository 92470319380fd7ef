use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::thinking::Thinking;
use super::version::Version;
use super::{WIRE, cache, schema};
use crate::wire::arguments;
use crate::{
    Ability, ChatRequest, ErrorKind, Media, Message, ModelInfo, Part, ProviderError, ResponseFormat, Role,
    Tool, ToolCall, ToolChoice, ToolResult,
};

/// The answer's length where neither the request nor the model bounds it: Anthropic wants one stated.
const MAX_TOKENS_DEFAULT: u32 = 4096;

/// The smallest nucleus a thinking model takes.
const THINKING_TOP_P_MIN: f32 = 0.95;

/// There is no field for JSON of any shape.
const JSON_INSTRUCTION: &str =
    "Answer with one JSON value and nothing else: no words around it and no code fence.";

/// The body of a chat with `model`. There are no seed and no penalties on this wire.
pub(crate) fn chat_body(model: &ModelInfo, request: &ChatRequest) -> Result<Value, ProviderError> {
    let max_tokens = max_tokens(model, request);
    let thinking = Thinking::of(model, request, max_tokens);
    let mut body = json!({
        "model": model.name,
        "max_tokens": max_tokens,
        "stream": true,
        "messages": messages(request)?,
    });
    let sampling = sampling(model, request, &thinking);
    let config = output_config(request, &thinking);
    let optional = [
        ("system", system(request).map(Value::from)),
        ("tools", (!request.tools.is_empty()).then(|| request.tools.iter().map(tool).collect())),
        ("tool_choice", tool_choice(request)),
        ("thinking", thinking.field),
        ("output_config", (!config.is_empty()).then(|| config.into())),
        ("stop_sequences", (!request.stop.is_empty()).then(|| json!(request.stop))),
    ];
    for (name, value) in optional.into_iter().chain(sampling) {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    if request.prompt_cache == Some(true) {
        cache::mark(&mut body);
    }
    Ok(body)
}

/// What is asked for, but not more than the model writes.
fn max_tokens(model: &ModelInfo, request: &ChatRequest) -> u32 {
    let most = model.output_tokens_max.map(|most| u32::try_from(most).unwrap_or(u32::MAX));
    match (request.max_tokens, most) {
        (Some(asked), Some(most)) => asked.min(most),
        (asked, most) => asked.or(most).unwrap_or(MAX_TOKENS_DEFAULT),
    }
}

/// Anthropic's temperature ends at 1, and newer models refuse it together with `top_p`. A thinking model takes
/// neither it nor `top_k`.
fn sampling(
    model: &ModelInfo,
    request: &ChatRequest,
    thinking: &Thinking,
) -> [(&'static str, Option<Value>); 3] {
    let able = model.ability(Ability::Sampling).unwrap_or_else(|| Version::of(&model.name).samples());
    let free = able && !thinking.on;
    let temperature = request.temperature.filter(|_| free);
    let nucleus = |p: &f32| free || (able && *p >= THINKING_TOP_P_MIN);
    let top_p = request.top_p.filter(nucleus).filter(|_| temperature.is_none());
    [
        ("temperature", temperature.map(|temperature| temperature.min(1.0).into())),
        ("top_p", top_p.map(Value::from)),
        ("top_k", request.top_k.filter(|_| free).map(Value::from)),
    ]
}

fn output_config(request: &ChatRequest, thinking: &Thinking) -> Map<String, Value> {
    let format = match &request.response_format {
        Some(ResponseFormat::Schema { schema, .. }) => {
            Some(json!({"type": "json_schema", "schema": schema::closed(schema)}))
        }
        Some(ResponseFormat::Json) | None => None,
    };
    let fields = [("effort", thinking.effort.map(Value::from)), ("format", format)];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn system(request: &ChatRequest) -> Option<String> {
    let instruction = (request.response_format == Some(ResponseFormat::Json)).then_some(JSON_INSTRUCTION);
    let texts: Vec<String> =
        request.system_text().into_iter().chain(instruction.map(str::to_owned)).collect();
    Some(texts.join("\n\n")).filter(|text| !text.trim().is_empty())
}

fn tool(tool: &Tool) -> Value {
    let mut value = json!({"name": tool.name, "description": tool.description});
    if tool.strict {
        value["strict"] = true.into();
        value["input_schema"] = schema::closed(&tool.parameters);
    } else {
        value["input_schema"] = tool.parameters.clone();
    }
    value
}

/// Without tools there is nothing to choose, and to say so is an error.
fn tool_choice(request: &ChatRequest) -> Option<Value> {
    if request.tools.is_empty() {
        return None;
    }
    match &request.tool_choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!({"type": "none"})),
        ToolChoice::Required => Some(json!({"type": "any"})),
        ToolChoice::Named(name) => Some(json!({"type": "tool", "name": name})),
    }
}

/// The conversation in turns that alternate: user and tool messages next to each other are one turn, in which
/// the results of tools come first.
fn messages(request: &ChatRequest) -> Result<Value, ProviderError> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in request.messages.iter().filter(|message| message.role != Role::System) {
        let blocks = blocks(message)?;
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some((role, turn)) if *role == role_of(message) => turn.extend(blocks),
            _ => turns.push((role_of(message), blocks)),
        }
    }
    let turn = |(role, mut blocks): (&str, Vec<Value>)| {
        blocks.sort_by_key(|block| block["type"] != "tool_result");
        json!({"role": role, "content": blocks})
    };
    Ok(turns.into_iter().map(turn).collect())
}

fn role_of(message: &Message) -> &'static str {
    match message.role {
        Role::Assistant => "assistant",
        Role::User | Role::Tool | Role::System => "user",
    }
}

fn blocks(message: &Message) -> Result<Vec<Value>, ProviderError> {
    message.parts.iter().filter_map(|part| block(part).transpose()).collect()
}

/// A part as a block; none for what would be refused, as an empty text, or belongs to another protocol.
fn block(part: &Part) -> Result<Option<Value>, ProviderError> {
    Ok(match part {
        Part::Text(text) => (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text})),
        Part::Image(media) => Some(json!({"type": "image", "source": source(media)})),
        Part::Audio(_) => {
            return Err(ProviderError::new(ErrorKind::Unsupported, "Anthropic's protocol has no sounds"));
        }
        Part::Thinking(thinking) => {
            thinking.echo.as_ref().and_then(|echo| thought(&thinking.text, echo.of(WIRE)?))
        }
        Part::ToolCall(call) => Some(tool_use(call)?),
        Part::ToolResult(result) => Some(tool_result(result)),
    })
}

fn source(media: &Media) -> Value {
    match media {
        Media::Bytes { mime, data } => {
            json!({"type": "base64", "media_type": mime, "data": BASE64_STANDARD.encode(data)})
        }
        Media::Url(url) => json!({"type": "url", "url": url}),
    }
}

/// The block an echo was taken from, unchanged.
fn thought(text: &str, echo: &Value) -> Option<Value> {
    match echo["type"].as_str()? {
        "thinking" => Some(json!({"type": "thinking", "thinking": text, "signature": echo["signature"]})),
        "redacted_thinking" => Some(json!({"type": "redacted_thinking", "data": echo["data"]})),
        _ => None,
    }
}

fn tool_use(call: &ToolCall) -> Result<Value, ProviderError> {
    let input = arguments(call)?;
    Ok(json!({"type": "tool_use", "id": id(&call.id), "name": call.name, "input": input}))
}

fn tool_result(result: &ToolResult) -> Value {
    let mut block =
        json!({"type": "tool_result", "tool_use_id": id(&result.call_id), "content": result.content});
    if result.failed {
        block["is_error"] = true.into();
    }
    block
}

/// The call's name in the letters Anthropic takes; other providers' may have more.
fn id(id: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    id.chars().map(letter).collect()
}
