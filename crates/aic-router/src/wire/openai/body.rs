//! The body of a chat.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use super::phrase::{base64, effort, image_url, result_text, unsupported};
use crate::{
    Ability, ChatRequest, Media, Message, ModelInfo, Part, ProviderError, ResponseFormat, Role, Tool,
    ToolCall, ToolChoice, ToolResult,
};

/// How servers of this protocol differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// OpenAI's own, which Azure serves too: the newer models refuse `max_tokens`, and none takes `top_k`.
    OpenAi,
    /// Everybody else's: most know only `max_tokens`, and take `top_k`.
    Compatible,
}

/// The body of a chat, as it is written.
///
/// What nearly every request has is borrowed and not made a document of first.
#[derive(Debug, Serialize)]
pub(crate) struct ChatBody<'a> {
    model: &'a str,
    messages: Vec<Turn<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// A message of words only, or any other.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Turn<'a> {
    Words { role: &'static str, content: Cow<'a, str> },
    Other(Value),
}

/// The body of a chat. Thoughts are not sent back: this protocol has no place for them.
///
/// No `prompt_cache_key` either: OpenAI's prompt cache works without one, and the tenant, which would make a
/// good one, is never sent.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a picture or a sound that cannot be sent.
pub(crate) fn chat_body<'a>(
    model: &'a ModelInfo,
    request: &'a ChatRequest,
    dialect: Dialect,
) -> Result<ChatBody<'a>, ProviderError> {
    let is_openai = dialect == Dialect::OpenAi;
    let samples = model.ability(Ability::Sampling) != Some(false);
    Ok(ChatBody {
        model: &model.name,
        messages: messages(request)?,
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        max_completion_tokens: request.max_tokens.filter(|_| is_openai),
        max_tokens: request.max_tokens.filter(|_| !is_openai),
        seed: request.seed,
        stop: &request.stop,
        tools: request.tools.iter().map(tool).collect(),
        tool_choice: tool_choice(request),
        response_format: request.response_format.as_ref().map(response_format),
        reasoning_effort: reasoning_effort(model, request),
        temperature: request.temperature.filter(|_| samples),
        top_p: request.top_p.filter(|_| samples),
        top_k: request.top_k.filter(|_| samples && !is_openai),
        frequency_penalty: request.frequency_penalty.filter(|_| samples),
        presence_penalty: request.presence_penalty.filter(|_| samples),
    })
}

fn reasoning_effort(model: &ModelInfo, request: &ChatRequest) -> Option<&'static str> {
    let asked = request.reasoning.filter(|_| model.ability(Ability::Reasoning) != Some(false));
    asked.map(|asked| effort(&model.name, asked))
}

fn messages(request: &ChatRequest) -> Result<Vec<Turn<'_>>, ProviderError> {
    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        if is_words(message) {
            messages.push(Turn::Words { role: message.role.as_str(), content: message.text() });
            continue;
        }
        messages.extend(message.parts.iter().filter_map(result).map(Turn::Other));
        messages.extend(turn(message)?.map(Turn::Other));
    }
    Ok(messages)
}

fn is_words(message: &Message) -> bool {
    let words = !message.parts.is_empty() && message.parts.iter().all(|part| part.as_text().is_some());
    words && message.role != Role::Tool
}

/// A message without its tool results, if there is something in it.
///
/// What stands beside the results of tools, such as a picture one of them made, is said by the user.
fn turn(message: &Message) -> Result<Option<Value>, ProviderError> {
    let content = content(message)?;
    let calls: Vec<Value> = message.parts.iter().filter_map(call).collect();
    if content.is_null() && calls.is_empty() {
        return Ok(None);
    }
    let role = if message.role == Role::Tool { Role::User } else { message.role };
    let mut turn = json!({"role": role.as_str(), "content": content});
    if !calls.is_empty() {
        turn["tool_calls"] = calls.into();
    }
    Ok(Some(turn))
}

/// A message's text as it is, which every server takes; with pictures and sounds, a list of pieces.
fn content(message: &Message) -> Result<Value, ProviderError> {
    let is_media = |part: &Part| matches!(part, Part::Image(_) | Part::Audio(_));
    if message.parts.iter().any(is_media) {
        return message.parts.iter().filter_map(|part| piece(message.role, part).transpose()).collect();
    }
    let has_text = message.parts.iter().any(|part| part.as_text().is_some());
    Ok(if has_text { message.text().into() } else { Value::Null })
}

