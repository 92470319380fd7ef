//! A provider's server on loopback that plays a script, in the provider's own wire format and byte by byte.
//!
//! [`Upstream`] counts and records; a [`Dialect`] writes frames; a [`Play`] says what becomes of one call.
//! It is a plain socket and no HTTP library, because a reset, a cut chunk and a silence are what it is for.

mod anthropic;
mod connection;
mod dialect;
mod gemini;
mod named;
mod ollama;
mod openai;
mod responses;
mod script;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) use self::dialect::{ANSWER_TOKENS, Dialect, KEY, MODEL, Reply, answer, dialects, tokens};
pub(crate) use self::named::Named;
pub(crate) use self::script::{Fault, Play, Refusal};

/// What a client asked for.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Method and target.
    pub(crate) line: String,
    /// The other lines of the head.
    pub(crate) headers: String,
    pub(crate) body: Value,
}

/// The server. Dropping it closes its door and leaves what is being played alone.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    door: JoinHandle<()>,
}

struct Shared {
    dialect: &'static dyn Dialect,
    script: Vec<Play>,
    calls: AtomicUsize,
    open: AtomicUsize,
    connections: AtomicUsize,
    sent_bytes: AtomicU64,
    seen: Mutex<Vec<Seen>>,
}

impl Upstream {
    /// Serves `dialect` on a free port: one play per call, the last one for ever.
    pub(crate) async fn start(dialect: &'static dyn Dialect, script: impl IntoIterator<Item = Play>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            dialect,
            script: script.into_iter().collect(),
            calls: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            sent_bytes: AtomicU64::new(0),
            seen: Mutex::default(),
        });
        let door = tokio::spawn(open_door(listener, shared.clone()));
        Self { address, shared, door }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of this server, called `name` in a router.
    pub(crate) async fn provider(&self, name: &str) -> Named {
        Named::new(name, self.shared.dialect.provider(&self.url()).await)
    }

    /// How many chats were asked for.
    pub(crate) fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// How many chats are being answered.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How many connections there are, idle ones among them.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bytes were sent, heads and chunk sizes included.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::SeqCst)
    }

    /// What was asked for, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// Waits until no chat is being answered; a server learns a little later than the client that it has left.
    pub(crate) async fn quiet(&self) {
        let quiet = async {
            while self.open() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), quiet).await;
        assert!(in_time.is_ok(), "{} chats were left open", self.open());
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.door.abort();
    }
}

impl Shared {
    /// Notes a chat and draws what becomes of it.
    fn next(&self, seen: Seen) -> Play {
        let mut all = self.seen.lock();
        all.push(seen);
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        self.script.get(call).or(self.script.last()).cloned().unwrap_or(Play::Answer)
    }
}

async fn open_door(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(connection::serve(socket, shared.clone()));
    }
}

/// Counts one more for as long as it lives.
struct Up<'a>(&'a AtomicUsize);

impl<'a> Up<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
