//! A server on loopback that says exactly what it is told and then cuts, stalls or ends.

use std::net::SocketAddr;

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
}

pub(crate) struct Server {
    address: SocketAddr,
    left: mpsc::UnboundedReceiver<()>,
}

impl Server {
    /// Answers every connection with a chunked body that begins with `body`.
    pub(crate) async fn start(kind: &'static str, body: &'static str, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, left) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, kind, body, then, tell.clone()));
            }
        });
        Self { address, left }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Waits until a client has left.
    pub(crate) async fn client_left(&mut self) {
        self.left.recv().await.unwrap();
    }
}

async fn serve(mut socket: TcpStream, kind: &str, body: &str, then: Then, left: mpsc::UnboundedSender<()>) {
    read_request(&mut socket).await;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{body}\r\n", body.len());
    socket.write_all((head + &chunk).as_bytes()).await.unwrap();
    if let Then::Stall = then {
        while socket.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
        left.send(()).unwrap();
    }
}

/// Reads until the request's JSON body has come: its last byte closes the outermost brace.
async fn read_request(socket: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while !(seen.ends_with(b"}") && balanced(&seen)) {
        let read = socket.read(&mut piece).await.unwrap();
        assert!(read > 0, "the client left before it had asked");
        seen.extend_from_slice(&piece[..read]);
    }
}

fn balanced(bytes: &[u8]) -> bool {
    let count = |wanted| bytes.iter().filter(|byte| **byte == wanted).count();
    count(b'{') == count(b'}')
}
