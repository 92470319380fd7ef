use std::{fmt, sync::Arc, time::Duration};

use deadpool::{Runtime, managed::QueueMode};
use parking_lot::Mutex;

use super::{
    Inner, RedisStore,
    address::Address,
    breaker::Breaker,
    dialer::Dialer,
    pool::{Pool, Source},
    shards::Shards,
    tls::Trust,
};
use crate::{BoxError, Clock, Error, Result, SystemClock};

/// The settings of a [`RedisStore`].
#[derive(Clone)]
#[must_use]
pub struct RedisStoreBuilder {
    url: String,
    prefix: String,
    connect_timeout: Duration,
    response_timeout: Duration,
    connections: usize,
    entry_bytes_max: u64,
    pause: Duration,
    trust: Trust,
    clock: Arc<dyn Clock>,
}

impl RedisStoreBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            prefix: "aic:cache:".to_owned(),
            connect_timeout: Duration::from_millis(50),
            response_timeout: Duration::from_millis(10),
            connections: 8,
            entry_bytes_max: 1 << 20,
            pause: Duration::from_millis(250),
            trust: Trust::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// What every key in Redis begins with.
    ///
    /// Defaults to `aic:cache:`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a call waits for a connection. One that has to connect first may take this and the response
    /// timeout together, never longer. Connecting itself may go on for a second; the next call then has it.
    ///
    /// Defaults to 50 ms.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may take to answer one command.
    ///
    /// Defaults to 10 ms.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How many connections the pool holds at most, each for one call at a time; at least 1. The nodes of a
    /// Cluster are connected to once each, and this is the number of calls that are under way. A call for which
    /// there is no room within the response timeout fails without being counted against the server.
    ///
    /// Defaults to 8.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// The largest entry that is sent, in bytes. It has to arrive within the response timeout.
    ///
    /// Defaults to 1 MiB, which takes 8 ms at 1 Gbit/s.
    pub fn entry_bytes_max(mut self, bytes: u64) -> Self {
        self.entry_bytes_max = bytes;
        self
    }

    /// How long the server is left alone after three failures in a row, and between two probes after that.
    ///
    /// Defaults to 250 ms.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The clock that measures the pause.
    ///
    /// Defaults to [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Certificates of the authorities to believe, in PEM, in place of those of the web: for a server with
    /// TLS whose certificate is of one's own making.
    ///
    /// Defaults to Mozilla's list.
    #[cfg(feature = "rustls")]
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.trust.ca_certificates = Some(pem.into());
        self
    }

    /// Sets the store up without connecting.
    ///
    /// # Errors
    /// [`Error::Setup`] if the URL is not understood or asks for something this build lacks, such as TLS.
    pub fn build(self) -> Result<RedisStore> {
        let address = Address::parse(&self.url).map_err(setup)?;
        let breaker = Breaker::new(3, self.pause);
        let shards = match &address {
            Address::Cluster(_) => Shards::of_cluster(&breaker),
            Address::Server(_) | Address::Sentinel { .. } => Shards::one(breaker),
        };
        let shown = address.to_string();
        let inner = Inner {
            pool: self.pool(address)?,
            shards,
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
            replaced: Mutex::default(),
            clock: self.clock,
            entry_bytes_max: self.entry_bytes_max,
            address: shown,
            prefix: self.prefix,
        };
        Ok(RedisStore(Arc::new(inner)))
    }

    fn pool(&self, address: Address) -> Result<Pool> {
        let (connect, response) = (self.connect_timeout, self.response_timeout);
        let dialer = Dialer::new(address, self.trust.clone(), connect, response).map_err(setup)?;
        let connections = self.connections.max(1);
        let pool = Pool::builder(Source::new(dialer, connect, response, connections))
            .max_size(connections)
            .queue_mode(QueueMode::Lifo)
            .wait_timeout(Some(response))
            .create_timeout(Some(connect))
            .runtime(Runtime::Tokio1);
        pool.build().map_err(setup)
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("url", &"***")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The URL stays out of the error: it may hold a password.
fn setup(source: impl Into<BoxError>) -> Error {
    Error::Setup { store: "redis".to_owned(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_never_printed() {
        let builder = RedisStore::builder("redis://me:hunter2@127.0.0.1:1/3");
        let printed = format!("{builder:?} {:?}", builder.clone().build().unwrap());

        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("127.0.0.1:1"), "{printed}");
    }

    #[test]
    fn url_that_is_no_address_is_refused_without_repeating_it() {
        for url in ["hunter2", "http://me:hunter2@host", "redis://me:hunter2@host:notaport"] {
            let error = RedisStore::lazy(url).unwrap_err();

            assert!(matches!(error, Error::Setup { .. }));
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
