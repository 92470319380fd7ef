//! Servers that send what no provider would, and as much of it as is taken.

use std::io::Write;
use std::time::Duration;

use aic_router::{ChatRequest, Error, ErrorKind, Event, Router};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::upstream::{Dialect, Play, Refusal, Upstream, dialects};

/// What may be taken from a server before it is given up: the longest frame, and what lies in the buffers of
/// both ends of a connection.
const TAKEN_BYTES_MAX: u64 = 24 << 20;
const LIMIT: Duration = Duration::from_millis(500);
/// A call that outlives this has no limit.
const FOR_EVER: Duration = Duration::from_secs(20);

/// A body of `first` once and `again` until the client leaves, under a status of success.
fn body(dialect: &dyn Dialect, first: impl Into<Bytes>, again: impl Into<Bytes>) -> Play {
    let headers = vec![("content-type", dialect.content_type().into())];
    Play::Raw { status: 200, headers, first: first.into(), again: again.into() }
}

/// Asks a server that plays `play` for ever; returns how many events came before the error.
async fn ask(dialect: &'static dyn Dialect, play: Play) -> (usize, Error, Upstream) {
    let upstream = Upstream::start(dialect, [play]).await;
    let builder = Router::builder().provider(upstream.provider("hostile").await).retries(0);
    let router = builder.first_content_timeout(LIMIT).idle_timeout(LIMIT).build().unwrap();
    let request = ChatRequest::user("hi").deadline(2 * LIMIT);
    let (events, error) = tokio::time::timeout(FOR_EVER, until_error(&router, request)).await.unwrap();
    upstream.quiet().await;
    (events, error, upstream)
}

async fn until_error(router: &Router, request: ChatRequest) -> (usize, Error) {
    let mut stream = match router.chat(request).await {
        Ok(stream) => stream,
        Err(error) => return (0, error),
    };
    let mut events = 0;
    loop {
        match stream.next().await.expect("the stream ends with an error") {
            Ok(Event::End(_)) => panic!("passed for a whole answer"),
            Ok(_) => events += 1,
            Err(error) => return (events, error),
        }
    }
}

