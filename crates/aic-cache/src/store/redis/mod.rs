//! Entries in Redis.

mod address;
mod breaker;
mod builder;
mod call;
mod dialer;
mod epoch_log;
mod failure;
mod leases;
mod pool;
mod scripts;
mod shards;
mod tls;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use ::redis::Pipeline;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

pub use self::builder::RedisStoreBuilder;
use self::{pool::Pool, shards::Shards};
use super::{Found, Put, PutOptions, Shared, Store, TierStats, size};
use crate::{Clock, Fingerprint, Result, clock::whole_ms};

/// The longest time to live Redis is asked for; longer ones overflow its clock.
const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Entries in Redis, shared by all processes that use it: one server, the master of a service that Sentinels
/// watch, or a Cluster.
///
/// A cache must never make a request slower than the answer it saves, so every call has a deadline of a few
/// milliseconds, and after three failures in a row the server is left alone; calls then fail at once with
/// [`Error::Unavailable`](crate::Error::Unavailable). Every quarter of a second one of them has the server
/// probed behind its back, so a server that is there again is used again within that time. In a Cluster this
/// goes by groups of hash slots: one master's failure leaves the others in use.
///
/// A server that refuses single commands stays in use: one that is read-only or full still finds entries, and
/// only puts fail. A read-only server also has its connections replaced once a second, because the master may
/// be elsewhere by now.
///
/// Connections come from a pool. One that was idle for a second is asked for a sign of life before it is used,
/// and a call whose connection ends makes a second attempt on a new one. Clones share all this.
///
/// Needs a Tokio runtime with time and I/O.
///
/// ```no_run
/// # async fn example() -> aic_cache::Result<()> {
/// use aic_cache::{MemoryStore, RedisStore, Tiered};
///
/// let store = Tiered::new(MemoryStore::new(64 << 20), RedisStore::connect("redis://127.0.0.1:6379").await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    pool: Pool,
    clock: Arc<dyn Clock>,
    shards: Shards,
    connect_timeout: Duration,
    response_timeout: Duration,
    /// When connections were last replaced because a server took no writes.
    replaced: Mutex<Option<Instant>>,
    entry_bytes_max: u64,
    /// Hosts and ports, no credentials.
    address: String,
    prefix: String,
}

impl RedisStore {
    /// Starts describing a store at `url`:
    ///
    /// | Redis is | `url` |
    /// |---|---|
    /// | one server | `redis://[user:password@]host[:port][/db]` |
    /// | one server, by Unix socket | `unix:///path[?db=3&user=…&pass=…]` |
    /// | watched by Sentinels | `redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]` |
    /// | a Cluster | `redis+cluster://[user:password@]host[:port],host[:port]` |
    ///
    /// `rediss` in place of `redis` speaks TLS (feature `rustls`), with Sentinels too. The credentials are for
    /// the servers; Sentinels are asked without. A Cluster is found if one of the hosts named answers.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url.into())
    }

    /// Sets up the store at `url` with default settings and asks it for a sign of life.
    ///
    /// # Errors
    /// [`Error::Setup`](crate::Error::Setup) if `url` is no address,
    /// [`Error::Unavailable`](crate::Error::Unavailable) if nothing answers there in time.
    pub async fn connect(url: impl Into<String>) -> Result<Self> {
        let store = Self::lazy(url)?;
        store.ping().await?;
        Ok(store)
    }

    /// Sets up the store at `url` with default settings without asking it anything: it is unavailable until
    /// the server is there, and in use from then on.
    ///
    /// # Errors
    /// [`Error::Setup`](crate::Error::Setup) if `url` is no address.
    pub fn lazy(url: impl Into<String>) -> Result<Self> {
        Self::builder(url).build()
    }

    /// Asks the server for a sign of life, under the same deadline and breaker as every call.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) with the reason as its source.
    pub async fn ping(&self) -> Result<()> {
        self.ask(Pipeline::new().cmd("PING").ignore()).await
    }

    /// Where the store is, without credentials: `127.0.0.1:6379`, `a:26379,b:26379/service` or `a:7000,b:7000`.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// The name of an entry. The braces make it share a hash slot with all that is named after it.
    fn name(&self, key: &Fingerprint) -> String {
        format!("{}{{{key}}}", self.0.prefix)
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: &Fingerprint) -> Result<Option<Found>> {
        let name = self.name(key);
        let (bytes, ttl): (Option<Vec<u8>>, i64) =
            self.ask(Pipeline::new().cmd("GET").arg(&name).cmd("PTTL").arg(&name)).await?;
        Ok(bytes.and_then(|bytes| Some(Found::new(bytes.into(), "redis").ttl(time_left(ttl)?))))
    }

    async fn put(&self, key: &Fingerprint, bytes: Bytes, options: PutOptions) -> Result<Put> {
        if let Some(fence) = options.fence {
            return self.put_under(fence, key, &bytes, options.ttl).await;
        }
        if size(&bytes) > self.0.entry_bytes_max {
            self.remove(key).await?;
            return Ok(Put::TooLarge { bytes: size(&bytes), limit: self.0.entry_bytes_max });
        }
        let mut commands = Pipeline::new();
        commands.cmd("SET").arg(self.name(key)).arg(&bytes[..]).ignore();
        if let Some(ttl) = options.ttl {
            commands.arg("PX").arg(ttl_ms(ttl));
        }
        self.ask::<()>(&commands).await?;
        Ok(Put::Stored { bytes: size(&bytes) })
    }

    async fn remove(&self, key: &Fingerprint) -> Result<()> {
        self.ask(Pipeline::new().cmd("UNLINK").arg(self.name(key)).ignore()).await
    }

    fn shared(&self) -> Shared {
        Shared::default().epochs(self.clone()).leases(self.clone())
    }

    fn tiers(&self) -> Vec<TierStats> {
        vec![TierStats::new("redis")]
    }
}

/// What Redis says of an entry's time: the milliseconds left, -1 for no end, anything else below zero if the
/// entry has just gone.
fn time_left(ttl: i64) -> Option<Option<Duration>> {
    match ttl {
        -1 => Some(None),
        ttl => u64::try_from(ttl).ok().map(|ms| Some(Duration::from_millis(ms))),
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("address", &self.0.address)
            .field("prefix", &self.0.prefix)
            .field("connect_timeout", &self.0.connect_timeout)
            .field("response_timeout", &self.0.response_timeout)
            .finish_non_exhaustive()
    }
}

/// `ttl` in milliseconds as Redis takes it: at least one, at most what its clock can hold.
fn ttl_ms(ttl: Duration) -> u64 {
    whole_ms(ttl.min(TTL_MAX)).max(1)
}
