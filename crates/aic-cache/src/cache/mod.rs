//! The typed cache over a store.

mod builder;
mod control;
mod lead;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tracing::{debug, warn};

pub use self::{builder::CacheBuilder, control::CacheControl, lead::LeadGuard};
use crate::{
    CacheStats, Clock, Fingerprint, Found, Put, PutOptions, Result, Store, Worth,
    entry::Entry,
    flight::{Flights, Turn},
    stats::Counters,
};

/// Answers of type `V`, kept under fingerprints. Cheap to clone; clones are the same cache.
///
/// Three ways to use it, from the most convenient to the most general:
/// - [`get_or_try_compute`](Cache::get_or_try_compute) takes the computation as a closure;
/// - [`begin`](Cache::begin) gives either the answer or a [`LeadGuard`], to be finished when the answer is
///   complete: for answers that are streamed while they are computed;
/// - [`lookup`](Cache::lookup) and [`put`](Cache::put) leave everything to the caller.
///
/// The first two let only one of many concurrent callers with the same key compute.
///
/// A store that is down is a miss, a damaged entry is a miss; neither is ever an error.
///
/// # Freshness
/// An answer is used until its time to live is over, as told by the cache's [`Clock`] and written in the
/// entry itself. The cache's own time to live is spread by ±10 %, by key, so that what was stored together
/// does not expire together; a time to live given with a call is kept as it is.
pub struct Cache<V> {
    inner: Arc<Inner<V>>,
}

struct Inner<V> {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    worth: Box<dyn Fn(&V) -> Worth + Send + Sync>,
    flights: Arc<Flights<V>>,
    counters: Counters,
}

/// An answer from the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hit<V> {
    /// The answer.
    pub value: V,
    /// How long ago it was stored, as in HTTP's `Age`.
    pub age: Duration,
    /// Where it was found, as in `"memory"` or `"redis"`; `"coalesced"` if another caller just computed it.
    pub tier: &'static str,
}

/// The result of a look into the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<V> {
    /// There is a fresh answer.
    Hit(Hit<V>),
    /// There is none.
    Miss(MissReason),
}

/// Why there is no answer in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissReason {
    /// The store has none.
    Absent,
    /// There is one, but older than its time to live or the caller's limit.
    Expired,
    /// There is one, but its bytes are not what was written, or not of this type.
    Damaged,
    /// The caller wanted none: [`CacheControl::no_cache`].
    Bypassed,
    /// The store could not tell.
    Unavailable,
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            MissReason::Absent => "absent",
            MissReason::Expired => "expired",
            MissReason::Damaged => "damaged",
            MissReason::Bypassed => "bypassed",
            MissReason::Unavailable => "store unavailable",
        })
    }
}

/// The result of [`Cache::begin`].
#[derive(Debug)]
pub enum Begin<V> {
    /// There is an answer.
    Hit(Hit<V>),
    /// There is none, and it is this caller's part to compute it.
    Lead(LeadGuard<V>),
}

/// What a computation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Computed<V> {
    /// A complete answer, to be stored and shared.
    Store(V),
    /// An answer for this caller alone: cut short, refused, or random on purpose.
    Discard(V),
}

/// An answer and how it was come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<V> {
    /// From the cache.
    Hit(Hit<V>),
    /// Computed by this call.
    Computed(V),
}

impl<V> Answer<V> {
    /// The answer itself.
    pub fn into_value(self) -> V {
        match self {
            Answer::Hit(hit) => hit.value,
            Answer::Computed(value) => value,
        }
    }

    /// Whether it came from the cache.
    pub fn is_hit(&self) -> bool {
        matches!(self, Answer::Hit(_))
    }
}

impl<V> Cache<V> {
    /// Starts describing a cache that keeps its answers in `store`.
    pub fn builder(store: impl Store) -> CacheBuilder<V> {
        CacheBuilder::new(Arc::new(store))
    }

    /// What this cache has done so far.
    pub fn stats(&self) -> CacheStats {
        self.inner.counters.snapshot()
    }