fn piece(role: Role, part: &Part) -> Result<Option<Value>, ProviderError> {
    Ok(Some(match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image(_) | Part::Audio(_) if matches!(role, Role::System | Role::Assistant) => {
            return Err(unsupported(format!("a message of role `{}` has no place for media", role.as_str())));
        }
        Part::Image(image) => json!({"type": "image_url", "image_url": {"url": image_url(image)}}),
        Part::Audio(sound) => json!({"type": "input_audio", "input_audio": audio(sound)?}),
        _ => return Ok(None),
    }))
}

fn audio(sound: &Media) -> Result<Value, ProviderError> {
    let Media::Bytes { mime, data } = sound else {
        return Err(unsupported("sounds are sent as bytes here, and not by their address"));
    };
    Ok(json!({"data": base64(data), "format": audio_format(mime)?}))
}

fn audio_format(mime: &str) -> Result<&'static str, ProviderError> {
    let kind = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "audio/wav" | "audio/wave" | "audio/x-wav" | "audio/vnd.wave" => Ok("wav"),
        "audio/mpeg" | "audio/mp3" => Ok("mp3"),
        _ => Err(unsupported(format!("sounds are `audio/wav` or `audio/mpeg` here, not `{kind}`"))),
    }
}

fn call(part: &Part) -> Option<Value> {
    let Part::ToolCall(ToolCall { id, name, arguments, .. }) = part else {
        return None;
    };
    Some(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}))
}

fn result(part: &Part) -> Option<Value> {
    let Part::ToolResult(result @ ToolResult { call_id, .. }) = part else {
        return None;
    };
    Some(json!({"role": "tool", "tool_call_id": call_id, "content": result_text(result)}))
}

/// `strict` is sent only where it is asked for, as not every server knows it.
fn tool(tool: &Tool) -> Value {
    let Tool { name, description, parameters, strict } = tool;
    let mut function = json!({"name": name, "description": description, "parameters": parameters});
    if *strict {
        function["strict"] = true.into();
    }
    json!({"type": "function", "function": function})
}

/// Without tools there is no choice: OpenAI refuses one.
fn tool_choice(request: &ChatRequest) -> Option<Value> {
    match &request.tool_choice {
        _ if request.tools.is_empty() => None,
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({"type": "function", "function": {"name": name}})),
    }
}

