//! The providers against servers on loopback.

use std::time::Duration;

use aic_router::testing::provider_contract;
use aic_router::{
    Anthropic, ApiKey, ChatRequest, EmbedRequest, Error, ErrorKind, Gemini, ModelInfo, OpenAi, Provider,
    Router,
};
use serde_json::json;
use wiremock::matchers::{body_partial_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::server::{Server, Then};

const CANARY: &str = "sk-canary-0123456789";

const OPENAI_HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
const OPENAI_BEGINNING: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
const ANTHROPIC_HELLO: &str = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
    data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n\
    data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n\
    data: {\"type\":\"message_stop\"}\n\n";
const GEMINI_HELLO: &str =
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hello\"}]},\"finishReason\":\"STOP\"}]}\n\n";

fn sse(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.to_owned(), "text/event-stream")
}

fn hi() -> ChatRequest {
    ChatRequest::user("hi")
}

fn openai(url: &str) -> OpenAi {
    OpenAi::builder(url).name("test").key(CANARY).model("m").build().unwrap()
}

fn router(provider: impl Provider) -> Router {
    Router::builder().provider(provider).retries(0).build().unwrap()
}

async fn always(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(response).mount(&server).await;
    server
}

/// A server that knows the model `m` and no other.
async fn knowing(
    endpoint: &str,
    guard: impl wiremock::Match + 'static,
    hello: ResponseTemplate,
) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path(endpoint)).and(guard).respond_with(hello).mount(&server).await;
    server
}

#[tokio::test]
async fn openai_keeps_the_contract_and_sends_its_key_in_a_header() {
    let guard = body_partial_json(json!({"model": "m", "stream": true}));
    let server = knowing("/v1/chat/completions", guard, sse(OPENAI_HELLO)).await;

    provider_contract(&openai(&format!("{}/v1/", server.uri()))).await;

    let requests = server.received_requests().await.unwrap();
    assert!(
        requests
            .iter()
            .all(|request| request.headers["authorization"] == format!("Bearer {CANARY}").as_str())
    );
    assert!(requests.iter().all(|request| request.headers["accept-encoding"] == "identity"));
}

#[tokio::test]
async fn anthropic_keeps_the_contract() {
    let guard = body_partial_json(json!({"model": "m", "max_tokens": 32}));
    let server = knowing("/messages", guard, sse(ANTHROPIC_HELLO)).await;
    let provider = Anthropic::at(&server.uri(), CANARY).unwrap().models([ModelInfo::chat("m")]);

    provider_contract(&provider).await;

    let requests = server.received_requests().await.unwrap();
    assert!(
        requests
            .iter()
            .all(|r| r.headers["x-api-key"] == CANARY && r.headers["anthropic-version"] == "2023-06-01")
    );
}

#[tokio::test]
async fn gemini_keeps_the_contract_and_its_key_out_of_the_address() {
    let server =
        knowing("/models/m:streamGenerateContent", query_param("alt", "sse"), sse(GEMINI_HELLO)).await;
    let provider = Gemini::at(&server.uri(), CANARY).unwrap().models([ModelInfo::chat("m")]);

    provider_contract(&provider).await;

    let requests = server.received_requests().await.unwrap();
    assert!(
        requests.iter().all(|r| r.headers["x-goog-api-key"] == CANARY && !r.url.as_str().contains(CANARY))
    );
}

#[tokio::test]
async fn failing_servers_are_left_for_one_that_answers() {
    let good = always(sse(OPENAI_HELLO)).await;
    let limited = ResponseTemplate::new(429).insert_header("retry-after", "60");
    let slow = sse(OPENAI_HELLO).set_delay(Duration::from_secs(30));
    let error_under_200 = sse("data: {\"error\":{\"code\":503,\"message\":\"later\"}}\n\n");
    let document_under_200 = ResponseTemplate::new(200).set_body_json(json!({"error": {"message": "no"}}));
    for bad in [limited, ResponseTemplate::new(500), slow, error_under_200, document_under_200] {
        let bad = always(bad).await;
        let backup = OpenAi::builder(good.uri()).name("backup").model("m").build().unwrap();
        let builder =
            Router::builder().provider(openai(&bad.uri())).provider(backup).chain(["test", "backup"]);
        let router = builder.retries(0).first_content_timeout(Duration::from_millis(300)).build().unwrap();

        let answer = router.chat(hi()).await.unwrap().collect().await.unwrap();

        assert_eq!((answer.provider.as_str(), &*answer.text()), ("backup", "Hello"));
        assert_eq!(answer.usage.unwrap().input, 9);
    }
}

