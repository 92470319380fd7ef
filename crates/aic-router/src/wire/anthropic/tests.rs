use serde_json::{Value, json};

use super::{AnthropicEvents, chat_body};
use crate::wire::decoder::tests::{answer, assert_needs_its_end, decode};
use crate::wire::{Decoder, Framing};
use crate::{
    Ability, ChatRequest, Echo, ErrorKind, Event, FinishReason, Media, Message, ModelInfo, Part,
    ReasoningEffort, ResponseFormat, Role, Thinking, Tool, ToolCall, ToolCallDelta, ToolChoice, ToolResult,
    Usage,
};

const HELLO: &str = "\
event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":3,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\n\
event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
event: ping\ndata: {\"type\": \"ping\"}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Héllo\"}}\n\n\
event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"citations_delta\",\"citation\":{\"cited_text\":\"x\"}}}\n\n\
event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7,\"output_tokens_details\":{\"thinking_tokens\":4}}}\n\n\
event: tomorrow\ndata: {\"type\":\"tomorrow\",\"text\":\"?\"}\n\n\
event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// Signed thoughts, hidden ones, words and two calls.
const AGENT: &str = "\
data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n\
data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Two \"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"cities.\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"c2ln\"}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
data: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"redacted_thinking\",\"data\":\"aGlk\"}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":1}\n\n\
data: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"text_delta\",\"text\":\"I look.\"}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":2}\n\n\
data: {\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"weather\",\"input\":{}}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"city\\\":\"}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\\\"Oslo\\\"}\"}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":3}\n\n\
data: {\"type\":\"content_block_start\",\"index\":4,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_2\",\"name\":\"clock\",\"input\":{}}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":4}\n\n\
data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":30}}\n\n\
data: {\"type\":\"message_stop\"}\n\n";

fn decoder() -> Decoder {
    Decoder::new(Framing::Sse, AnthropicEvents::default())
}

fn claude(name: &str) -> ModelInfo {
    ModelInfo::chat(name)
}

fn body(model: &str, request: &ChatRequest) -> Value {
    chat_body(&claude(model), request).unwrap()
}

fn weather() -> Tool {
    Tool::new(
        "weather",
        "The weather.",
        json!({"type": "object", "properties": {"city": {"type": "string"}}}),
    )
}

fn thinking(text: &str, echo: Option<Echo>) -> Part {
    Part::Thinking(Thinking { text: text.into(), echo })
}

#[test]
fn events_become_text_usage_and_end() {
    let begun =
        Usage { input: 10, cached_input: Some(3), cache_write_input: Some(2), output: 1, ..Usage::default() };
    let usage = Usage { output: 7, reasoning: Some(4), ..begun };

    let events = decode(decoder, HELLO).unwrap();

    let (text, end) = (Event::Text("Héllo".into()), Event::End(FinishReason::Stop));
    assert_eq!(events, [Event::Usage(begun), text, Event::Usage(usage), end]);
}

#[test]
fn thoughts_and_calls_are_read_and_go_back_unchanged() {
    let events = decode(decoder, AGENT).unwrap();

    let piece = |arguments: &str| {
        Event::ToolCallDelta(ToolCallDelta {
            id: "toolu_1".into(),
            name: "weather".into(),
            arguments: arguments.into(),
        })
    };
    assert!(events.contains(&piece("{\"city\":")) && events.contains(&piece("\"Oslo\"}")));
    let answer = answer(events);
    assert_eq!(answer.finish, FinishReason::ToolCalls);
    let calls: Vec<_> = answer.tool_calls().cloned().collect();
    assert_eq!(calls[0], ToolCall::new("toolu_1", "weather", r#"{"city":"Oslo"}"#));
    assert_eq!(calls[1], ToolCall::new("toolu_2", "clock", "{}"));

    let results = [ToolResult::new(&calls[0], "rain"), ToolResult::failed(&calls[1], "no clock")];
    let request =
        ChatRequest::user("Weather?").message(answer.into_message()).message(Message::tool(results));
    let body = body("claude-sonnet-4-5", &request);
    assert_eq!(
        body["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": "Two cities.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "aGlk"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
            {"type": "tool_use", "id": "toolu_2", "name": "clock", "input": {}},
        ])
    );
    assert_eq!(
        body["messages"][2],
        json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no clock", "is_error": true},
        ]})
    );
}

#[test]
fn no_beginning_of_a_stream_passes_for_the_whole() {
    assert_needs_its_end(decoder, HELLO);
    assert_needs_its_end(decoder, AGENT);
}

#[test]
fn error_within_a_stream_has_its_kind() {
    let cases = [
        ("overloaded_error", ErrorKind::Overloaded { retry_after: None }),
        ("rate_limit_error", ErrorKind::RateLimited { retry_after: None }),
        ("api_error", ErrorKind::Transient),
        ("authentication_error", ErrorKind::Auth),
    ];
    for (name, kind) in cases {
        let error = json!({"type": "error", "error": {"type": name, "message": "no"}});
        assert_eq!(decode(decoder, &format!("event: error\ndata: {error}\n\n")), Err(kind), "{name}");
    }
}

