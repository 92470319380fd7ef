use serde_json::{Value, json};

use super::{GeminiParts, chat_body, embed_body, embeddings};
use crate::wire::decoder::tests::{answer, assert_needs_its_end, decode};
use crate::wire::{Decoder, Framing};
use crate::{
    Ability, ChatRequest, Echo, EmbedRequest, ErrorKind, Event, FinishReason, Media, Message, ModelInfo,
    Part, ReasoningEffort, ResponseFormat, Role, Thinking, Tool, ToolCall, ToolChoice, ToolResult, Usage,
};

const HELLO: &str = "\
data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"hm\",\"thought\":true},{\"text\":\"Hél\"}]}}],\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":1}}\r\n\r\n\
data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"lo\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":3,\"cachedContentTokenCount\":1}}\r\n\r\n";

/// A thought, signed words, and two calls of which the first is signed and only the second has an id.
const AGENT: &str = "\
data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Two \",\"thought\":true}]}}]}\n\n\
data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"cities.\",\"thought\":true,\"thoughtSignature\":\"dA==\"},{\"text\":\"I look.\"},{\"text\":\"\",\"thoughtSignature\":\"dQ==\"}]}}]}\n\n\
data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"weather\",\"args\":{\"city\":\"Oslo\"}},\"thoughtSignature\":\"dg==\"},{\"functionCall\":{\"id\":\"x1\",\"name\":\"clock\"}}]},\"finishReason\":\"STOP\"}]}\n\n";

fn decoder() -> Decoder {
    Decoder::new(Framing::Sse, GeminiParts::default())
}

fn body(model: &str, request: &ChatRequest) -> Value {
    chat_body(&ModelInfo::chat(model), request).unwrap()
}

fn finishing(reason: &str) -> String {
    HELLO.replace("STOP", reason)
}

fn weather() -> Tool {
    Tool::new(
        "weather",
        "The weather.",
        json!({"type": "object", "properties": {"city": {"type": "string"}}}),
    )
}

#[test]
fn parts_become_thoughts_text_the_last_usage_and_end() {
    let begun = Usage { input: 4, output: 1, ..Usage::default() };
    let usage = Usage { cached_input: Some(1), output: 5, reasoning: Some(3), ..begun };

    let events = decode(decoder, HELLO).unwrap();

    let [first, second] = ["Hél", "lo"].map(|text| Event::Text(text.into()));
    let thought = Event::Thinking(Thinking { text: "hm".into(), echo: None });
    let end = Event::End(FinishReason::Stop);
    assert_eq!(events, [thought, first, Event::Usage(begun), second, Event::Usage(usage), end]);
}

