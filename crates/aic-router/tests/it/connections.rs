//! How providers use connections: how many, for how long, through whom.

use std::io::Write;

use aic_router::{
    ChatRequest, EmbedRequest, ErrorKind, Event, EventStream, Http, HttpBuilder, OpenAi, Provider, Proxy,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use futures_util::future::join_all;

use crate::http2_server::Http2Server;
use crate::server::{Server, Then};

const SSE: &str = "text/event-stream";
pub(crate) const FIRST: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
pub(crate) const REST: &str =
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn hello() -> String {
    format!("{FIRST}{REST}")
}

pub(crate) fn provider(url: &str, http: HttpBuilder) -> OpenAi {
    OpenAi::builder(url).model("m").http(&http.build().unwrap()).build().unwrap()
}

/// Asks, and waits for the first content.
async fn begin(provider: &OpenAi) -> EventStream {
    let mut stream = provider.chat("m", &ChatRequest::user("hi")).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), Event::Text("Hello".into()));
    stream
}

/// Reads on until the answer is whole, and no further, as the router does.
async fn finish(mut stream: EventStream) {
    while !matches!(stream.next().await.unwrap().unwrap(), Event::End(_)) {}
}

pub(crate) async fn ask(provider: &OpenAi) {
    finish(begin(provider).await).await;
}

#[tokio::test]
async fn connection_is_used_again_though_its_body_ends_after_the_answer() {
    let server = Server::start(SSE, &hello(), Then::End).await;
    let provider = provider(&server.url(), Http::builder().connections_max(1));

    for _ in 0..10 {
        ask(&provider).await;
    }

    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn requests_over_the_bound_wait_and_are_answered() {
    let server = Server::start(SSE, &hello(), Then::End).await;
    let provider = provider(&server.url(), Http::builder().connections_max(4));

    join_all((0..32).map(|_| ask(&provider))).await;

    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn dropped_http1_answer_makes_room_for_the_next() {
    let server = Server::start(SSE, FIRST, Then::Stall).await;
    let provider = provider(&server.url(), Http::builder().connections_max(1));

    for _ in 0..3 {
        drop(begin(&provider).await);
    }

    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn more_than_a_hundred_http2_streams_open_a_second_connection() {
    let server = Http2Server::start(FIRST, REST).await;
    let provider = provider(&server.url(), Http::builder().http2_prior_knowledge());

    let streams = join_all((0..150).map(|_| begin(&provider))).await;

    assert_eq!((server.seen().connections, server.seen().streams), (2, 150));
    server.go_on();
    join_all(streams.into_iter().map(finish)).await;
    join_all((0..50).map(|_| ask(&provider))).await;
    assert_eq!((server.seen().connections, server.seen().streams), (2, 200));
}

#[tokio::test]
async fn dropped_http2_answer_is_reset_and_leaves_its_connection_and_room() {
    let server = Http2Server::start(FIRST, REST).await;
    let http = Http::builder().http2_prior_knowledge().connections_max(1).streams_per_connection_max(2);
    let provider = provider(&server.url(), http);
    let kept = begin(&provider).await;

    for _ in 0..5 {
        drop(begin(&provider).await);
    }

    server.until(|seen| seen.resets == 5).await;
    assert_eq!(server.seen().connections, 1);
    server.go_on();
    finish(kept).await;
}

#[tokio::test]
async fn whole_http2_answer_is_not_reset() {
    let server = Http2Server::start(FIRST, REST).await;
    server.go_on();
    let provider = provider(&server.url(), Http::builder().http2_prior_knowledge());

    for _ in 0..20 {
        ask(&provider).await;
    }

    assert_eq!((server.seen().connections, server.seen().resets), (1, 0));
}

#[tokio::test]
async fn providers_with_the_same_http_share_connections() {
    let server = Http2Server::start(FIRST, REST).await;
    let http = Http::builder().http2_prior_knowledge().build().unwrap();
    let provider = || OpenAi::builder(server.url()).model("m").http(&http).build().unwrap();

    let _both = (begin(&provider()).await, begin(&provider()).await);

    assert_eq!(server.seen().connections, 1);
}

fn gzip(text: &str) -> GzEncoder<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip
}

#[tokio::test]
async fn documents_may_come_compressed() {
    let document = gzip(r#"{"data": [{"index": 0, "embedding": [1.0, 2.0]}]}"#).finish().unwrap();
    let mut server =
        Server::saying("content-type: application/json\ncontent-encoding: gzip", &document, Then::End).await;
    let provider = provider(&server.url(), Http::builder());

    let found = provider.embed("m", &EmbedRequest::new(["a text"])).await.unwrap();

    assert_eq!(found.vectors, [[1.0, 2.0]]);
    let request = server.request().await;
    let accepted = request.lines().find_map(|line| line.strip_prefix("accept-encoding: ")).unwrap();
    assert!(accepted.contains("gzip") && accepted.contains("br"), "{accepted}");
}

#[tokio::test]
async fn compressed_events_are_passed_on_as_they_come() {
    let mut gzip = gzip(FIRST);
    gzip.flush().unwrap();
    let headers = format!("content-type: {SSE}\ncontent-encoding: gzip");
    let mut server = Server::saying(&headers, gzip.get_ref(), Then::Stall).await;
    let provider = provider(&server.url(), Http::builder());

    let stream = begin(&provider).await;

    assert!(server.request().await.contains("accept-encoding: identity"));
    drop(stream);
}

#[tokio::test]
async fn endless_answer_is_left_with_an_error() {
    let mut server = Server::start(SSE, FIRST, Then::Flood).await;
    let mut stream = begin(&provider(&server.url(), Http::builder())).await;

    let error = stream.next().await.unwrap().unwrap_err();

    assert_eq!(*error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("longer than 67108864 bytes"), "{error}");
    assert!(stream.next().await.is_none());
    server.client_left().await;
}

#[tokio::test]
async fn proxy_forwards_plain_requests_and_is_told_who_asks() {
    let mut proxy = Server::start(SSE, &hello(), Then::End).await;
    let through = Proxy::new(&format!("http://{}", proxy.address())).unwrap().credentials("me", "secret");

    ask(&provider("http://model.test/v1", Http::builder().proxy(through))).await;

    let request = proxy.request().await;
    assert!(request.starts_with("POST http://model.test/v1/chat/completions HTTP/1.1"), "{request}");
    assert!(request.contains("proxy-authorization: Basic bWU6c2VjcmV0"), "{request}");
}

#[tokio::test]
async fn server_excepted_from_the_proxy_is_reached_directly() {
    let server = Server::start(SSE, &hello(), Then::End).await;
    let nobody = Proxy::new("http://127.0.0.1:1").unwrap().except("localhost, 127.0.0.0/8");

    ask(&provider(&server.url(), Http::builder().proxy(nobody))).await;
}
