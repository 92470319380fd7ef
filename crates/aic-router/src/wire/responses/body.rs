//! The body of a chat.

use serde_json::{Value, json};

use super::echoed;
use crate::wire::openai::{effort, image_url, optional, result_text, unsupported};
use crate::{
    Ability, ChatRequest, Message, ModelInfo, Part, ProviderError, ResponseFormat, Role, Thinking, Tool,
    ToolCall, ToolChoice, ToolResult,
};

/// The body of a chat to the server at `host`. There are no stop texts, seed, penalties or `top_k` on this wire.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a sound, and for a picture that is not the user's.
pub(crate) fn chat_body(
    model: &ModelInfo,
    request: &ChatRequest,
    host: &str,
) -> Result<Value, ProviderError> {
    let body = optional([
        ("model", Some(model.name.as_str().into())),
        ("instructions", request.system_text().map(Value::from)),
        ("input", Some(input(request, host)?.into())),
        ("stream", Some(true.into())),
        ("store", Some(false.into())),
        ("include", sealed_thoughts(model)),
        ("max_output_tokens", request.max_tokens.map(Value::from)),
        ("temperature", request.temperature.filter(|_| samples(model)).map(Value::from)),
        ("top_p", request.top_p.filter(|_| samples(model)).map(Value::from)),
        ("tools", (!request.tools.is_empty()).then(|| request.tools.iter().map(tool).collect())),
        ("tool_choice", tool_choice(request)),
        ("text", request.response_format.as_ref().map(|format| json!({"format": text_format(format)}))),
        ("reasoning", reasoning(model, request)),
    ]);
    Ok(body.into())
}

/// Asks for the thoughts in a form that can be given back. A model that does not think refuses to be asked.
fn sealed_thoughts(model: &ModelInfo) -> Option<Value> {
    thinks(model).then(|| json!(["reasoning.encrypted_content"]))
}

fn reasoning(model: &ModelInfo, request: &ChatRequest) -> Option<Value> {
    let asked = request.reasoning.filter(|_| thinks(model))?;
    Some(json!({"effort": effort(&model.name, asked)}))
}

fn thinks(model: &ModelInfo) -> bool {
    model.ability(Ability::Reasoning) != Some(false)
}

fn samples(model: &ModelInfo) -> bool {
    model.ability(Ability::Sampling) != Some(false)
}

fn input(request: &ChatRequest, host: &str) -> Result<Vec<Value>, ProviderError> {
    let mut input = Vec::new();
    for message in request.messages.iter().filter(|message| message.role != Role::System) {
        input.extend(items(message, host)?);
    }
    Ok(input)
}

/// The items of a message, in its order; neighbouring texts and pictures are one item.
///
/// A thought that nothing follows is left out: the server refuses one without what it led to.
fn items(message: &Message, host: &str) -> Result<Vec<Value>, ProviderError> {
    let mut items = Vec::new();
    for part in &message.parts {
        match part {
            Part::Thinking(thinking) => items.extend(thought(thinking, host)),
            Part::ToolCall(call) => items.push(call_item(call)),
            Part::ToolResult(result) => items.push(result_item(result)),
            said => say(&mut items, message.role, content(message.role, said)?),
        }
    }
    while items.last().is_some_and(|item| item["type"] == "reasoning") {
        items.pop();
    }
    Ok(items)
}

fn say(items: &mut Vec<Value>, role: Role, content: Value) {
    let last = items.last_mut().filter(|item| item["type"] == "message");
    match last.and_then(|item| item["content"].as_array_mut()) {
        Some(contents) => contents.push(content),
        None => items.push(json!({"type": "message", "role": speaker(role), "content": [content]})),
    }
}

/// What stands beside the results of tools, such as a picture one of them made, is said by the user.
fn speaker(role: Role) -> &'static str {
    if role == Role::Assistant { "assistant" } else { "user" }
}

fn content(role: Role, part: &Part) -> Result<Value, ProviderError> {
    match (part, role) {
        (Part::Text(text), Role::Assistant) => Ok(json!({"type": "output_text", "text": text})),
        (Part::Text(text), _) => Ok(json!({"type": "input_text", "text": text})),
        (Part::Image(image), Role::User | Role::Tool) => {
            Ok(json!({"type": "input_image", "image_url": image_url(image)}))
        }
        (Part::Audio(_), _) => Err(unsupported("OpenAI's Responses take no sounds; use Chat Completions")),
        _ => Err(unsupported(format!("a message of role `{}` has no place for media", role.as_str()))),
    }
}

/// The item a thought came in; thoughts of other protocols and servers are left out.
fn thought(thinking: &Thinking, host: &str) -> Option<Value> {
    echoed(thinking.echo.as_ref()?, host).cloned()
}

