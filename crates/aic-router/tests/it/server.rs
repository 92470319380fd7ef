//! A server on loopback that says exactly what it is told and then cuts, stalls, floods or ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What happens after the bytes are said.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// The connection is closed in the middle of the body.
    Cut,
    /// Nothing more comes; the server notes when the client leaves.
    Stall,
    /// Comments come without end, until the client leaves.
    Flood,
    /// The body ends, a moment later, and the connection waits for the next request.
    End,
}

pub(crate) struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: mpsc::UnboundedReceiver<String>,
    left: mpsc::UnboundedReceiver<()>,
}

/// What every request is answered with, and where it is noted.
#[derive(Clone)]
struct Script {
    said: Arc<[u8]>,
    then: Then,
    head: mpsc::UnboundedSender<String>,
    left: mpsc::UnboundedSender<()>,
}

impl Server {
    /// Answers every `POST` with a chunked body that begins with `body`, and every `GET` with an empty list of
    /// models.
    pub(crate) async fn start(kind: &str, body: &str, then: Then) -> Self {
        Self::saying(&format!("content-type: {kind}"), body.as_bytes(), then).await
    }

    /// Answers with `headers`, separated by line breaks, and a chunked body that begins with `body`.
    pub(crate) async fn saying(headers: &str, body: &[u8], then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let ((head, heads), (tell, left)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let script = Script { said: said(headers, body), then, head, left: tell };
        let counter = connections.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(socket, script.clone()));
            }
        });
        Self { address, connections, heads, left }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How many connections have been made to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The next request, without its body.
    pub(crate) async fn request(&mut self) -> String {
        self.heads.recv().await.unwrap()
    }

    /// Waits until a client has left.
    pub(crate) async fn client_left(&mut self) {
        self.left.recv().await.unwrap();
    }
}

/// The answer to every `GET`.
const NO_MODELS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"models\":[]}";

fn said(headers: &str, body: &[u8]) -> Arc<[u8]> {
    let headers = headers.replace('\n', "\r\n");
    let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\ntransfer-encoding: chunked\r\n\r\n");
    [head.as_bytes(), &chunk(body)].concat().into()
}

fn chunk(body: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}

async fn serve(mut socket: TcpStream, script: Script) {
    while let Some(head) = read_request(&mut socket).await {
        if head.starts_with("GET") {
            socket.write_all(NO_MODELS).await.unwrap();
            continue;
        }
        // The test may be over.
        let _ = script.head.send(head);
        socket.write_all(&script.said).await.unwrap();
        match script.then {
            Then::Cut => return,
            Then::Stall => return stall(&mut socket, &script.left).await,
            Then::Flood => return flood(&mut socket, &script.left).await,
            Then::End => end(&mut socket).await,
        }
    }
}

async fn stall(socket: &mut TcpStream, left: &mpsc::UnboundedSender<()>) {
    while socket.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    let _ = left.send(());
}

async fn flood(socket: &mut TcpStream, left: &mpsc::UnboundedSender<()>) {
    let comments =
        chunk(&b": still there, still there, still there, still there, still there\n".repeat(8192));
    while socket.write_all(&comments).await.is_ok() {}
    let _ = left.send(());
}

/// In a packet of its own, as by a server that has to think about it.
async fn end(socket: &mut TcpStream) {
    tokio::time::sleep(Duration::from_millis(10)).await;
    let _ = socket.write_all(b"0\r\n\r\n").await;
}

/// Reads until the request's JSON body has come: its last byte closes the outermost brace. A `GET` has none.
///
/// Gives what precedes the body, or `None` if the client has left.
async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while !(is_get(&seen) || seen.ends_with(b"}") && balanced(&seen)) {
        let read = socket.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        seen.extend_from_slice(&piece[..read]);
    }
    let seen = String::from_utf8(seen).unwrap();
    Some(seen.split("\r\n\r\n").next().unwrap().to_owned())
}

fn is_get(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GET") && bytes.ends_with(b"\r\n\r\n")
}

fn balanced(bytes: &[u8]) -> bool {
    let count = |wanted| bytes.iter().filter(|byte| **byte == wanted).count();
    count(b'{') == count(b'}')
}