#[test]
fn every_stop_reason_has_its_meaning() {
    let cases = [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("tool_use", FinishReason::ToolCalls),
        ("refusal", FinishReason::ContentFilter),
        ("pause_turn", FinishReason::Other),
    ];
    for (name, reason) in cases {
        let events = decode(decoder, &HELLO.replace("end_turn", name)).unwrap();
        assert_eq!(events.last(), Some(&Event::End(reason)), "{name}");
    }
}

#[test]
fn call_with_broken_arguments_is_malformed_unless_the_answer_was_too_long() {
    let broken = AGENT.replace("\\\"Oslo\\\"}", "\\\"Osl");

    assert_eq!(decode(decoder, &broken), Err(ErrorKind::Malformed));

    let cut =
        answer(decode(decoder, &broken.replace("tool_use\"},\"usage", "max_tokens\"},\"usage")).unwrap());
    assert_eq!((cut.finish, cut.tool_calls().count()), (FinishReason::Length, 1));
}

#[test]
fn input_that_comes_with_the_start_of_a_call_is_taken() {
    let body = "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"b\",\"input\":{\"c\":1}}}\n\n\
        data: {\"type\":\"message_stop\"}\n\n";

    let events = decode(decoder, body).unwrap();

    assert_eq!(events[0], Event::ToolCall(ToolCall::new("a", "b", r#"{"c":1}"#)));
    assert_eq!(decode(decoder, &body.replace("\"id\":\"a\",", "")), Err(ErrorKind::Malformed));
}

#[test]
fn body_has_every_part_of_a_conversation() {
    let call = ToolCall::new("call:1", "weather", "");
    let foreign = Some(Echo::new("gemini", "x"));
    let request = ChatRequest::new(vec![
        Message::user("What is this? ").image(Media::bytes("image/png", vec![1, 2, 3])),
        Message::user(" And this?").image(Media::url("https://x/y.png")),
        Message::new(Role::Assistant, vec![thinking("hm", foreign), Part::ToolCall(call.clone())]),
        Message::user("Hurry.").part(Part::Text(String::new())),
        Message::tool([ToolResult::new(&call, "rain")]),
        Message::assistant(" "),
    ])
    .system("Be brief.")
    .tool(weather().strict())
    .tool_choice(ToolChoice::Named("weather".into()))
    .temperature(2.0)
    .top_p(0.5)
    .top_k(3)
    .seed(7)
    .stop("END");

    let expected = json!({
        "model": "claude-haiku-4-5",
        "max_tokens": 4096,
        "stream": true,
        "system": "Be brief.",
        "temperature": 1.0,
        "top_k": 3,
        "stop_sequences": ["END"],
        "tools": [{"name": "weather", "description": "The weather.", "strict": true, "input_schema":
            {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": false}}],
        "tool_choice": {"type": "tool", "name": "weather"},
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "What is this? "},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AQID"}},
                {"type": "text", "text": " And this?"},
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "rain"},
                {"type": "text", "text": "Hurry."},
            ]},
        ],
    });
    assert_eq!(body("claude-haiku-4-5", &request), expected);
}

#[test]
fn what_cannot_be_sent_is_refused_before_sending() {
    let sound = ChatRequest::new(vec![Message::user("?").audio(Media::url("https://x/y.wav"))]);
    let call = Part::ToolCall(ToolCall::new("1", "t", "[1]"));
    let broken = ChatRequest::new(vec![Message::new(Role::Assistant, vec![call])]);

    let kind = |request: &ChatRequest| chat_body(&claude("m"), request).unwrap_err().kind().clone();
    assert_eq!((kind(&sound), kind(&broken)), (ErrorKind::Unsupported, ErrorKind::BadRequest));
}

#[test]
fn answer_is_bounded_by_the_request_then_the_model_then_a_default() {
    let bound =
        |model: &ModelInfo, request: &ChatRequest| chat_body(model, request).unwrap()["max_tokens"].clone();
    let model = claude("m").output_tokens_max(64_000);
    let open = ChatRequest::user("hi");
    let asked = |tokens| ChatRequest::user("hi").max_tokens(tokens);

    assert_eq!(bound(&claude("m"), &open), 4096);
    assert_eq!((bound(&model, &open), bound(&model, &asked(9))), (64_000.into(), 9.into()));
    assert_eq!(bound(&model, &asked(100_000)), 64_000);
}

#[test]
fn sampling_options_go_only_to_models_that_take_them() {
    let request = ChatRequest::user("hi").top_p(0.5).top_k(3);
    let sent = |model: &ModelInfo, request: &ChatRequest| {
        let body = chat_body(model, request).unwrap();
        ["temperature", "top_p", "top_k"].map(|name| body.get(name).is_some())
    };

    assert_eq!(sent(&claude("claude-haiku-4-5"), &request), [false, true, true]);
    assert_eq!(sent(&claude("claude-haiku-4-5").cannot(Ability::Sampling), &request), [false; 3]);
    assert_eq!(sent(&claude("claude-opus-4-8"), &request.clone().temperature(0.0)), [false; 3]);
    assert_eq!(sent(&claude("claude-opus-4-8").can(Ability::Sampling), &request), [false, true, true]);
    let thinks = request.reasoning(ReasoningEffort::Low).temperature(0.0);
    assert_eq!(sent(&claude("claude-opus-4-6"), &thinks), [false; 3]);
    assert_eq!(sent(&claude("claude-opus-4-6"), &thinks.top_p(0.95)), [false, true, false]);
}

#[test]
fn effort_becomes_what_the_model_understands() {
    use ReasoningEffort::{High, Low, Off};
    let settings = |model: &str, effort, tokens| {
        let request = ChatRequest::user("hi").reasoning(effort).max_tokens(tokens);
        let body = body(model, &request);
        (body["thinking"].clone(), body["output_config"]["effort"].clone())
    };
    let budget = |tokens: u32| (json!({"type": "enabled", "budget_tokens": tokens}), Value::Null);
    let adaptive = |effort: &str| (json!({"type": "adaptive", "display": "summarized"}), json!(effort));
    let untold = (Value::Null, Value::Null);

    assert_eq!(settings("claude-haiku-4-5", High, 64_000), budget(24_576));
    assert_eq!(settings("claude-haiku-4-5", High, 4096), budget(2048));
    assert_eq!(settings("claude-haiku-4-5", High, 2047), untold);
    assert_eq!(settings("claude-haiku-4-5", Off, 4096), untold);
    assert_eq!(settings("claude-3-5-haiku-20241022", High, 8192), untold);
    assert_eq!(settings("claude-opus-4-8", Low, 100), adaptive("low"));
    assert_eq!(settings("claude-sonnet-5", Off, 100), (json!({"type": "disabled"}), Value::Null));
    assert_eq!(settings("claude-mythos-5", Off, 100), adaptive("low"));
}

#[test]
fn budget_gives_way_to_a_forced_tool_and_to_anothers_turn() {
    let call = ToolCall::new("1", "weather", "{}");
    let turn = |echo| {
        let parts = vec![thinking("hm", Some(echo)), Part::ToolCall(call.clone())];
        ChatRequest::user("?")
            .message(Message::new(Role::Assistant, parts))
            .message(Message::tool([ToolResult::new(&call, "rain")]))
            .tool(weather())
            .reasoning(ReasoningEffort::Low)
    };
    let own = turn(Echo::new("anthropic", json!({"type": "thinking", "signature": "s"})));
    let thinks = |model, request: &ChatRequest| body(model, request).get("thinking").is_some();

    assert!(thinks("claude-haiku-4-5", &own));
    assert!(!thinks("claude-haiku-4-5", &own.clone().tool_choice(ToolChoice::Required)));
    let foreign = turn(Echo::new("gemini", "s"));
    assert!(!thinks("claude-haiku-4-5", &foreign));
    assert!(thinks("claude-opus-4-8", &foreign.tool_choice(ToolChoice::Required)));
}

#[test]
fn schema_is_structured_output_and_any_json_an_instruction() {
    let schema = ResponseFormat::Schema { name: "n".into(), schema: json!({"type": "object"}) };
    let request = ChatRequest::user("hi").reasoning(ReasoningEffort::High);

    let structured = body("claude-opus-4-8", &request.clone().response_format(schema));
    let json = body("claude-opus-4-8", &request.system("Be brief.").response_format(ResponseFormat::Json));

    let format = json!({"type": "json_schema", "schema": {"type": "object", "additionalProperties": false}});
    assert_eq!(structured["output_config"], json!({"effort": "high", "format": format}));
    assert!(structured.get("system").is_none());
    let system = json["system"].as_str().unwrap();
    assert!(system.starts_with("Be brief.\n\nAnswer with one JSON value"), "{system}");
}

#[test]
fn cache_marks_stand_after_tools_system_and_what_came_before_the_newest_turn() {
    let thought = thinking("hm", Some(Echo::new("anthropic", json!({"type": "thinking", "signature": "s"}))));
    let reply = Message::new(Role::Assistant, vec![Part::Text("ho".into()), thought]);
    let request = ChatRequest::user("hi").message(reply).message(Message::user("and?"));
    let request = request.system("Be brief.").tool(weather()).tool(weather()).prompt_cache(true);

    let marked = body("claude-opus-4-8", &request);

    let mark = json!({"type": "ephemeral"});
    assert_eq!(marked["system"], json!([{"type": "text", "text": "Be brief.", "cache_control": mark}]));
    assert_eq!(marked["tools"][1]["cache_control"], mark);
    assert_eq!(marked["messages"][1]["content"][0]["cache_control"], mark);
    assert_eq!(marked.to_string().matches("cache_control").count(), 3);
    let first = body("claude-opus-4-8", &ChatRequest::user("hi").prompt_cache(true));
    let off = body("claude-opus-4-8", &request.prompt_cache(false));
    assert!(!first.to_string().contains("cache_control") && !off.to_string().contains("cache_control"));
}