fn call_item(call: &ToolCall) -> Value {
    let ToolCall { id, name, arguments, .. } = call;
    json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
}

fn result_item(result: &ToolResult) -> Value {
    json!({"type": "function_call_output", "call_id": result.call_id, "output": result_text(result)})
}

/// `strict` is always sent, as it is on where nothing is said.
fn tool(tool: &Tool) -> Value {
    let Tool { name, description, parameters, strict } = tool;
    json!({
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
        "strict": strict,
    })
}

fn tool_choice(request: &ChatRequest) -> Option<Value> {
    match &request.tool_choice {
        _ if request.tools.is_empty() => None,
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({"type": "function", "name": name})),
    }
}

fn text_format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Json => json!({"type": "json_object"}),
        ResponseFormat::Schema { name, schema } => {
            json!({"type": "json_schema", "name": name, "schema": schema, "strict": true})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::responses::echo;
    use crate::{Echo, ErrorKind, Media, ReasoningEffort};

    const HOST: &str = "api.openai.com";

    fn thinking(seal: impl Fn(&Value) -> Echo) -> Part {
        let item = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"});
        Part::Thinking(Thinking { text: "hm".into(), echo: Some(seal(&item)) })
    }

    #[test]
    fn whole_conversation_becomes_its_body() {
        let own = thinking(|item| echo(HOST, item));
        let calls = [ToolCall::new("c1", "look", "{\"at\":1}"), ToolCall::new("c2", "hear", "{}")];
        let answer = Message::new(Role::Assistant, vec![own.clone(), Part::Text("Let me.".into())])
            .part(Part::ToolCall(calls[0].clone()))
            .part(thinking(|item| Echo::new("anthropic", item.clone())))
            .part(thinking(|item| echo("elsewhere", item)))
            .part(Part::ToolCall(calls[1].clone()))
            .part(own);
        let results = Message::tool([
            ToolResult::new(&calls[0], "a cat"),
            ToolResult::failed(&calls[1], "no microphone"),
        ]);
        let question = Message::user("What is this?").image(Media::bytes("image/png", "PNG"));
        let request = ChatRequest::new(vec![question, answer, results.image(Media::url("https://x/y.png"))])
            .system("Be brief.")
            .tool(Tool::new("look", "Looks.", json!({"type": "object"})))
            .tool_choice(ToolChoice::Named("look".into()))
            .response_format(ResponseFormat::Schema { name: "s".into(), schema: json!({"type": "object"}) })
            .reasoning(ReasoningEffort::Off)
            .max_tokens(5)
            .temperature(0.5)
            .top_p(0.25);

        let expected = json!({
            "model": "gpt-5.5",
            "stream": true,
            "store": false,
            "include": ["reasoning.encrypted_content"],
            "instructions": "Be brief.",
            "input": [
                {"type": "message", "role": "user", "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,UE5H"},
                ]},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me."}]},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{\"at\":1}"},
                {"type": "function_call", "call_id": "c2", "name": "hear", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
                {"type": "function_call_output", "call_id": "c2", "output": "The tool failed: no microphone"},
                {"type": "message", "role": "user", "content": [
                    {"type": "input_image", "image_url": "https://x/y.png"},
                ]},
            ],
            "tools": [{"type": "function", "name": "look", "description": "Looks.",
                "parameters": {"type": "object"}, "strict": false}],
            "tool_choice": {"type": "function", "name": "look"},
            "text": {"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": true}},
            "reasoning": {"effort": "none"},
            "max_output_tokens": 5,
            "temperature": 0.5,
            "top_p": 0.25,
        });
        assert_eq!(chat_body(&"gpt-5.5".into(), &request, HOST).unwrap(), expected);
    }

    #[test]
    fn model_that_neither_thinks_nor_samples_is_asked_for_neither() {
        let model = ModelInfo::chat("m").cannot(Ability::Reasoning).cannot(Ability::Sampling);
        let request = ChatRequest::user("hi").reasoning(ReasoningEffort::High).temperature(0.5).top_p(0.5);

        let body = chat_body(&model, &request.stop("x").seed(1).top_k(1), HOST).unwrap();

        let input =
            json!([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]);
        assert_eq!(body, json!({"model": "m", "input": input, "stream": true, "store": false}));
    }

    #[test]
    fn media_that_cannot_be_sent_is_unsupported() {
        let cases = [
            Message::user("").audio(Media::bytes("audio/wav", "WAV")),
            Message::assistant("").image(Media::url("https://x/y.png")),
        ];
        for message in cases {
            let error = chat_body(&"m".into(), &ChatRequest::new(vec![message]), HOST).unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }
}