#[tokio::test]
async fn connection_cut_within_the_answer_is_a_typed_error() {
    let server = Server::start("text/event-stream", OPENAI_BEGINNING, Then::Cut).await;

    let error = router(openai(&server.url())).chat(hi()).await.unwrap().collect().await.unwrap_err();

    assert!(matches!(error, Error::Interrupted { .. }), "{error:?}");
    assert_eq!(error.kind(), Some(&ErrorKind::Truncated));
}

#[tokio::test]
async fn orderly_end_without_the_terminal_marker_is_an_error_too() {
    let server = always(sse(OPENAI_BEGINNING)).await;

    let error = router(openai(&server.uri())).chat(hi()).await.unwrap().collect().await.unwrap_err();

    assert_eq!(error.kind(), Some(&ErrorKind::Truncated));
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let mut server = Server::start("text/event-stream", OPENAI_BEGINNING, Then::Stall).await;
    let stream = router(openai(&server.url())).chat(hi()).await.unwrap();

    drop(stream);

    tokio::time::timeout(Duration::from_secs(5), server.client_left()).await.expect("the server is left");
}

#[tokio::test]
async fn key_shows_up_in_no_error_and_no_debug_text() {
    let echo = json!({"error": {"message": format!("incorrect key {CANARY}"), "code": "invalid_api_key"}});
    let stream = format!("data: {echo}\n\n");
    for response in [ResponseTemplate::new(401).set_body_json(&echo), sse(&stream)] {
        let server = always(response).await;
        let provider = openai(&server.uri());
        let shown = format!("{provider:?}");
        let router = router(provider);

        let error = router.chat(hi()).await.unwrap_err();

        let shown = format!("{shown} {router:?} {error} {error:?} {:?}", ApiKey::new(CANARY));
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(shown.contains("incorrect key ***"), "{shown}");
        assert_eq!(error.kind(), Some(&ErrorKind::Auth));
    }
}

#[tokio::test]
async fn redirects_are_not_followed_with_the_key() {
    let other = always(sse(OPENAI_HELLO)).await;
    let server = always(ResponseTemplate::new(307).insert_header("location", other.uri().as_str())).await;

    router(openai(&server.uri())).chat(hi()).await.unwrap_err();

    assert!(other.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn openai_embeddings_are_read() {
    let server = MockServer::start().await;
    let body = json!({"data": [{"index": 0, "embedding": [1.0, 2.0]}], "usage": {"prompt_tokens": 3}});
    Mock::given(path("/embeddings"))
        .and(header("authorization", format!("Bearer {CANARY}").as_str()))
        .and(body_partial_json(json!({"input": ["a"], "dimensions": 2})))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
    let provider = OpenAi::builder(server.uri())
        .name("test")
        .key(CANARY)
        .model(ModelInfo::embedding("e"))
        .build()
        .unwrap();

    let found = router(provider).embed(EmbedRequest::new(["a"]).dimensions(2)).await.unwrap();

    assert_eq!((found.vectors, found.input_tokens, found.cost), (vec![vec![1.0, 2.0]], Some(3), None));
}

#[test]
fn addresses_and_keys_that_cannot_be_are_refused_without_showing_them() {
    let wrong = [
        "localhost:80",
        "ftp://x",
        "http://user:sk-canary-0123456789@x/",
        "http://x/?key=sk-canary-0123456789",
    ];
    for address in wrong {
        let error = OpenAi::builder(address).model("m").build().unwrap_err();
        assert!(matches!(&error, Error::Config(text) if !text.contains("canary")), "{error}");
    }
    assert!(OpenAi::builder("http://x").build().is_err());
    assert!(Anthropic::new("a\nb").is_err() && Gemini::new("").is_err());
}
