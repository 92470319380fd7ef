//! OpenAI's two protocols against servers on loopback.

use aic_router::testing::{FakeProvider, provider_contract};
use aic_router::{
    ChatRequest, EmbedRequest, Error, ErrorKind, Event, FinishReason, Media, Message, ModelInfo, OpenAi,
    OpenAiApi, Part, Provider, Purpose, Router, Tool, ToolResult,
};
use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const CANARY: &str = "canary-0123456789";

/// An answer that thinks, speaks and calls a tool, in each protocol.
const CHAT_CALL: &str = "\
data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"reasoning_content\":\"Hm.\"}}]}\n\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Let me look.\"}}]}\n\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"look\",\"arguments\":\"\"}}]}}]}\n\n\
data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"at\\\":1}\"}}]}}]}\n\n\
data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n\
data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n\
data: [DONE]\n\n";
const RESPONSES_CALL: &str = "\
data: {\"type\":\"response.reasoning_summary_text.delta\",\"output_index\":0,\"delta\":\"Hm.\"}\n\n\
data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[],\"encrypted_content\":\"sealed\"}}\n\n\
data: {\"type\":\"response.output_text.delta\",\"output_index\":1,\"delta\":\"Let me look.\"}\n\n\
data: {\"type\":\"response.output_item.added\",\"output_index\":2,\"item\":{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"look\",\"arguments\":\"\"}}\n\n\
data: {\"type\":\"response.function_call_arguments.delta\",\"output_index\":2,\"delta\":\"{\\\"at\\\":1}\"}\n\n\
data: {\"type\":\"response.output_item.done\",\"output_index\":2,\"item\":{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"look\",\"arguments\":\"{\\\"at\\\":1}\"}}\n\n\
data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":2}}}\n\n";

fn sse(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.to_owned(), "text/event-stream")
}

fn document(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

/// A server that answers at one path.
async fn serving(at: &str, response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path(at)).respond_with(response).mount(&server).await;
    server
}

fn provider(server: &MockServer, api: OpenAiApi) -> OpenAi {
    OpenAi::builder(format!("{}/v1", server.uri())).name("test").api(api).model("m").build().unwrap()
}

fn router(provider: impl Provider) -> Router {
    Router::builder().provider(provider).retries(0).build().unwrap()
}

async fn last_body(server: &MockServer) -> Value {
    server.received_requests().await.unwrap().last().unwrap().body_json().unwrap()
}

/// Asks, answers the tool call in the answer, and asks again; the body of the second request.
async fn second_body(server: &MockServer, api: OpenAiApi) -> Value {
    let router = router(provider(server, api));
    let request = ChatRequest::user("What is this?").tool(Tool::new("look", "Looks.", json!({})));
    let answer = router.chat(request.clone()).await.unwrap().collect().await.unwrap();
    assert_eq!((&*answer.text(), answer.finish), ("Let me look.", FinishReason::ToolCalls));
    assert_eq!(answer.usage.unwrap().input, 9);
    assert!(matches!(&answer.parts[0], Part::Thinking(thought) if thought.text == "Hm."));

    let result = ToolResult::new(answer.tool_calls().next().unwrap(), "a cat");
    let request = request.message(answer.into_message()).message(Message::tool([result]));
    router.chat(request).await.unwrap().collect().await.unwrap();
    last_body(server).await
}

#[tokio::test]
async fn both_protocols_keep_the_contract() {
    let cases = [
        (OpenAiApi::ChatCompletions, "/v1/chat/completions", CHAT_CALL, "max_tokens"),
        (OpenAiApi::Responses, "/v1/responses", RESPONSES_CALL, "max_output_tokens"),
    ];
    for (api, at, answer, limit_field) in cases {
        let server = serving(at, sse(answer)).await;

        provider_contract(&provider(&server, api)).await;

        let body = last_body(&server).await;
        assert_eq!((&body["model"], &body["stream"]), (&json!("m"), &json!(true)));
        assert_eq!(body[limit_field], 32);
    }
}