#[test]
fn signatures_and_calls_are_read_and_go_back_where_they_were() {
    let answer = answer(decode(decoder, AGENT).unwrap());

    assert_eq!(answer.finish, FinishReason::ToolCalls);
    let calls: Vec<_> = answer.tool_calls().cloned().collect();
    let signed = ToolCall::new("call_0", "weather", r#"{"city":"Oslo"}"#);
    assert_eq!(calls[0], ToolCall { echo: Some(Echo::new("gemini", "dg==")), ..signed });
    assert_eq!(calls[1], ToolCall::new("x1", "clock", "{}"));

    let results = [ToolResult::new(&calls[0], "rain"), ToolResult::failed(&calls[1], "no clock")];
    let request = ChatRequest::user("Weather?")
        .message(answer.into_message())
        .message(Message::tool(results[..1].to_vec()))
        .message(Message::tool(results[1..].to_vec()));
    let body = body("gemini-3.5-flash", &request);
    assert_eq!(
        body["contents"][1],
        json!({"role": "model", "parts": [
            {"text": "Two cities.", "thought": true, "thoughtSignature": "dA=="},
            {"text": "I look."},
            {"text": "", "thoughtSignature": "dQ=="},
            {"functionCall": {"id": "call_0", "name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "dg=="},
            {"functionCall": {"id": "x1", "name": "clock", "args": {}}},
        ]})
    );
    assert_eq!(
        body["contents"][2],
        json!({"role": "user", "parts": [
            {"functionResponse": {"id": "call_0", "name": "weather", "response": {"output": "rain"}}},
            {"functionResponse": {"id": "x1", "name": "clock", "response": {"error": "no clock"}}},
        ]})
    );
}

#[test]
fn ids_are_not_made_up_twice_in_a_conversation() {
    let part = |id: &str| Part::ToolCall(ToolCall::new(id, "t", "{}"));
    let parts = vec![part("call_3"), part("call_abc"), part("call_1"), part("toolu_9")];
    let request = ChatRequest::new(vec![Message::new(Role::Assistant, parts)]);
    let decoder = || Decoder::new(Framing::Sse, GeminiParts::answering(&request));

    let answer = answer(decode(decoder, AGENT).unwrap());

    assert_eq!(answer.tool_calls().next().unwrap().id, "call_4");
}

#[test]
fn no_beginning_of_a_stream_passes_for_the_whole() {
    assert_needs_its_end(decoder, HELLO);
    assert_needs_its_end(decoder, AGENT);
}

#[test]
fn what_follows_the_finish_reason_still_counts() {
    let late = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\",\"thoughtSignature\":\"eA==\"}]}}],\"usageMetadata\":{\"promptTokenCount\":40,\"candidatesTokenCount\":2,\"toolUsePromptTokenCount\":5,\"totalTokenCount\":47}}\n\n";

    let whole = answer(decode(decoder, &format!("{HELLO}{late}")).unwrap());

    assert_eq!(whole.usage, Some(Usage { input: 45, output: 2, ..Usage::default() }));
    assert!(matches!(whole.parts.last(), Some(Part::Thinking(Thinking { echo: Some(_), .. }))));
    let beside = late.replace("47", "42");
    assert_eq!(answer(decode(decoder, &format!("{HELLO}{beside}")).unwrap()).usage.unwrap().input, 40);
    assert_eq!(decode(decoder, &format!("{HELLO}{}", &late[..40])), Err(ErrorKind::Truncated));
}

#[test]
fn every_finish_reason_has_its_meaning() {
    let reasons = [
        ("MAX_TOKENS", FinishReason::Length),
        ("SAFETY", FinishReason::ContentFilter),
        ("RECITATION", FinishReason::ContentFilter),
        ("BLOCKLIST", FinishReason::ContentFilter),
        ("PROHIBITED_CONTENT", FinishReason::ContentFilter),
        ("SPII", FinishReason::ContentFilter),
        ("LANGUAGE", FinishReason::Other),
        ("OTHER", FinishReason::Other),
        ("TOMORROW", FinishReason::Other),
    ];
    for (name, reason) in reasons {
        let events = decode(decoder, &finishing(name)).unwrap();
        assert_eq!(events.last(), Some(&Event::End(reason)), "{name}");
    }
    let errors = [
        ("MALFORMED_FUNCTION_CALL", ErrorKind::Malformed),
        ("UNEXPECTED_TOOL_CALL", ErrorKind::Malformed),
        ("MISSING_THOUGHT_SIGNATURE", ErrorKind::BadRequest),
        ("FINISH_REASON_UNSPECIFIED", ErrorKind::Truncated),
    ];
    for (name, kind) in errors {
        assert_eq!(decode(decoder, &finishing(name)), Err(kind), "{name}");
    }
}

#[test]
fn blocked_prompt_is_an_error_and_not_an_empty_answer() {
    let body = "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n";

    assert_eq!(decode(decoder, body), Err(ErrorKind::ContentPolicy));
}

#[test]
fn error_that_breaks_into_the_stream_as_plain_json_has_its_kind() {
    let error =
        json!({"error": {"code": 429, "message": "Resource: exhausted", "status": "RESOURCE_EXHAUSTED"}});
    for error in [error.clone(), json!([error])] {
        let error = serde_json::to_string_pretty(&error).unwrap();
        let body = format!("{}{error}", HELLO.split_inclusive("\r\n\r\n").next().unwrap());

        assert_eq!(decode(decoder, &body), Err(ErrorKind::RateLimited { retry_after: None }), "{error}");
    }
}

#[test]
fn call_that_is_none_is_malformed() {
    for wrong in
        [AGENT.replace("\"name\":\"clock\"", "\"name\":\"\""), AGENT.replace("{\"city\":\"Oslo\"}", "[]")]
    {
        assert_eq!(decode(decoder, &wrong), Err(ErrorKind::Malformed));
    }
}

#[test]
fn body_has_every_part_of_a_conversation() {
    let call = ToolCall::new("toolu_1", "weather", r#"{"city":"Oslo"}"#);
    let foreign =
        Thinking { text: "hm".into(), echo: Some(Echo::new("anthropic", json!({"signature": "s"}))) };
    let request = ChatRequest::new(vec![
        Message::user("What is this?").image(Media::bytes("image/png", vec![1, 2, 3])),
        Message::user("And this?").audio(Media::url("https://x/y.wav")).part(Part::Text(String::new())),
        Message::new(Role::Assistant, vec![Part::Thinking(foreign), Part::ToolCall(call.clone())]),
        Message::tool([ToolResult::new(&call, "rain")]),
        Message::user("Hurry."),
    ])
    .system("Be brief.")
    .tool(weather())
    .tool_choice(ToolChoice::Named("weather".into()))
    .response_format(ResponseFormat::Schema { name: "n".into(), schema: json!({"type": "object"}) })
    .reasoning(ReasoningEffort::Low)
    .max_tokens(9)
    .temperature(0.5)
    .top_p(0.25)
    .top_k(3)
    .frequency_penalty(0.5)
    .presence_penalty(-0.5)
    .seed(u64::MAX)
    .stop("END");

    let expected = json!({
        "contents": [
            {"role": "user", "parts": [
                {"text": "What is this?"},
                {"inlineData": {"mimeType": "image/png", "data": "AQID"}},
                {"text": "And this?"},
                {"fileData": {"fileUri": "https://x/y.wav"}},
            ]},
            {"role": "model", "parts": [
                {"functionCall": {"id": "toolu_1", "name": "weather", "args": {"city": "Oslo"}},
                    "thoughtSignature": "skip_thought_signature_validator"},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "toolu_1", "name": "weather", "response": {"output": "rain"}}},
            ]},
            {"role": "user", "parts": [{"text": "Hurry."}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "weather", "description": "The weather.",
            "parametersJsonSchema": {"type": "object", "properties": {"city": {"type": "string"}}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
        "generationConfig": {
            "maxOutputTokens": 9,
            "temperature": 0.5,
            "topP": 0.25,
            "topK": 3,
            "frequencyPenalty": 0.5,
            "presencePenalty": -0.5,
            "seed": i32::MAX,
            "stopSequences": ["END"],
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
            "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": true},
        },
    });
    assert_eq!(body("gemini-3-pro-preview", &request), expected);
    let older = body("gemini-2.5-pro", &request);
    assert!(older["contents"][1]["parts"][0].get("thoughtSignature").is_none());
}

#[test]
fn body_has_only_what_was_asked_for() {
    let body = body("gemini-2.5-pro", &ChatRequest::user("hi").tool_choice(ToolChoice::Required));

    assert_eq!(
        body,
        json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {}})
    );
}

#[test]
fn choices_of_tools_become_modes() {
    let mode = |tool, choice| {
        let request = ChatRequest::user("hi").tool(tool).tool_choice(choice);
        body("gemini-2.5-pro", &request)["toolConfig"]["functionCallingConfig"]["mode"].clone()
    };

    assert_eq!(mode(weather(), ToolChoice::Auto), Value::Null);
    assert_eq!(mode(weather().strict(), ToolChoice::Auto), "VALIDATED");
    assert_eq!(mode(weather(), ToolChoice::None), "NONE");
    assert_eq!(mode(weather().strict(), ToolChoice::Required), "ANY");
}

#[test]
fn sampling_options_are_kept_from_models_that_take_none() {
    let request = ChatRequest::user("hi")
        .temperature(0.5)
        .top_k(1)
        .presence_penalty(0.5)
        .response_format(ResponseFormat::Json);
    let model = ModelInfo::chat("gemini-3.5-flash").cannot(Ability::Sampling);

    let body = chat_body(&model, &request).unwrap();

    assert_eq!(body["generationConfig"], json!({"responseMimeType": "application/json"}));
}

#[test]
fn embeddings_are_asked_for_and_read() {
    let request = EmbedRequest::new(["a", "b"]).dimensions(2);

    let body = embed_body("e", &request, &request.inputs[1..]);

    let one = json!({"model": "models/e", "content": {"parts": [{"text": "b"}]}, "outputDimensionality": 2});
    assert_eq!(body, json!({"requests": [one]}));
    let found = embeddings(&json!({"embeddings": [{"values": [1.0, 2.0]}]})).unwrap();
    assert_eq!((found.vectors, found.input_tokens), (vec![vec![1.0, 2.0]], None));
    assert_eq!(embeddings(&json!({"embeddings": [{}]})), None);
}
