//! A server on loopback that speaks HTTP/2, and holds every answer back after its first event.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// As many as most servers allow.
const STREAMS_MAX: u32 = 100;

pub(crate) struct Http2Server {
    address: SocketAddr,
    go_on: watch::Sender<bool>,
    seen: watch::Sender<Seen>,
}

/// What came so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) streams: usize,
    pub(crate) resets: usize,
}

impl Http2Server {
    /// Answers every request with event streams, `first` at once and `rest` when told to; without TLS.
    pub(crate) async fn start(first: &'static str, rest: &'static str) -> Self {
        Self::launch(None, first, rest).await
    }

    /// The same over TLS.
    #[cfg(feature = "rustls")]
    pub(crate) async fn start_tls(tls: TlsAcceptor, first: &'static str, rest: &'static str) -> Self {
        Self::launch(Some(tls), first, rest).await
    }

    async fn launch(tls: Option<TlsAcceptor>, first: &'static str, rest: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (go_on, seen) = (watch::Sender::new(false), watch::Sender::default());
        let script = Script { first, rest, go_on: go_on.subscribe(), seen: seen.clone() };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                script.note(|seen| seen.connections += 1);
                let (script, tls) = (script.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(socket, script).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                serve(socket, script).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, go_on, seen }
    }

    #[cfg(feature = "rustls")]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Says the rest of every answer.
    pub(crate) fn go_on(&self) {
        self.go_on.send_replace(true);
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// Waits until what was seen is as wanted.
    pub(crate) async fn until(&self, wanted: impl FnMut(&Seen) -> bool) {
        self.seen.subscribe().wait_for(wanted).await.unwrap();
    }
}

#[derive(Clone)]
struct Script {
    first: &'static str,
    rest: &'static str,
    go_on: watch::Receiver<bool>,
    seen: watch::Sender<Seen>,
}

impl Script {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        self.seen.send_modify(change);
    }
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin, script: Script) {
    let mut builder = h2::server::Builder::new();
    let handshake = builder.max_concurrent_streams(STREAMS_MAX).handshake::<_, Bytes>(socket);
    let Ok(mut connection) = handshake.await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        script.note(|seen| seen.streams += 1);
        tokio::spawn(answer(request.into_body(), respond, script.clone()));
    }
}

async fn answer(mut asked: RecvStream, mut respond: SendResponse<Bytes>, script: Script) {
    while let Some(piece) = asked.data().await {
        asked.flow_control().release_capacity(piece.unwrap().len()).unwrap();
    }
    let head = Response::builder().header("content-type", "text/event-stream").body(()).unwrap();
    let mut body = respond.send_response(head, false).unwrap();
    body.send_data(script.first.into(), false).unwrap();
    let mut go_on = script.go_on.clone();
    let told = async { drop(go_on.wait_for(|go_on| *go_on).await) };
    if is_reset_before(told, &mut body).await {
        return script.note(|seen| seen.resets += 1);
    }
    body.send_data(script.rest.into(), false).unwrap();
    // The end comes in a frame of its own, as from a server that has to think about it.
    if is_reset_before(tokio::time::sleep(Duration::from_millis(10)), &mut body).await {
        return script.note(|seen| seen.resets += 1);
    }
    body.send_data(Bytes::new(), true).unwrap();
}

async fn is_reset_before(time: impl Future<Output = ()>, body: &mut SendStream<Bytes>) -> bool {
    tokio::select! {
        _ = poll_fn(|cx| body.poll_reset(cx)) => true,
        () = time => false,
    }
}
