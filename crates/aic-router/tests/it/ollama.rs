//! Ollama's own API, against servers on loopback.

use std::error::Error as _;
use std::time::Duration;

use aic_router::testing::provider_contract;
use aic_router::{
    Ability, Answer, ChatRequest, EmbedRequest, Error, ErrorKind, Event, FinishReason, Message, Ollama,
    OllamaOptions, Provider, PullProgress, Purpose, Router, Tool, ToolResult, Warmth,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use wiremock::matchers::{any, body_partial_json, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::server::{Server, Then};

const CANARY: &str = "sk-canary-0123456789";

const HELLO: &str = "{\"message\":{\"content\":\"Hello\"},\"done\":false}\n\
    {\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":4,\"eval_count\":1}\n";
const CALL: &str = "{\"message\":{\"content\":\"\",\"thinking\":\"rain?\"},\"done\":false}\n\
    {\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}}}]},\"done\":false}\n\
    {\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n";

fn lines(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.to_owned(), "application/x-ndjson")
}

fn document(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

async fn answer(server: &MockServer, endpoint: &str, response: ResponseTemplate) {
    Mock::given(path(endpoint)).respond_with(response).mount(server).await;
}

/// A server with the models `names`, which describes none of them.
async fn with_models(names: &[&str]) -> MockServer {
    let server = MockServer::start().await;
    let models: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    answer(&server, "/api/tags", document(json!({"models": models}))).await;
    server
}

async fn connect(server: &MockServer) -> Ollama {
    Ollama::connect(&server.uri()).await.unwrap()
}

/// The bodies sent to `endpoint` so far.
async fn sent(server: &MockServer, endpoint: &str) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap();
    let wanted = requests.iter().filter(|request| request.url.path() == endpoint);
    wanted.map(|request| request.body_json().unwrap()).collect()
}

async fn ask(ollama: Ollama, request: ChatRequest) -> aic_router::Result<Answer> {
    Router::builder().provider(ollama).retries(0).build()?.chat(request).await?.collect().await
}

#[tokio::test]
async fn ollama_lists_its_models_keeps_the_contract_and_embeds() {
    let server = with_models(&["llama:8b", "nomic-embed-text"]).await;
    let known = Mock::given(path("/api/chat")).and(body_partial_json(json!({"model": "llama:8b"})));
    known.respond_with(lines(HELLO)).mount(&server).await;
    answer(&server, "/api/embed", document(json!({"embeddings": [[0.5, 1.0]], "prompt_eval_count": 2})))
        .await;

    let ollama = connect(&server).await;

    provider_contract(&ollama).await;
    let router = Router::builder().provider(ollama).build().unwrap();
    let found = router.embed(EmbedRequest::new(["a text"]).dimensions(2)).await.unwrap();
    assert_eq!((found.vectors, found.input_tokens), (vec![vec![0.5, 1.0]], Some(2)));
    let body = &sent(&server, "/api/embed").await[0];
    assert_eq!((&body["truncate"], &body["dimensions"]), (&json!(false), &json!(2)));
}

#[tokio::test]
async fn ollama_that_is_not_there_is_told_with_its_address() {
    let error = Ollama::connect("http://127.0.0.1:1").await.unwrap_err();

    assert_eq!(error.kind(), Some(&ErrorKind::Unreachable));
    assert!(error.to_string().contains("check that the server runs"), "{error}");
    assert!(error.source().unwrap().to_string().contains("127.0.0.1:1"), "{error:?}");
}

#[tokio::test]
async fn somebody_else_at_the_address_is_not_ollama() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(document(json!({"data": []}))).mount(&server).await;

    let error = Ollama::builder(server.uri()).name("box").connect().await.unwrap_err();

    assert_eq!(error.kind(), Some(&ErrorKind::Malformed));
    assert!(error.to_string().contains("`box`"), "{error}");
}

