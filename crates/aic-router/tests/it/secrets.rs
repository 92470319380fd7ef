//! A key is seen by the server it is for, in a header, and by nobody else.
//!
//! Runs on one thread, so that everything a call logs on its way is logged on the thread that listens.

use std::cell::RefCell;
use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Once};
use std::time::Duration;

use aic_router::{ChatRequest, Error, ErrorKind, Router};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::upstream::{Dialect, Fault, KEY, Play, Upstream, dialects};

/// The shortest beginning of a key that is one: what a server cuts off is told too.
const PART: usize = 12;

/// Answers in which a server repeats the key, wherever it can.
fn plays(dialect: &dyn Dialect) -> Vec<Play> {
    let mut plays = vec![Play::Answer, Play::Reset, Play::Silence];
    plays.extend(
        [Fault::Cut, Fault::Garbage, Fault::BadChunk, Fault::Error].map(|fault| Play::Break(3, fault)),
    );
    for status in [302, 400, 401, 404, 429, 500, 503, 529] {
        for message in
            [KEY.to_owned(), format!("your key {KEY} is wrong"), format!("{}{KEY}", "x".repeat(285))]
        {
            let documents = [
                json!({"error": {"message": message, "type": message, "code": message, "status": message}}),
                json!({"error": message}),
                json!([{"error": {"message": message}}]),
                json!(message),
            ];
            plays.extend(documents.map(|document| echo(dialect, status, document.to_string())));
        }
    }
    let frames = [
        format!("{{\"{KEY}"),
        json!({"error": {"message": KEY, "type": KEY}}).to_string(),
        json!({"error": KEY}).to_string(),
        json!({"promptFeedback": {"blockReason": KEY}}).to_string(),
        json!({"type": "error", "error": {"message": KEY}}).to_string(),
    ];
    plays.extend(frames.map(|frame| echo(dialect, 200, dialect.frame(&frame))));
    plays
}

fn echo(dialect: &dyn Dialect, status: u16, body: String) -> Play {
    let kind = if status == 200 { dialect.content_type() } else { "application/json" };
    let headers = vec![
        ("content-type", kind.to_owned()),
        ("x-request-id", KEY.to_owned()),
        ("set-cookie", format!("key={KEY}")),
        ("location", format!("http://127.0.0.1:1/{KEY}")),
        ("retry-after", KEY.to_owned()),
    ];
    Play::Raw { status, headers, first: body.into(), again: Bytes::new() }
}

fn assert_no_key(what: &str, text: &str) {
    assert!(!text.contains(&KEY[..PART]), "{what} has the key: {text}");
}

#[tokio::test]
async fn key_is_in_no_log_error_debug_print_or_address() {
    let log = Log::listen();
    for dialect in dialects() {
        for play in plays(dialect) {
            let upstream = Upstream::start(dialect, [play]).await;
            let provider = upstream.provider("test").await;
            assert_no_key("a provider", &format!("{provider:?} {provider:#?}"));
            let router =
                Router::builder().provider(provider).retries(0).idle_timeout(Duration::from_millis(100));
            let router = router.first_content_timeout(Duration::from_millis(100)).build().unwrap();

            let result = ask(&router).await;

            assert_no_key("a router", &format!("{router:?} {:?} {:?}", router.stats(), router.health()));
            if let Err(error) = result {
                assert_no_key("an error", &all_that_is_said(&error));
            }
            for seen in upstream.seen() {
                assert_no_key("an address", &seen.line);
                assert_no_key("a body", &seen.body.to_string());
                assert!(seen.headers.contains(KEY), "{}", seen.headers);
            }
        }
    }
    let said = log.said();
    // Without these it would prove nothing.
    for target in ["aic_router", "hyper_util", "reqwest"] {
        assert!(said.contains(target), "nothing was heard of {target}");
    }
    assert_no_key("the log", &said);
}

async fn ask(router: &Router) -> Result<(), Error> {
    router.chat(ChatRequest::user("hi")).await?.collect().await.map(drop)
}

fn all_that_is_said(error: &Error) -> String {
    let mut said = format!("{error} {error:?} {error:#?} {:?}", error.kind().map(ErrorKind::to_string));
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(said, " {error} {error:?}").unwrap();
        cause = error.source();
    }
    if let Error::Failed { attempts } | Error::DeadlineExceeded { attempts, .. } = error {
        for attempt in attempts {
            let mut cause = attempt.error.source();
            while let Some(error) = cause {
                write!(said, " {error} {error:?}").unwrap();
                cause = error.source();
            }
        }
    }
    said
}

/// All that is logged on this thread, at every level and by every crate: through `tracing`, or `log`.
struct Log {
    traced: Arc<Mutex<Vec<u8>>>,
    _listening: tracing::subscriber::DefaultGuard,
}

impl Log {
    fn listen() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| log::set_logger(&Lines).expect("no other test listens to `log`"));
        log::set_max_level(log::LevelFilter::Trace);
        LINES.set(Some(String::new()));
        let traced = Arc::<Mutex<Vec<u8>>>::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(Tracer(traced.clone()))
            .finish();
        Self { traced, _listening: tracing::subscriber::set_default(subscriber) }
    }

    fn said(self) -> String {
        let logged = LINES.take().unwrap_or_default();
        String::from_utf8_lossy(&self.traced.lock()).into_owned() + &logged
    }
}

thread_local! {
    static LINES: RefCell<Option<String>> = const { RefCell::new(None) };
}

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                writeln!(lines, "{} {}", record.target(), record.args()).unwrap();
            }
        });
    }

    fn flush(&self) {}
}

#[derive(Clone)]
struct Tracer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Tracer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Tracer {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
