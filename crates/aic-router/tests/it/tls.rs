//! Servers with TLS, reached through a proxy's tunnel.

use std::net::SocketAddr;
use std::sync::Arc;

use aic_router::{ChatRequest, ErrorKind, Http, Provider, Proxy};
use futures_util::future::join_all;
use rcgen::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::connections::{FIRST, REST, ask, provider};
use crate::http2_server::Http2Server;

#[tokio::test]
async fn server_with_our_own_authority_is_reached_through_a_tunnel_with_http2() {
    let (tls, pem) = certified("model.test");
    let server = Http2Server::start_tls(tls, FIRST, REST).await;
    server.go_on();
    let tunnel = Proxy::new(&format!("http://{}", tunnel_to(server.address()).await)).unwrap();
    let trusting = Http::builder().proxy(tunnel.clone()).ca_certificates(pem);
    let provider = |http| provider("https://model.test/v1", http);

    let trusting = provider(trusting);
    join_all((0..3).map(|_| ask(&trusting))).await;

    let error = provider(Http::builder().proxy(tunnel)).chat("m", &ChatRequest::user("hi")).await;
    assert_eq!(error.err().map(|error| error.kind().clone()), Some(ErrorKind::Unreachable));
    assert_eq!(server.seen().streams, 3);
}

/// A certificate for `name`, signed by itself: a server's TLS, offering HTTP/2, and what to trust.
fn certified(name: &str) -> (TlsAcceptor, String) {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(vec![cert.der().clone()], key.into()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}

/// A proxy that tunnels to `server`, whatever it is asked for.
async fn tunnel_to(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(tunnel(client, server));
        }
    });
    address
}

async fn tunnel(mut client: TcpStream, server: SocketAddr) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"CONNECT model.test:443 HTTP/1.1\r\n"), "{}", head.escape_ascii());
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let mut server = TcpStream::connect(server).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