    /// Forgets the answer to `key`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the store could not be asked and may still have it.
    pub async fn remove(&self, key: &Fingerprint) -> Result<()> {
        self.inner.store.remove(key).await
    }
}

impl<V> Cache<V>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    /// Returns the answer to `key`, if there is a fresh one.
    pub async fn get(&self, key: &Fingerprint) -> Option<Hit<V>> {
        match self.lookup(key, &CacheControl::default()).await {
            Lookup::Hit(hit) => Some(hit),
            Lookup::Miss(_) => None,
        }
    }

    /// Looks for the answer to `key`. Does not wait for anybody who is computing it.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn lookup(&self, key: &Fingerprint, control: &CacheControl) -> Lookup<V> {
        let lookup = self.find(key, control).await;
        match &lookup {
            Lookup::Hit(hit) => self.count_hit(hit),
            Lookup::Miss(reason) => self.inner.counters.miss(*reason),
        }
        lookup
    }

    /// Stores a complete answer to `key`, unless `control` says not to.
    ///
    /// # Errors
    /// [`Error::Encode`](crate::Error::Encode) if the answer cannot be written as MessagePack. A store that
    /// is down is no error but [`Put::Unavailable`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the old answer, the new one or none.
    pub async fn put(&self, key: &Fingerprint, value: &V, control: &CacheControl) -> Result<Put> {
        let put = if control.no_store { Put::Declined } else { self.write(key, value, control).await? };
        self.inner.counters.put(put);
        Ok(put)
    }

    /// Returns the answer to `key` or the part of computing it.
    ///
    /// If another caller has that part, waits until it is done: then its answer is returned, even if the
    /// store is down. If that caller drops its guard, because it failed or was cancelled, the part passes to
    /// the one who has waited longest. If it [discards](LeadGuard::discard) its answer, all who wait compute
    /// their own at once.
    ///
    /// With [`no_cache`](CacheControl::no_cache) nobody is waited for, and with
    /// [`no_store`](CacheControl::no_store) only the store is looked into: the guard is then shared with
    /// nobody. Waiting has no limit of its own; use `tokio::time::timeout`. One task that begins the same key
    /// twice without finishing waits for itself.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in line and has no other effect.
    pub async fn begin(&self, key: &Fingerprint, control: &CacheControl) -> Begin<V> {
        let landed = self.inner.flights.landed();
        let reason = match self.find(key, control).await {
            Lookup::Hit(hit) => return self.counted(hit),
            Lookup::Miss(reason) => reason,
        };
        if control.no_cache || control.no_store {
            return self.lead(key, control, reason, None);
        }
        match self.inner.flights.board(key).await {
            Turn::Landed(value, at) => {
                let age = self.inner.clock.wall().duration_since(at).unwrap_or_default();
                self.counted(Hit { value, age, tier: COALESCED })
            }
            Turn::Alone => self.lead(key, control, reason, None),
            Turn::Lead(lead) => {
                // Somebody may have stored the answer between our look and our turn.
                if self.inner.flights.landed() != landed
                    && let Lookup::Hit(hit) = self.find(key, control).await
                {
                    return self.counted(hit);
                }
                self.lead(key, control, reason, Some(lead))
            }
        }
    }

    /// Returns the answer to `key`, computing it with `compute` if there is none.
    ///
    /// Of many concurrent callers one computes and the others get its answer, as described at
    /// [`begin`](Cache::begin). An answer that cannot be stored is still returned.
    ///
    /// # Errors
    /// What `compute` returns. An error reaches its own caller only: the next one waiting computes again.
    ///
    /// # Cancel safety
    /// Dropping the future drops `compute`; the next one waiting computes again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use aic_cache::{Cache, CacheControl, Computed, Fingerprint, MemoryStore, Tenant};
    ///
    /// let cache = Cache::<String>::builder(MemoryStore::new(1 << 20)).build();
    /// let key = Fingerprint::of("greeting 1", &Tenant::default(), "world").unwrap();
    /// let compute = || async { Ok::<_, std::io::Error>(Computed::Store("hello, world".to_owned())) };
    ///
    /// let answer = cache.get_or_try_compute(&key, &CacheControl::default(), compute).await.unwrap();
    /// assert!(!answer.is_hit());
    /// assert_eq!(cache.get(&key).await.unwrap().value, "hello, world");
    /// # }
    /// ```
    pub async fn get_or_try_compute<E, F, Fut>(
        &self,
        key: &Fingerprint,
        control: &CacheControl,
        compute: F,
    ) -> Result<Answer<V>, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Computed<V>, E>>,
    {
        let guard = match self.begin(key, control).await {
            Begin::Hit(hit) => return Ok(Answer::Hit(hit)),
            Begin::Lead(guard) => guard,
        };
        match compute().await? {
            Computed::Store(value) => {
                if let Err(error) = guard.finish(&value).await {
                    warn!(error = &error as &dyn std::error::Error, "answer not stored");
                }
                Ok(Answer::Computed(value))
            }
            Computed::Discard(value) => {
                guard.discard();
                Ok(Answer::Computed(value))
            }
        }
    }

    /// Looks for the answer without counting.
    async fn find(&self, key: &Fingerprint, control: &CacheControl) -> Lookup<V> {
        if control.no_cache {
            return Lookup::Miss(MissReason::Bypassed);
        }
        match self.inner.store.get(key).await {
            Ok(Some(found)) => self.read(key, &found, control),
            Ok(None) => Lookup::Miss(MissReason::Absent),
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "store counts as a miss");
                Lookup::Miss(MissReason::Unavailable)
            }
        }
    }

    fn read(&self, key: &Fingerprint, found: &Found, control: &CacheControl) -> Lookup<V> {
        let now = self.inner.clock.wall();
        match Entry::<V>::decode(key, &found.bytes) {
            Ok(entry) if entry.is_fresh(now, control.max_age) => {
                Lookup::Hit(Hit { age: entry.age(now), value: entry.value, tier: found.tier })
            }
            Ok(_) => Lookup::Miss(MissReason::Expired),
            Err(damage) => {
                warn!(%key, tier = found.tier, %damage, "entry counts as a miss");
                Lookup::Miss(MissReason::Damaged)
            }
        }
    }

    async fn write(&self, key: &Fingerprint, value: &V, control: &CacheControl) -> Result<Put> {
        let ttl = control.ttl.unwrap_or_else(|| spread(self.inner.ttl, key));
        let bytes = Entry::new(key, value, self.inner.clock.wall(), ttl).encode()?;
        let put = self.inner.store.put(key, bytes, PutOptions::new().ttl(Some(ttl))).await;
        Ok(put.unwrap_or_else(|error| {
            debug!(error = &error as &dyn std::error::Error, "answer not stored");
            Put::Unavailable
        }))
    }

    fn counted(&self, hit: Hit<V>) -> Begin<V> {
        self.count_hit(&hit);
        Begin::Hit(hit)
    }

    fn count_hit(&self, hit: &Hit<V>) {
        let worth = (self.inner.worth)(&hit.value);
        match hit.tier {
            COALESCED => self.inner.counters.coalesced(worth),
            tier => self.inner.counters.hit(tier, worth),
        }
    }
}

const COALESCED: &str = "coalesced";

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("store", &self.inner.store)
            .field("ttl", &self.inner.ttl)
            .finish_non_exhaustive()
    }
}

/// `ttl` times a factor between 0.9 and 1.1 that depends on `key` alone.
fn spread(ttl: Duration, key: &Fingerprint) -> Duration {
    let [a, b, ..] = *key.as_bytes();
    let position = u32::from(u16::from_be_bytes([a, b])); // 0–65535
    ttl / 10 * 9 + (ttl / 5 / 65535).saturating_mul(position)
}

#[cfg(test)]
mod tests;