#[tokio::test]
async fn models_are_described_and_a_failing_description_leaves_facts_unknown() {
    let server = with_models(&["seeing", "silent", "vectors", "painter"]).await;
    let show = |model: &str, response| {
        Mock::given(path("/api/show")).and(body_partial_json(json!({"model": model}))).respond_with(response)
    };
    let seeing = json!({"capabilities": ["completion", "vision"],
        "model_info": {"general.architecture": "gemma3", "gemma3.context_length": 131_072}});
    show("seeing", document(seeing)).mount(&server).await;
    show("silent", ResponseTemplate::new(500)).mount(&server).await;
    show("vectors", document(json!({"capabilities": ["embedding"]}))).mount(&server).await;
    show("painter", document(json!({"capabilities": ["image"]}))).mount(&server).await;

    let ollama = connect(&server).await;

    let models = &ollama.info().models;
    let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["seeing", "silent", "vectors"]);
    let contexts: Vec<_> = models.iter().map(|model| model.context_tokens).collect();
    assert_eq!(contexts, [Some(131_072), None, None]);
    let images: Vec<_> = models.iter().map(|model| model.ability(Ability::Images)).collect();
    assert_eq!(images, [Some(true), None, Some(false)]);
    assert_eq!(models[2].purpose, Purpose::Embedding);
}

#[tokio::test]
async fn context_is_named_within_its_bounds_and_what_does_not_fit_is_not_sent() {
    let server = with_models(&["m"]).await;
    answer(&server, "/api/chat", lines(HELLO)).await;
    let options = OllamaOptions { context_tokens_max: Some(10_000), ..OllamaOptions::default() };
    let builder = Ollama::builder(server.uri()).options(options).keep_alive(Duration::MAX);
    let ollama = builder.connect().await.unwrap();

    for bytes in [2, 12_000, 30_000] {
        let stream = ollama.chat("m", &ChatRequest::user("x".repeat(bytes))).await.unwrap();
        assert!(stream.collect::<Vec<_>>().await.iter().all(Result::is_ok));
    }
    let error = ollama.chat("m", &ChatRequest::user("x".repeat(50_000))).await.err().unwrap();

    let bodies = sent(&server, "/api/chat").await;
    let contexts: Vec<_> = bodies.iter().map(|body| body["options"]["num_ctx"].as_u64().unwrap()).collect();
    assert_eq!(contexts, [4096, 8192, 10_000]);
    assert!(bodies.iter().all(|body| body["keep_alive"] == -1 && body["truncate"] == false));
    assert_eq!(*error.kind(), ErrorKind::ContextTooLong);
    let crossed =
        OllamaOptions { context_tokens_min: Some(2), context_tokens_max: Some(1), ..Default::default() };
    let refused = Ollama::builder(server.uri()).options(crossed).connect().await;
    assert!(matches!(refused, Err(Error::Config(_))));
}