#[tokio::test]
async fn chat_completions_go_on_from_a_tool_call() {
    let server = serving("/v1/chat/completions", sse(CHAT_CALL)).await;

    let body = second_body(&server, OpenAiApi::ChatCompletions).await;

    let call =
        json!({"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}});
    let expected = json!([
        {"role": "user", "content": "What is this?"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
    ]);
    assert_eq!(body["messages"], expected);
}

#[tokio::test]
async fn responses_go_on_from_a_tool_call_with_what_was_thought() {
    let server = serving("/v1/responses", sse(RESPONSES_CALL)).await;

    let body = second_body(&server, OpenAiApi::Responses).await;

    let expected = json!([
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is this?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{\"at\":1}"},
        {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
    ]);
    assert_eq!(body["input"], expected);
    assert_eq!((&body["store"], &body["include"]), (&json!(false), &json!(["reasoning.encrypted_content"])));
}

#[tokio::test]
async fn pieces_of_a_call_come_before_the_call() {
    let cases = [
        (OpenAiApi::ChatCompletions, "/v1/chat/completions", CHAT_CALL),
        (OpenAiApi::Responses, "/v1/responses", RESPONSES_CALL),
    ];
    for (api, at, answer) in cases {
        let server = serving(at, sse(answer)).await;
        let mut stream = router(provider(&server, api)).chat(ChatRequest::user("hi")).await.unwrap();

        let mut pieces = String::new();
        let call = loop {
            match stream.next().await.unwrap().unwrap() {
                Event::ToolCallDelta(piece) => pieces.push_str(&piece.arguments),
                Event::ToolCall(call) => break call,
                _ => {}
            }
        };

        assert_eq!((call.arguments.as_str(), call.name.as_str()), (pieces.as_str(), "look"));
    }
}

#[tokio::test]
async fn failed_response_falls_back_to_the_next_provider() {
    let failed =
        "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\"}}}\n\n";
    let server = serving("/v1/responses", sse(failed)).await;
    let backup = FakeProvider::new("backup").model("m").reply("from backup");
    let builder = Router::builder().provider(provider(&server, OpenAiApi::Responses)).provider(backup);
    let router = builder.retries(0).chain(["test", "backup"]).build().unwrap();

    let answer = router.chat(ChatRequest::user("hi")).await.unwrap().collect().await.unwrap();

    assert_eq!(&*answer.text(), "from backup");
}

#[tokio::test]
async fn sound_by_its_address_is_refused_before_anything_is_sent() {
    let server = serving("/v1/chat/completions", sse(CHAT_CALL)).await;
    let request = ChatRequest::new(vec![Message::user("").audio(Media::url("https://x/y.wav"))]);

    for api in [OpenAiApi::ChatCompletions, OpenAiApi::Responses] {
        let Err(error) = provider(&server, api).chat("m", &request).await else {
            panic!("a sound by its address was sent");
        };
        assert_eq!(*error.kind(), ErrorKind::Unsupported);
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn connect_takes_the_models_a_server_lists_and_keeps_the_contract() {
    let list = json!({"object": "list", "data": [
        {"id": "qwen3-8b", "meta": {"n_ctx": 16384, "n_ctx_train": 40960}},
        {"id": "nomic-embed-text"}]});
    let server = serving("/v1/chat/completions", sse(CHAT_CALL)).await;
    Mock::given(method("GET"))
        .and(path("/v1/models"))
        .and(header("x-tenant", CANARY))
        .respond_with(document(&list))
        .mount(&server)
        .await;
    let builder = || OpenAi::builder(format!("{}/v1", server.uri())).local().header("X-Tenant", CANARY);

    let all = builder().connect().await.unwrap();
    let one = builder().model("qwen3-8b").connect().await.unwrap();

    provider_contract(&all).await;
    let purposes: Vec<_> = all.info().models.iter().map(|model| model.purpose).collect();
    assert_eq!(purposes, [Purpose::Chat, Purpose::Embedding]);
    assert_eq!((one.info().models.len(), one.info().models[0].context_tokens), (1, Some(16384)));
}

#[tokio::test]
async fn connect_says_what_is_wrong_with_the_server() {
    let loading =
        ResponseTemplate::new(503).set_body_json(json!({"error": {"code": 503, "message": "loading"}}));
    let cases = [
        (loading, ErrorKind::Overloaded { retry_after: None }),
        (document(&json!({"hello": "world"})), ErrorKind::Malformed),
    ];
    for (response, kind) in cases {
        let server = serving("/models", response).await;
        let error = OpenAi::builder(server.uri()).name("vllm").connect().await.unwrap_err();
        assert!(matches!(&error, Error::Setup { provider, .. } if provider == "vllm"), "{error:?}");
        assert_eq!(error.kind(), Some(&kind));
    }
    let gone = OpenAi::builder("http://127.0.0.1:1").connect().await.unwrap_err();
    assert_eq!(gone.kind(), Some(&ErrorKind::Unreachable));
    let empty = serving("/models", document(&json!({"data": []}))).await;
    assert!(matches!(OpenAi::builder(empty.uri()).connect().await, Err(Error::Config(_))));
}

#[tokio::test]
async fn key_in_a_header_of_its_own_shows_up_in_no_error() {
    let echo = json!({"error": {"message": format!("wrong key {CANARY}")}});
    let server = serving("/chat/completions", ResponseTemplate::new(401).set_body_json(echo)).await;
    let provider = OpenAi::builder(server.uri()).header("api-key", CANARY).model("m").build().unwrap();
    let shown = format!("{provider:?}");

    let error = router(provider).chat(ChatRequest::user("hi")).await.unwrap_err();

    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].headers["api-key"], CANARY);
    let shown = format!("{shown} {error} {error:?}");
    assert!(shown.contains("wrong key ***") && !shown.contains(CANARY), "{shown}");
}

#[tokio::test]
async fn embeddings_are_asked_for_in_base64_and_counted() {
    let vectors = json!({"usage": {"prompt_tokens": 3},
        "data": [{"index": 1, "embedding": [0.5]}, {"index": 0, "embedding": "AADAPw=="}]});
    let server = MockServer::start().await;
    Mock::given(path("/embeddings"))
        .and(body_partial_json(json!({"encoding_format": "base64"})))
        .respond_with(document(&vectors))
        .mount(&server)
        .await;
    let provider = OpenAi::builder(server.uri()).model(ModelInfo::embedding("e")).build().unwrap();

    let found = provider.embed("e", &EmbedRequest::new(["a", "b"])).await.unwrap();
    let short = provider.embed("e", &EmbedRequest::new(["a", "b", "c"])).await.unwrap_err();

    assert_eq!((found.vectors, found.input_tokens), (vec![vec![1.5], vec![0.5]], Some(3)));
    assert_eq!(*short.kind(), ErrorKind::Malformed);
}
