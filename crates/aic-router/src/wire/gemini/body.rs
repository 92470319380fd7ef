use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::{WIRE, thinking};
use crate::wire::arguments;
use crate::{
    Ability, ChatRequest, Echo, Media, Message, ModelInfo, Part, ProviderError, ResponseFormat, Role,
    Thinking, Tool, ToolCall, ToolChoice, ToolResult,
};

/// What Google's documentation says to put in place of the signature of a call that Gemini did not make.
const FOREIGN_SIGNATURE: &str = "skip_thought_signature_validator";

/// Seeds are signed numbers of 32 bits on this wire.
const SEED_MASK: u64 = i32::MAX as u64;

/// The body of a chat with `model`.
pub(crate) fn chat_body(model: &ModelInfo, request: &ChatRequest) -> Result<Value, ProviderError> {
    let mut body = json!({"contents": contents(model, request)?, "generationConfig": config(model, request)});
    if let Some(system) = request.system_text() {
        body["systemInstruction"] = json!({"parts": [{"text": system}]});
    }
    if !request.tools.is_empty() {
        let declarations: Vec<Value> = request.tools.iter().map(declaration).collect();
        body["tools"] = json!([{"functionDeclarations": declarations}]);
        if let Some(calling) = calling(request) {
            body["toolConfig"] = json!({"functionCallingConfig": calling});
        }
    }
    Ok(body)
}

fn config(model: &ModelInfo, request: &ChatRequest) -> Map<String, Value> {
    let optional = [
        ("maxOutputTokens", request.max_tokens.map(Value::from)),
        ("seed", request.seed.map(|seed| (seed & SEED_MASK).into())),
        ("stopSequences", (!request.stop.is_empty()).then(|| json!(request.stop))),
        ("responseMimeType", request.response_format.as_ref().map(|_| "application/json".into())),
        ("responseJsonSchema", request.response_format.as_ref().and_then(schema)),
        ("thinkingConfig", request.reasoning.and_then(|effort| thinking::config(model, effort))),
    ];
    let fields = optional.into_iter().chain(sampling(model, request));
    fields.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn sampling(model: &ModelInfo, request: &ChatRequest) -> [(&'static str, Option<Value>); 5] {
    let able = model.ability(Ability::Sampling) != Some(false);
    let float = |value: Option<f32>| value.filter(|_| able).map(Value::from);
    [
        ("temperature", float(request.temperature)),
        ("topP", float(request.top_p)),
        ("topK", request.top_k.filter(|_| able).map(Value::from)),
        ("frequencyPenalty", float(request.frequency_penalty)),
        ("presencePenalty", float(request.presence_penalty)),
    ]
}

fn schema(format: &ResponseFormat) -> Option<Value> {
    match format {
        ResponseFormat::Json => None,
        ResponseFormat::Schema { schema, .. } => Some(schema.clone()),
    }
}

fn declaration(tool: &Tool) -> Value {
    json!({"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters})
}

/// `VALIDATED` is `AUTO` that keeps to the schemas; `ANY` keeps to them anyway.
fn calling(request: &ChatRequest) -> Option<Value> {
    match &request.tool_choice {
        ToolChoice::Auto if request.tools.iter().any(|tool| tool.strict) => {
            Some(json!({"mode": "VALIDATED"}))
        }
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!({"mode": "NONE"})),
        ToolChoice::Required => Some(json!({"mode": "ANY"})),
        ToolChoice::Named(name) => Some(json!({"mode": "ANY", "allowedFunctionNames": [name]})),
    }
}

/// The conversation; messages of one role next to each other are one turn, as the results of calls made
/// together must come together.
fn contents(model: &ModelInfo, request: &ChatRequest) -> Result<Vec<Value>, ProviderError> {
    let mut turns: Vec<(Role, Vec<Value>)> = Vec::new();
    for message in request.messages.iter().filter(|message| message.role != Role::System) {
        let parts = parts(message)?;
        match turns.last_mut() {
            _ if parts.is_empty() => {}
            Some((role, turn)) if *role == message.role => turn.extend(parts),
            _ => turns.push((message.role, parts)),
        }
    }
    if thinking::generation(&model.name).is_some_and(|generation| generation >= (3, 0)) {
        turns.iter_mut().for_each(|(_, parts)| sign(parts));
    }
    Ok(turns.into_iter().map(|(role, parts)| json!({"role": name(role), "parts": parts})).collect())
}

/// From Gemini 3 on the first call of a turn must be signed, also if another provider's model made it.
fn sign(parts: &mut [Value]) {
    let first = parts.iter_mut().find(|part| part.get("functionCall").is_some());
    if let Some(call) = first.filter(|call| call.get("thoughtSignature").is_none()) {
        call["thoughtSignature"] = FOREIGN_SIGNATURE.into();
    }
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Assistant => "model",
        Role::User | Role::System | Role::Tool => "user",
    }
}

fn parts(message: &Message) -> Result<Vec<Value>, ProviderError> {
    message.parts.iter().filter_map(|part| encode(part).transpose()).collect()
}

/// A part on this wire; none for an empty text and for what belongs to another protocol.
fn encode(part: &Part) -> Result<Option<Value>, ProviderError> {
    Ok(match part {
        Part::Text(text) => (!text.is_empty()).then(|| json!({"text": text})),
        Part::Image(media) | Part::Audio(media) => Some(data(media)),
        Part::Thinking(thinking) => signed(thinking),
        Part::ToolCall(call) => Some(function_call(call)?),
        Part::ToolResult(result) => Some(function_response(result)),
    })
}

fn data(media: &Media) -> Value {
    match media {
        Media::Bytes { mime, data } => {
            json!({"inlineData": {"mimeType": mime, "data": BASE64_STANDARD.encode(data)}})
        }
        Media::Url(url) => json!({"fileData": {"fileUri": url}}),
    }
}

/// The part an echo was taken from. Thoughts without a signature are summaries, which Gemini does not read.
fn signed(thinking: &Thinking) -> Option<Value> {
    let echo = thinking.echo.as_ref()?.of(WIRE)?;
    let signature = echo["thoughtSignature"].as_str()?;
    Some(match echo["thought"].as_bool() {
        Some(true) => json!({"text": thinking.text, "thought": true, "thoughtSignature": signature}),
        _ => json!({"text": "", "thoughtSignature": signature}),
    })
}

fn function_call(call: &ToolCall) -> Result<Value, ProviderError> {
    let mut part = json!({"functionCall": {"id": call.id, "name": call.name, "args": arguments(call)?}});
    let echo = call.echo.as_ref().and_then(|echo: &Echo| echo.of(WIRE)?.as_str());
    if let Some(signature) = echo {
        part["thoughtSignature"] = signature.into();
    }
    Ok(part)
}

fn function_response(result: &ToolResult) -> Value {
    let field = if result.failed { "error" } else { "output" };
    let response = json!({field: result.content});
    json!({"functionResponse": {"id": result.call_id, "name": result.name, "response": response}})
}