#[tokio::test]
async fn tool_call_and_its_result_go_round() {
    let server = with_models(&["m"]).await;
    let with_result = json!({"messages": [
        {"role": "user", "content": "Umbrella?"},
        {"role": "assistant", "content": "", "thinking": "rain?",
            "tool_calls": [{"id": "call_0", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
        {"role": "tool", "content": "rain", "tool_name": "weather"}]});
    let second = Mock::given(path("/api/chat")).and(body_partial_json(with_result));
    second.respond_with(lines(HELLO)).mount(&server).await;
    answer(&server, "/api/chat", lines(CALL)).await;
    let request = ChatRequest::user("Umbrella?").tool(Tool::new("weather", "", json!({"type": "object"})));

    let answer = ask(connect(&server).await, request.clone()).await.unwrap();
    let call = answer.tool_calls().next().unwrap().clone();
    let finish = answer.finish;
    let again =
        request.message(answer.into_message()).message(Message::tool([ToolResult::new(&call, "rain")]));
    let last = ask(connect(&server).await, again).await.unwrap();

    assert_eq!((call.arguments.as_str(), finish), ("{\"city\":\"Oslo\"}", FinishReason::ToolCalls));
    assert_eq!((&*last.text(), last.finish), ("Hello", FinishReason::Stop));
}

#[tokio::test]
async fn model_that_takes_no_tools_is_left_for_another() {
    let server = with_models(&["m"]).await;
    let refusal = json!({"error": "registry.ollama.ai/library/m:latest does not support tools"});
    answer(&server, "/api/chat", ResponseTemplate::new(400).set_body_json(refusal)).await;
    let request = ChatRequest::user("hi").tool(Tool::new("weather", "", json!({"type": "object"})));

    let error = ask(connect(&server).await, request).await.unwrap_err();

    assert_eq!(error.kind(), Some(&ErrorKind::Unsupported));
}

#[tokio::test]
async fn warmth_is_cold_before_a_chat_and_warm_after_it() {
    let server = with_models(&["m:1b"]).await;
    let nothing = Mock::given(path("/api/ps")).respond_with(document(json!({"models": []})));
    let nothing = nothing.mount_as_scoped(&server).await;
    answer(&server, "/api/chat", lines(HELLO)).await;
    let ollama = connect(&server).await;

    becomes(&ollama, Warmth::Cold).await;
    let loaded = json!({"models": [{"name": "m:1b", "size": 9, "context_length": 16_384}]});
    answer(&server, "/api/ps", document(loaded)).await;
    drop(nothing);
    drop(ollama.chat("m:1b", &ChatRequest::user("hi")).await.unwrap());

    becomes(&ollama, Warmth::Warm).await;
    // The size that is loaded is asked for again, as another would load the model anew.
    let _stream = ollama.chat("m:1b", &ChatRequest::user("hi")).await.unwrap();
    assert_eq!(sent(&server, "/api/chat").await[1]["options"]["num_ctx"], 16_384);
}

#[tokio::test]
async fn warmth_is_unknown_again_when_the_server_does_not_say() {
    let server = with_models(&["m:1b"]).await;
    let loaded = Mock::given(path("/api/ps")).respond_with(document(json!({"models": [{"name": "m:1b"}]})));
    let loaded = loaded.mount_as_scoped(&server).await;
    let ollama = connect(&server).await;
    ollama.loaded().await.unwrap();
    assert_eq!(ollama.warmth("m:1b"), Warmth::Warm);

    drop(loaded);
    ollama.loaded().await.unwrap_err();

    assert_eq!(ollama.warmth("m:1b"), Warmth::Unknown);
}

/// Waits until a look in the background has found `warmth`.
async fn becomes(ollama: &Ollama, warmth: Warmth) {
    let found = async {
        while ollama.warmth("m:1b") != warmth {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("the view is refreshed");
}

#[tokio::test]
async fn models_are_loaded_listed_and_unloaded() {
    let server = with_models(&["m", "embed"]).await;
    answer(&server, "/api/chat", document(json!({"done": true, "done_reason": "load"}))).await;
    answer(&server, "/api/embed", document(json!({"embeddings": []}))).await;
    let ps = json!({"models": [{"name": "m:latest", "size": 10, "size_vram": 7}]});
    answer(&server, "/api/ps", document(ps)).await;
    let ollama = connect(&server).await;

    ollama.preload("m").await.unwrap();
    ollama.preload("embed").await.unwrap();
    let loaded = ollama.loaded().await.unwrap();
    ollama.unload("m").await.unwrap();

    assert_eq!(
        (loaded[0].name.as_str(), loaded[0].bytes, loaded[0].vram_bytes),
        ("m:latest", Some(10), Some(7))
    );
    assert_eq!(ollama.warmth("m"), Warmth::Warm);
    let chats = sent(&server, "/api/chat").await;
    assert_eq!(
        chats[0],
        json!({"model": "m", "messages": [], "stream": false, "options": {"num_ctx": 4096}})
    );
    assert_eq!(chats[1], json!({"model": "m", "messages": [], "stream": false, "keep_alive": 0}));
    assert_eq!(sent(&server, "/api/embed").await[0]["input"], json!([]));
}

async fn pulled(ollama: &Ollama) -> (Vec<PullProgress>, Option<ErrorKind>) {
    let steps: Vec<_> = ollama.pull("m:1b").await.unwrap().collect().await;
    let error = steps.iter().find_map(|step| step.as_ref().err()).map(|error| error.kind().clone());
    (steps.into_iter().filter_map(Result::ok).collect(), error)
}

#[tokio::test]
async fn pull_tells_its_progress_up_to_success() {
    let server = with_models(&[]).await;
    let body = "{\"status\":\"pulling manifest\"}\n\
        {\"status\":\"pulling abc\",\"digest\":\"sha256:abc\",\"total\":10,\"completed\":5}\n\
        {\"status\":\"success\"}\n";
    answer(&server, "/api/pull", lines(body)).await;

    let (steps, error) = pulled(&connect(&server).await).await;

    let seen: Vec<_> = steps.iter().map(|step| (step.status.as_str(), step.completed_bytes)).collect();
    assert_eq!(seen, [("pulling manifest", None), ("pulling abc", Some(5)), ("success", None)]);
    assert_eq!(error, None);
    assert_eq!(sent(&server, "/api/pull").await, [json!({"model": "m:1b", "stream": true})]);
}

#[tokio::test]
async fn pull_that_fails_on_the_way_is_a_typed_error() {
    let manifest = "{\"status\":\"pulling manifest\"}\n";
    let cases = [
        ("{\"error\":\"pull model manifest: file does not exist\"}\n", ErrorKind::ModelNotFound),
        ("{\"error\":\"max retries exceeded: EOF\"}\n", ErrorKind::Transient),
        ("nonsense\n", ErrorKind::Malformed),
        ("{\"status\":\"pul", ErrorKind::Truncated),
        ("", ErrorKind::Truncated),
    ];
    for (rest, kind) in cases {
        let server = with_models(&[]).await;
        answer(&server, "/api/pull", lines(&format!("{manifest}{rest}"))).await;

        let (steps, error) = pulled(&connect(&server).await).await;

        assert_eq!((steps.len(), error), (1, Some(kind)), "{rest}");
    }
}

#[tokio::test]
async fn pull_over_a_connection_that_breaks_is_cut() {
    let server =
        Server::start("application/x-ndjson", "{\"status\":\"pulling manifest\"}\n", Then::Cut).await;
    let ollama = Ollama::connect(&server.url()).await.unwrap();

    let (steps, error) = pulled(&ollama).await;

    assert_eq!((steps.len(), error), (1, Some(ErrorKind::Truncated)));
}

#[tokio::test]
async fn dropping_a_pull_closes_its_connection() {
    let body = "{\"status\":\"pulling manifest\"}\n";
    let mut server = Server::start("application/x-ndjson", body, Then::Stall).await;
    let ollama = Ollama::connect(&server.url()).await.unwrap();
    let mut progress = ollama.pull("m").await.unwrap();
    assert_eq!(progress.next().await.unwrap().unwrap().status, "pulling manifest");

    drop(progress);

    tokio::time::timeout(Duration::from_secs(5), server.client_left()).await.expect("the server is left");
}

#[tokio::test]
async fn proxy_gets_its_key_and_headers_and_nobody_else_sees_them() {
    let server = with_models(&["m"]).await;
    answer(&server, "/api/chat", lines(HELLO)).await;
    let builder = Ollama::builder(server.uri()).key(CANARY).header("x-proxy-secret", "canary-header");
    let shown = format!("{builder:?}");

    let ollama = builder.connect().await.unwrap();
    let events: Vec<_> =
        ollama.chat("m", &ChatRequest::user("hi")).await.unwrap().map(Result::unwrap).collect().await;

    assert_eq!(events.last(), Some(&Event::End(FinishReason::Stop)));
    let requests = server.received_requests().await.unwrap();
    assert!(
        requests
            .iter()
            .all(|request| request.headers["authorization"] == format!("Bearer {CANARY}").as_str()
                && request.headers["x-proxy-secret"] == "canary-header")
    );
    let shown = format!("{shown} {ollama:?}");
    assert!(!shown.contains("canary"), "{shown}");
    let wrong = Ollama::builder(server.uri()).header("no header", "x").connect().await;
    assert!(matches!(wrong, Err(Error::Config(text)) if text.contains("`no header`")));
}

#[tokio::test]
async fn models_on_another_host_are_left_out() {
    let server = MockServer::start().await;
    let tags =
        json!({"models": [{"name": "here"}, {"name": "cloud", "remote_host": "https://ollama.com:443"}]});
    Mock::given(method("GET")).and(path("/api/tags")).respond_with(document(tags)).mount(&server).await;

    let ollama = connect(&server).await;

    assert_eq!(ollama.info().models.iter().map(|model| &model.name).collect::<Vec<_>>(), ["here"]);
}
