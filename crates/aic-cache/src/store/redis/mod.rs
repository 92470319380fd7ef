//! Entries in a Redis server.

mod breaker;
mod builder;

use std::{fmt, sync::Arc, time::Duration};

use ::redis::{FromRedisValue, Pipeline};
use async_trait::async_trait;
use bytes::Bytes;
use deadpool_redis::{Pool, PoolError};
use parking_lot::Mutex;

use self::breaker::Breaker;
pub use self::builder::RedisStoreBuilder;
use super::{Found, Put, PutOptions, Shared, Store, TierStats, size};
use crate::{BoxError, Clock, Error, Fingerprint, Result, clock::whole_ms};

/// The longest time to live Redis is asked for; longer ones overflow its clock.
const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Entries in one Redis server, shared by all processes that use it.
///
/// A cache must never make a request slower than the answer it saves, so every call has a deadline of a few
/// milliseconds, and after three failures in a row the server is left alone for a second at a time; calls
/// then fail at once with [`Error::Unavailable`]. A server that comes back is used again within a second.
///
/// Connections come from a pool. Taking one costs a `PING`, one round trip, which finds dead connections
/// before they are used. TLS, Sentinel and Cluster are not supported yet. Needs a Tokio runtime with time
/// and I/O.
///
/// ```no_run
/// # async fn example() -> aic_cache::Result<()> {
/// use aic_cache::{MemoryStore, RedisStore, Tiered};
///
/// let store = Tiered::new(MemoryStore::new(64 << 20), RedisStore::connect("redis://127.0.0.1:6379").await?);
/// # Ok(()) }
/// ```
///
/// Clones share the connections and the breaker.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    pool: Pool,
    clock: Arc<dyn Clock>,
    breaker: Mutex<Breaker>,
    deadline: Duration,
    entry_bytes_max: u64,
    /// Host and port, no credentials.
    address: String,
    prefix: String,
}

impl RedisStore {
    /// Starts describing a store at `url`: `redis://[user:password@]host[:port][/db]`, or a Unix socket as
    /// `unix:///path`.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url.into())
    }

    /// Sets up the store at `url` with default settings and asks it for a sign of life.
    ///
    /// # Errors
    /// [`Error::Setup`] if `url` is no address, [`Error::Unavailable`] if nothing answers there in time.
    pub async fn connect(url: impl Into<String>) -> Result<Self> {
        let store = Self::lazy(url)?;
        store.ping().await?;
        Ok(store)
    }

    /// Sets up the store at `url` with default settings without asking it anything: it is unavailable until
    /// the server is there, and in use from then on.
    ///
    /// # Errors
    /// [`Error::Setup`] if `url` is no address.
    pub fn lazy(url: impl Into<String>) -> Result<Self> {
        Self::builder(url).build()
    }

    /// Asks the server for a sign of life, under the same deadline and breaker as every call.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with the reason as its source.
    pub async fn ping(&self) -> Result<()> {
        self.ask(Pipeline::new().cmd("PING").ignore()).await
    }

    /// The server's address without credentials, as in `127.0.0.1:6379`.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Carries out `commands` in one round trip if the breaker allows, within the deadline.
    async fn ask<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T> {
        let admitted = self.0.breaker.lock().admit(self.0.clock.now());
        admitted.map_err(|pause| self.unavailable(LeftAlone { pause }))?;
        let answer = tokio::time::timeout(self.0.deadline, self.query(commands)).await;
        let answer = answer.unwrap_or_else(|_| Err(Late { deadline: self.0.deadline }.into()));
        self.0.breaker.lock().record(answer.is_ok(), self.0.clock.now());
        answer.map_err(|source| self.unavailable(source))
    }

    async fn query<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, BoxError> {
        let mut connection = self.0.pool.get().await.map_err(plain)?;
        Ok(commands.query_async(&mut connection).await?)
    }

    fn unavailable(&self, source: impl Into<BoxError>) -> Error {
        Error::Unavailable { store: format!("redis at {}", self.0.address), source: source.into() }
    }

    fn name(&self, key: &Fingerprint) -> String {
        format!("{}{key}", self.0.prefix)
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: &Fingerprint) -> Result<Option<Found>> {
        let name = self.name(key);
        let (bytes, ttl): (Option<Vec<u8>>, i64) =
            self.ask(Pipeline::new().cmd("GET").arg(&name).cmd("PTTL").arg(&name)).await?;
        let ttl = u64::try_from(ttl).ok().map(Duration::from_millis); // -1: no end, -2: just gone
        Ok(bytes.map(|bytes| Found::new(bytes.into(), "redis").ttl(ttl)))
    }

    async fn put(&self, key: &Fingerprint, bytes: Bytes, options: PutOptions) -> Result<Put> {
        if size(&bytes) > self.0.entry_bytes_max {
            self.remove(key).await?;
            return Ok(Put::TooLarge { bytes: size(&bytes), limit: self.0.entry_bytes_max });
        }
        let mut commands = Pipeline::new();
        commands.cmd("SET").arg(self.name(key)).arg(&bytes[..]).ignore();
        if let Some(ttl) = options.ttl {
            commands.arg("PX").arg(whole_ms(ttl.min(TTL_MAX)).max(1));
        }
        self.ask::<()>(&commands).await?;
        Ok(Put::Stored { bytes: size(&bytes) })
    }

    async fn remove(&self, key: &Fingerprint) -> Result<()> {
        self.ask(Pipeline::new().cmd("UNLINK").arg(self.name(key)).ignore()).await
    }

    fn shared(&self) -> Shared {
        Shared::default()
    }

    fn tiers(&self) -> Vec<TierStats> {
        vec![TierStats::new("redis")]
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("address", &self.0.address)
            .field("prefix", &self.0.prefix)
            .field("deadline", &self.0.deadline)
            .finish_non_exhaustive()
    }
}

/// Redis's own error instead of the pool's, which repeats it in longer words.
fn plain(error: PoolError) -> BoxError {
    match error {
        PoolError::Backend(error) => error.into(),
        other => other.into(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("left alone for {} ms more after repeated failures", pause.as_millis())]
struct LeftAlone {
    pause: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", deadline.as_millis())]
struct Late {
    deadline: Duration,
}
