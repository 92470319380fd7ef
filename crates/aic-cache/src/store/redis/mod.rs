//! Entries in Redis.

mod address;
mod breaker;
mod builder;
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

use ::redis::{Arg, FromRedisValue, Pipeline, RedisResult};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::timeout;
use tracing::{debug, info, warn};

pub use self::builder::RedisStoreBuilder;
use self::{
    breaker::{Change, Shut},
    dialer::Connection,
    failure::Failure,
    pool::{Pool, Pooled},
    shards::{Shard, Shards},
};
use super::{Found, Put, PutOptions, Shared, Store, TierStats, size};
use crate::{BoxError, Clock, Error, Fingerprint, Result, clock::whole_ms};

/// The longest time to live Redis is asked for; longer ones overflow its clock.
const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Entries in Redis, shared by all processes that use it: one server, the master of a service that Sentinels
/// watch, or a Cluster.
///
/// A cache must never make a request slower than the answer it saves, so every call has a deadline of a few
/// milliseconds, and after three failures in a row the server is left alone; calls then fail at once with
/// [`Error::Unavailable`]. Every quarter of a second one of them has the server probed behind its back, so a
/// server that is there again is used again within that time. In a Cluster this goes by groups of hash slots:
/// one master's failure leaves the others in use.
///
/// A server that refuses single commands stays in use: one that is read-only or full still finds entries, and
/// only puts fail. A read-only server also has its connections replaced once in every pause, because the
/// master may be elsewhere by now.
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
    pause: Duration,
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

    /// Where the store is, without credentials: `127.0.0.1:6379`, `a:26379,b:26379/service` or `a:7000,b:7000`.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Carries out `commands` in one round trip if the breaker allows, within the deadline. Where the
    /// connection ends, they may be carried out twice.
    async fn ask<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T> {
        let name = self.name_in(commands);
        let shard = self.0.shards.of(name);
        if let Err(shut) = self.0.shards.admit(shard, self.0.clock.now()) {
            self.refuse(shut, shard, name);
            return Err(self.unavailable(LeftAlone { pause: shut.pause }));
        }
        let limit = self.0.connect_timeout + self.0.response_timeout;
        let answer = timeout(limit, self.attempt_twice(commands)).await;
        let answer = answer.unwrap_or(Err(Failure::Late { limit }));
        let served = answer.as_ref().map_or_else(Failure::served, |_| Some(true));
        served.inspect(|&served| self.record(shard, served));
        answer.map_err(|failure| self.unavailable(failure))
    }

    async fn attempt_twice<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Failure> {
        match self.attempt(commands).await {
            Err(Failure::Broken(_)) => self.attempt(commands).await,
            answer => answer,
        }
    }

    async fn attempt<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Failure> {
        let begun = tokio::time::Instant::now();
        let connecting = |error| Failure::connecting(error, self.0.connect_timeout);
        let mut pooled = self.0.pool.get().await.map_err(connecting)?;
        let limit = self.0.response_timeout;
        let answer = timeout(limit, commands.query_async(&mut pooled.connection)).await;
        let answer: Result<T, Failure> =
            answer.map_or(Err(Failure::Late { limit }), |answer| answer.map_err(Failure::from));
        let cluster = matches!(pooled.connection, Connection::Cluster(_));
        match &answer {
            // What else was connected then is as dead; but a Cluster's other nodes may be well.
            Err(Failure::Broken(_)) => {
                if !cluster {
                    self.0.pool.manager().outdate(begun);
                }
                pool::discard(pooled);
            }
            // A reply that is still to come would hold up the next caller.
            Err(Failure::Late { .. }) if !cluster => pool::discard(pooled),
            Err(Failure::ReadOnly(_)) => self.look_for_the_master(begun),
            _ => {}
        }
        answer
    }

    /// Replaces the connections, at most once per pause: a server may well be read-only for good.
    fn look_for_the_master(&self, begun: tokio::time::Instant) {
        let (mut replaced, now) = (self.0.replaced.lock(), self.0.clock.now());
        if replaced.is_none_or(|at| now.saturating_duration_since(at) >= self.0.pause) {
            *replaced = Some(now);
            self.0.pool.manager().outdate(begun);
        }
    }

    fn refuse(&self, shut: Shut, shard: Shard, name: Option<&[u8]>) {
        if shut.probe {
            tokio::spawn(self.clone().probe(shard, name.map(<[u8]>::to_vec)));
        }
    }

    /// Finds out on a new connection whether the server is back. Nobody waits for this, so it may take longer
    /// than a call.
    async fn probe(self, shard: Shard, name: Option<Vec<u8>>) {
        let begun = tokio::time::Instant::now();
        let source = self.0.pool.manager();
        match self.sign_of_life(begun, name).await {
            Ok(connection) => {
                source.outdate(begun);
                source.spare(connection);
                self.record(shard, true);
            }
            Err(error) => {
                debug!(%error, store = self.0.address, "still unavailable");
                self.record(shard, false);
            }
        }
    }

    /// A Cluster is asked about a name, so that the node which serves it answers.
    async fn sign_of_life(
        &self,
        begun: tokio::time::Instant,
        name: Option<Vec<u8>>,
    ) -> Result<Pooled, Failure> {
        let mut pooled = self.0.pool.manager().connect(begun).await?;
        let question = match name {
            Some(name) => ::redis::cmd("EXISTS").arg(name).to_owned(),
            None => ::redis::cmd("PING"),
        };
        let limit = self.0.response_timeout;
        let answer: RedisResult<()> = timeout(limit, question.exec_async(&mut pooled.connection))
            .await
            .map_err(|_| Failure::Late { limit })?;
        match answer.map_err(Failure::from) {
            Err(failure) if failure.served() == Some(false) => Err(failure),
            _ => Ok(pooled),
        }
    }

    fn record(&self, shard: Shard, served: bool) {
        match self.0.shards.record(shard, served, self.0.clock.now()) {
            Some(Change::Opened) => {
                warn!(store = self.0.address, ?shard, "left alone after repeated failures");
            }
            Some(Change::Closed) => info!(store = self.0.address, ?shard, "in use again"),
            None => {}
        }
        if !served && self.0.shards.all_shut() {
            // The client of a Cluster never rests while it looks for nodes that are gone.
            self.0.pool.retain(|_, _| false);
            self.0.pool.manager().forget();
        }
    }

    /// The first name of ours in `commands`.
    fn name_in<'a>(&self, commands: &'a Pipeline) -> Option<&'a [u8]> {
        let arguments = commands.cmd_iter().flat_map(|command| command.args_iter().skip(1));
        arguments
            .filter_map(|argument| match argument {
                Arg::Simple(bytes) => Some(bytes),
                _ => None,
            })
            .find(|bytes| bytes.starts_with(self.0.prefix.as_bytes()))
    }

    fn unavailable(&self, source: impl Into<BoxError>) -> Error {
        Error::Unavailable { store: format!("redis at {}", self.0.address), source: source.into() }
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

#[derive(Debug, thiserror::Error)]
#[error("left alone for {} ms more after repeated failures", pause.as_millis())]
struct LeftAlone {
    pause: Duration,
}
