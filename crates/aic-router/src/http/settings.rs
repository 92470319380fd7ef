use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect};

use super::Proxy;
use crate::{ErrorKind, ProviderError};

/// What one HTTP/2 stream may send ahead of its reader, in bytes.
///
/// It bounds the memory of an answer nobody reads, and the speed of one stream: 5 MB/s over a way of 100 ms.
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
/// The most that any window may be, by [RFC 9113](https://www.rfc-editor.org/rfc/rfc9113#section-6.9.1).
const WINDOW_BYTES_MAX: usize = (1 << 31) - 1;
/// How often a busy HTTP/2 connection is asked whether it lives, and how long it may take to say so. Without,
/// one that died silently would be given new requests until TCP gives up, after a quarter of an hour.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How connections are made; each field is described at [`HttpBuilder`](super::HttpBuilder).
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) connections_max: usize,
    pub(super) idle_connections_max: usize,
    pub(super) streams_per_connection_max: usize,
    pub(super) connect_timeout: Duration,
    pub(super) idle_connection_timeout: Duration,
    pub(super) http2_prior_knowledge: bool,
    pub(super) route: Route,
    #[cfg(feature = "rustls")]
    pub(super) roots: Vec<reqwest::Certificate>,
}

/// Which way requests go.
#[derive(Clone, Debug)]
pub(super) enum Route {
    /// As the environment says.
    Environment,
    Direct,
    Through(Proxy),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 100,
            idle_connections_max: 50,
            streams_per_connection_max: 100,
            connect_timeout: Duration::from_secs(5),
            idle_connection_timeout: Duration::from_secs(90),
            http2_prior_knowledge: false,
            route: Route::Environment,
            #[cfg(feature = "rustls")]
            roots: Vec::new(),
        }
    }
}

impl Settings {
    /// A client with a pool of its own. `loopback` says that it will talk to this machine only.
    ///
    /// Redirects are not followed: a key in a header of its own would be carried to the other server.
    pub(super) fn client(&self, loopback: bool) -> Result<Client, ProviderError> {
        let builder = Client::builder()
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(self.idle_connection_timeout)
            .pool_max_idle_per_host(self.idle_connections_max)
            .tcp_nodelay(true)
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("aic-router/", env!("CARGO_PKG_VERSION")));
        let builder = self.trusted(self.routed(self.http2(builder), loopback).map_err(not_started)?);
        builder.build().map_err(not_started)
    }

    /// No stream can use up its connection's window and so hold up its neighbours.
    fn http2(&self, builder: ClientBuilder) -> ClientBuilder {
        let all = (STREAM_WINDOW_BYTES as usize).saturating_mul(self.streams_per_connection_max);
        let builder = builder
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(all.min(WINDOW_BYTES_MAX) as u32)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT);
        if self.http2_prior_knowledge { builder.http2_prior_knowledge() } else { builder }
    }

    fn routed(&self, builder: ClientBuilder, loopback: bool) -> reqwest::Result<ClientBuilder> {
        Ok(match &self.route {
            Route::Environment if !loopback => builder,
            Route::Environment | Route::Direct => builder.no_proxy(),
            Route::Through(proxy) => builder.proxy(proxy.to_reqwest()?),
        })
    }

    #[cfg(feature = "rustls")]
    fn trusted(&self, builder: ClientBuilder) -> ClientBuilder {
        builder.tls_certs_merge(self.roots.iter().cloned())
    }

    #[cfg(not(feature = "rustls"))]
    fn trusted(&self, builder: ClientBuilder) -> ClientBuilder {
        builder
    }
}

fn not_started(error: reqwest::Error) -> ProviderError {
    ProviderError::new(ErrorKind::Unsupported, "the HTTP client did not start").caused_by(error)
}
