use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use reqwest::{Client, Version};
use tokio::sync::Notify;
use tracing::debug;
use url::Url;

use super::lanes::{Entry, Lanes, Protocol};
use super::settings::Settings;
use crate::{ErrorKind, ProviderError};

/// The connections to one server.
pub(crate) struct Host {
    settings: Settings,
    loopback: bool,
    open: Mutex<Open>,
    /// Held by the request whose turn it is; the lock queues the others in the order they came.
    turn: tokio::sync::Mutex<()>,
    /// Told when a place has become free.
    freed: Notify,
}

/// The clients, of which each has the lane of its index.
struct Open {
    lanes: Lanes,
    clients: Vec<Client>,
}

impl Host {
    pub(super) fn new(settings: Settings, url: &Url) -> Result<Self, ProviderError> {
        let loopback = is_loopback(url);
        let first = settings.client(loopback)?;
        let protocol = if settings.http2_prior_knowledge { Protocol::Http2 } else { Protocol::Unknown };
        // Without a pool, HTTP/2 streams do not share connections either.
        let pooled = settings.idle_connections_max > 0;
        let lanes = Lanes::new(
            settings.connections_max,
            if pooled { settings.streams_per_connection_max } else { 1 },
            settings.idle_connection_timeout,
            protocol,
            Instant::now(),
        );
        let open = Mutex::new(Open { lanes, clients: vec![first] });
        Ok(Self { settings, loopback, open, turn: tokio::sync::Mutex::default(), freed: Notify::new() })
    }

    /// Waits until one more request may be sent.
    ///
    /// # Cancel safety
    /// Dropping the future gives the turn to the next in line.
    pub(crate) async fn pass(self: &Arc<Self>) -> Result<Pass, ProviderError> {
        let _turn = self.turn.lock().await;
        loop {
            let entry = self.open.lock().lanes.enter();
            match entry {
                Entry::Lane(lane) => return Ok(self.pass_to(lane)),
                Entry::Open => self.open_lane().await?,
                Entry::Wait => self.wait().await,
            }
        }
    }

    fn pass_to(self: &Arc<Self>, lane: usize) -> Pass {
        let client = self.open.lock().clients[lane].clone();
        Pass { host: self.clone(), lane, client }
    }

    /// Adds a lane. Its client reads the system's certificates, which takes milliseconds.
    async fn open_lane(&self) -> Result<(), ProviderError> {
        let (settings, loopback) = (self.settings.clone(), self.loopback);
        let made = tokio::task::spawn_blocking(move || settings.client(loopback)).await;
        let client = made.map_err(|error| {
            ProviderError::new(ErrorKind::Transient, "the runtime is shutting down").caused_by(error)
        })??;
        let mut open = self.open.lock();
        open.lanes.open(Instant::now());
        open.clients.push(client);
        debug!(connections = open.clients.len(), "opened another connection");
        Ok(())
    }

    async fn wait(&self) {
        debug!(connections_max = self.settings.connections_max, "waiting for a free connection");
        self.freed.notified().await;
    }

    fn leave(&self, lane: usize) {
        let mut open = self.open.lock();
        open.lanes.leave(lane, Instant::now());
        let lanes = open.lanes.len();
        open.clients.truncate(lanes);
        drop(open);
        self.freed.notify_one();
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("lanes", &self.open.lock().lanes).finish_non_exhaustive()
    }
}

/// Leave to send one request, until it is dropped. To be held until the answer's body is over.
#[derive(Debug)]
pub(crate) struct Pass {
    host: Arc<Host>,
    lane: usize,
    client: Client,
}

impl Pass {
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Notes in which version the server answered; it may mean room for those who wait.
    pub(crate) fn spoke(&self, version: Version) {
        let protocol = if version == Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 };
        self.host.open.lock().lanes.spoke(protocol);
        self.host.freed.notify_one();
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.host.leave(self.lane);
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost" || host.ends_with(".localhost"), |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::Http;

    fn host(connections_max: usize) -> Arc<Host> {
        let http = Http::builder().connections_max(connections_max).streams_per_connection_max(2).build();
        http.unwrap().host(&Url::parse("http://a").unwrap()).unwrap()
    }

    #[tokio::test]
    async fn request_over_the_bound_waits_until_one_is_over() {
        let host = host(1);
        let first = host.pass().await.unwrap();
        let mut second = std::pin::pin!(host.pass());
        assert!(second.as_mut().now_or_never().is_none());

        drop(first);

        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn those_who_wait_are_served_in_their_order_and_may_give_up() {
        let host = host(1);
        let first = host.pass().await.unwrap();
        let mut gone = Box::pin(host.pass());
        let mut second = Box::pin(host.pass());
        let mut third = Box::pin(host.pass());
        for waiting in [&mut gone, &mut second, &mut third] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }

        drop(first);
        drop(gone);

        assert!(third.as_mut().now_or_never().is_none());
        assert!(second.now_or_never().is_some(), "the second had its pass and gave it back");
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn seeing_http2_lets_those_in_who_wait() {
        let host = host(1);
        let first = host.pass().await.unwrap();
        let mut second = std::pin::pin!(host.pass());
        assert!(second.as_mut().now_or_never().is_none());

        first.spoke(Version::HTTP_2);

        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn clients_are_opened_with_their_lanes() {
        let host = host(2);
        host.pass().await.unwrap().spoke(Version::HTTP_2);

        let passes: Vec<Pass> =
            futures_util::future::try_join_all((0..4).map(|_| host.pass())).await.unwrap();

        assert_eq!(passes.iter().map(|pass| pass.lane).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert_eq!(host.open.lock().clients.len(), 2);
    }

    #[test]
    fn this_machine_is_told_from_others() {
        let is = |url: &str| is_loopback(&Url::parse(url).unwrap());

        assert!(is("http://localhost:1") && is("http://127.0.0.9") && is("http://[::1]:8080"));
        assert!(!is("http://localhost.example") && !is("http://10.0.0.1") && !is("http://[fe80::1]"));
    }
}