/// Every wire format ends what `play` sends with an error of one of these kinds.
async fn all_end(play: impl Fn(&'static dyn Dialect) -> Play, kinds: &[ErrorKind]) -> Vec<Upstream> {
    let mut upstreams = Vec::new();
    for dialect in dialects() {
        let (_, error, upstream) = ask(dialect, play(dialect)).await;
        let kind = error.kind().unwrap_or_else(|| panic!("{}: {error:?}", dialect.name()));
        assert!(kinds.contains(kind), "{}: {error}", dialect.name());
        assert!(
            error.to_string().len() < 2_000,
            "{}: an error of {} bytes",
            dialect.name(),
            error.to_string().len()
        );
        upstreams.push(upstream);
    }
    upstreams
}

fn assert_little_was_taken(upstreams: &[Upstream]) {
    for upstream in upstreams {
        let taken = upstream.sent_bytes();
        assert!(taken < TAKEN_BYTES_MAX, "{taken} bytes were taken: {:?}", upstream.seen()[0].line);
    }
}

#[tokio::test]
async fn frames_that_are_no_json_are_malformed() {
    for text in ["{", "{\"choices\":", "nonsense", "{\"a\": 1e999999}", &"[".repeat(10_000)] {
        all_end(|dialect| body(dialect, dialect.frame(text), ""), &[ErrorKind::Malformed]).await;
    }
}

#[tokio::test]
async fn json_of_another_shape_is_never_an_answer() {
    let texts = [
        "[]",
        "null",
        "0",
        "{\"choices\": 1}",
        "{\"type\": []}",
        "{\"message\": {\"content\": {}}}",
        "{\"candidates\": [[]]}",
    ];
    for text in texts {
        all_end(
            |dialect| body(dialect, dialect.frame(text), ""),
            &[ErrorKind::Truncated, ErrorKind::Malformed],
        )
        .await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_malformed() {
    let broken = |dialect: &dyn Dialect| {
        let frame = dialect.token("MARK").into_bytes();
        let at = frame.windows(4).position(|window| window == b"MARK").unwrap();
        [&frame[..at], b"\xff\xfe\xf0\x28", &frame[at + 4..]].concat()
    };
    all_end(|dialect| body(dialect, broken(dialect), ""), &[ErrorKind::Malformed]).await;
}

#[tokio::test]
async fn line_without_end_is_given_up() {
    let endless = |dialect: &dyn Dialect| {
        let frame = dialect.token("MARK");
        let start = frame.split("MARK").next().unwrap().to_owned();
        body(dialect, start, vec![b'x'; 64 << 10])
    };

    let upstreams = all_end(endless, &[ErrorKind::Malformed]).await;

    assert_little_was_taken(&upstreams);
}

#[tokio::test]
async fn spaces_without_end_are_given_up() {
    let spaces = |dialect: &dyn Dialect| body(dialect, "", vec![b' '; 64 << 10]);

    let upstreams = all_end(spaces, &[ErrorKind::Malformed]).await;

    assert_little_was_taken(&upstreams);
}

#[tokio::test]
async fn frame_of_many_lines_without_end_is_given_up() {
    let lines = |dialect: &dyn Dialect| match dialect.content_type() {
        "text/event-stream" => body(dialect, "", format!("data: {}\n", "x".repeat(8_000))),
        _ => body(dialect, "{", vec![b'\t'; 8_000]),
    };

    let upstreams = all_end(lines, &[ErrorKind::Malformed]).await;

    assert_little_was_taken(&upstreams);
}

#[tokio::test]
async fn pings_without_end_do_not_hold_off_a_timeout() {
    let pings = |dialect: &dyn Dialect| body(dialect, "", dialect.ping());
    all_end(pings, &[ErrorKind::Timeout]).await;

    let after_content = |dialect: &dyn Dialect| body(dialect, dialect.token("hello"), dialect.ping());
    all_end(after_content, &[ErrorKind::Timeout]).await;
}

#[tokio::test]
async fn frames_that_mean_nothing_do_not_hold_off_a_timeout() {
    let frames = |dialect: &dyn Dialect| body(dialect, "", dialect.frame("{}"));

    all_end(frames, &[ErrorKind::Timeout]).await;
}

#[tokio::test]
async fn tokens_without_end_stop_at_the_deadline() {
    for dialect in dialects() {
        let (events, error, _) = ask(dialect, body(dialect, "", dialect.token("more"))).await;

        assert!(events > 1, "{}: no tokens came", dialect.name());
        assert_eq!(error.kind(), Some(&ErrorKind::Timeout), "{}: {error:?}", dialect.name());
    }
}

#[tokio::test]
async fn error_without_end_is_what_its_status_says() {
    let body = |status| Play::Raw {
        status,
        headers: vec![],
        first: "{\"error\": \"".into(),
        again: vec![b'x'; 8 << 10].into(),
    };

    let upstreams = all_end(|_| body(500), &[ErrorKind::Transient]).await;
    assert_little_was_taken(&upstreams);

    let upstreams = all_end(|_| body(401), &[ErrorKind::Auth]).await;
    assert_little_was_taken(&upstreams);
}

#[tokio::test]
async fn error_with_a_long_message_is_cut() {
    let message = format!("{{\"error\": {{\"message\": \"{}\"}}}}", "é".repeat(20_000));
    let long = |_: &dyn Dialect| Play::Raw {
        status: 500,
        headers: vec![],
        first: message.clone().into(),
        again: Bytes::new(),
    };

    all_end(long, &[ErrorKind::Transient]).await;
}

#[tokio::test]
async fn compressed_bomb_is_given_up() {
    let bomb = gzip_of_spaces(64 << 20);
    for status in [200, 500] {
        let bombs = |dialect: &dyn Dialect| {
            let kind = ("content-type", dialect.content_type().to_owned());
            let headers = vec![kind, ("content-encoding", "gzip".to_owned())];
            Play::Raw { status, headers, first: bomb.clone(), again: Bytes::new() }
        };
        all_end(bombs, &[ErrorKind::Malformed, ErrorKind::Truncated, ErrorKind::Transient]).await;
    }
}

#[tokio::test]
async fn success_without_a_body_is_never_an_answer() {
    all_end(|dialect| body(dialect, "", ""), &[ErrorKind::Truncated]).await;
    let document = |_: &dyn Dialect| Play::Raw {
        status: 200,
        headers: vec![("content-type", "application/json".into())],
        first: "{}".into(),
        again: Bytes::new(),
    };
    all_end(document, &[ErrorKind::Malformed, ErrorKind::Truncated]).await;
}

#[tokio::test]
async fn wild_waits_are_no_waits_or_long_ones() {
    for wait in
        ["-1", "NaN", "inf", "1e308", "99999999999999999999", "Thu, 01 Jan 9999 00:00:00 GMT", "\u{7f}"]
    {
        let mut reply = dialects()[0].refusal(Refusal::Busy(None)).unwrap();
        reply.headers.push(("retry-after", wait.into()));
        let play = Play::Raw {
            status: 429,
            headers: reply.headers,
            first: reply.body.to_string().into(),
            again: Bytes::new(),
        };

        let (_, error, _) = ask(dialects()[0], play).await;

        assert!(
            matches!(error.kind(), Some(ErrorKind::RateLimited { .. } | ErrorKind::Transient)),
            "{wait}: {error:?}"
        );
    }
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let elsewhere = Upstream::start(dialects()[0], [Play::Answer]).await;
    for dialect in dialects() {
        let headers = vec![("location", elsewhere.url())];
        let play = Play::Raw { status: 307, headers, first: "x".into(), again: Bytes::new() };

        let (_, error, _) = ask(dialect, play).await;

        assert_eq!(error.kind(), Some(&ErrorKind::Malformed), "{error:?}");
    }
    assert_eq!(elsewhere.calls(), 0);
}

fn gzip_of_spaces(bytes: usize) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..bytes >> 16 {
        encoder.write_all(&[b' '; 1 << 16]).unwrap();
    }
    encoder.finish().unwrap().into()
}