fn response_format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Json => json!({"type": "json_object"}),
        ResponseFormat::Schema { name, schema } => json!({
            "type": "json_schema",
            "json_schema": {"name": name, "schema": schema, "strict": true},
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Echo, ErrorKind, ReasoningEffort, Thinking};

    fn document(model: &ModelInfo, request: &ChatRequest, dialect: Dialect) -> Value {
        serde_json::to_value(chat_body(model, request, dialect).unwrap()).unwrap()
    }

    fn body(request: &ChatRequest) -> Value {
        document(&"m".into(), request, Dialect::Compatible)
    }

    #[test]
    fn whole_conversation_becomes_its_body() {
        let thought = Thinking { text: "hm".into(), echo: Some(Echo::new("anthropic", "signature")) };
        let calls = [ToolCall::new("c1", "look", "{\"at\":1}"), ToolCall::new("c2", "hear", "{}")];
        let answer =
            Message::new(Role::Assistant, vec![Part::Thinking(thought), Part::Text("Let me.".into())])
                .part(Part::ToolCall(calls[0].clone()))
                .part(Part::ToolCall(calls[1].clone()));
        let results = Message::tool([
            ToolResult::new(&calls[0], "a cat"),
            ToolResult::failed(&calls[1], "no microphone"),
        ]);
        let question = Message::user("What is this?")
            .image(Media::url("https://x/y.png"))
            .audio(Media::bytes("audio/mpeg", "MP3"));
        let request =
            ChatRequest::new(vec![question, answer, results.image(Media::bytes("image/png", "PNG"))])
                .system("Be brief.")
                .tool(Tool::new("look", "Looks.", json!({"type": "object"})).strict())
                .tool(Tool::new("hear", "Listens.", json!({"type": "object"})))
                .tool_choice(ToolChoice::Named("look".into()))
                .response_format(ResponseFormat::Schema {
                    name: "s".into(),
                    schema: json!({"type": "object"}),
                })
                .reasoning(ReasoningEffort::Low)
                .max_tokens(5)
                .temperature(0.5)
                .top_p(0.25)
                .top_k(40)
                .frequency_penalty(1.0)
                .presence_penalty(-1.0)
                .seed(7)
                .stop("\n");

        let expected = json!({
            "model": "m",
            "stream": true,
            "stream_options": {"include_usage": true},
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                    {"type": "input_audio", "input_audio": {"data": "TVAz", "format": "mp3"}},
                ]},
                {"role": "assistant", "content": "Let me.", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}},
                    {"id": "c2", "type": "function", "function": {"name": "hear", "arguments": "{}"}},
                ]},
                {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
                {"role": "tool", "tool_call_id": "c2", "content": "The tool failed: no microphone"},
                {"role": "user", "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,UE5H"}},
                ]},
            ],
            "tools": [
                {"type": "function", "function": {"name": "look", "description": "Looks.",
                    "parameters": {"type": "object"}, "strict": true}},
                {"type": "function", "function": {"name": "hear", "description": "Listens.",
                    "parameters": {"type": "object"}}},
            ],
            "tool_choice": {"type": "function", "function": {"name": "look"}},
            "response_format": {"type": "json_schema",
                "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": true}},
            "reasoning_effort": "low",
            "max_tokens": 5,
            "temperature": 0.5,
            "top_p": 0.25,
            "top_k": 40,
            "frequency_penalty": 1.0,
            "presence_penalty": -1.0,
            "seed": 7,
            "stop": ["\n"],
        });
        assert_eq!(body(&request), expected);
    }

    #[test]
    fn body_has_only_what_was_asked_for() {
        let body = body(&ChatRequest::user("hi").tenant("acme").tool_choice(ToolChoice::Required));

        assert_eq!(
            body,
            json!({
                "model": "m",
                "messages": [{"role": "user", "content": "hi"}],
                "stream": true,
                "stream_options": {"include_usage": true},
            })
        );
    }

    #[test]
    fn options_a_model_is_known_not_to_take_are_left_out() {
        let model = ModelInfo::chat("o3").cannot(Ability::Sampling).cannot(Ability::Reasoning);
        let request = ChatRequest::user("hi")
            .temperature(0.5)
            .top_p(0.5)
            .frequency_penalty(1.0)
            .presence_penalty(1.0)
            .reasoning(ReasoningEffort::High);

        let bare = document(&model, &ChatRequest::user("hi"), Dialect::OpenAi);

        assert_eq!(document(&model, &request, Dialect::OpenAi), bare);
    }

    #[test]
    fn openai_itself_is_told_the_limit_by_its_new_name_and_no_top_k() {
        let request = ChatRequest::user("hi").max_tokens(5).top_k(3);

        let body = document(&"m".into(), &request, Dialect::OpenAi);

        assert_eq!(body["max_completion_tokens"], 5);
        assert!(body.get("max_tokens").is_none() && body.get("top_k").is_none());
    }

    #[test]
    fn calls_without_words_have_null_for_content_and_bare_thoughts_no_message() {
        let call = Message::new(Role::Assistant, vec![Part::ToolCall(ToolCall::new("c", "look", "{}"))]);
        let thought = Message::new(Role::Assistant, vec![Part::Thinking(Thinking::default())]);

        let body = body(&ChatRequest::new(vec![call, thought]));

        assert_eq!(body["messages"].as_array().unwrap().len(), 1);
        assert_eq!(body["messages"][0]["content"], Value::Null);
    }

    #[test]
    fn media_that_cannot_be_sent_is_unsupported() {
        let cases = [
            Message::user("").audio(Media::url("https://x/y.wav")),
            Message::user("").audio(Media::bytes("audio/ogg", "OGG")),
            Message::assistant("").image(Media::url("https://x/y.png")),
        ];
        for message in cases {
            let request = ChatRequest::new(vec![message]);
            let error = chat_body(&"m".into(), &request, Dialect::OpenAi).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }

    #[test]
    fn audio_formats_are_read_from_their_mime_types() {
        for mime in ["audio/wav", "Audio/X-WAV; codecs=1"] {
            assert_eq!(audio_format(mime).unwrap(), "wav");
        }
        assert_eq!(audio_format("audio/mp3").unwrap(), "mp3");
    }
}
