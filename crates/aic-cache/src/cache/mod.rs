//! The typed cache over a store.

mod answer;
mod begin;
mod builder;
mod clearings;
mod control;
mod explain;
mod lead;
mod lease;
mod look;
#[cfg(feature = "semantic")]
mod similar;

use std::{fmt, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tracing::{debug, warn};

pub use self::{
    answer::{Answer, Begin, Computed, Hit, Lookup, MissReason},
    builder::CacheBuilder,
    control::CacheControl,
    explain::Explanation,
    lead::LeadGuard,
};
use self::{builder::Settings, clearings::Clearings, look::Known};
use crate::{
    CacheStats, Clock, Fence, Fingerprint, Leases, Put, PutOptions, Result, Store, Tag,
    entry::{self, Header, Outcome, Stamp},
    flight::Flights,
    stats::Counters,
};

/// Answers of type `V`, kept under fingerprints. Cheap to clone; clones are the same cache.
///
/// Three ways to use it, from the most convenient to the most general:
/// - [`get_or_try_compute`](Cache::get_or_try_compute) takes the computation as a closure;
/// - [`begin`](Cache::begin) gives either the answer or a [`LeadGuard`], to be finished when the answer is
///   complete: for answers that are streamed in pieces `P` while they are computed, given stale, or refused;
/// - [`lookup`](Cache::lookup) and [`put`](Cache::put) leave everything to the caller.
///
/// The first two let only one of many concurrent callers with the same key compute; of those in other processes,
/// too, where the store has [leases](Leases).
///
/// A store that is down is a miss, a damaged entry is a miss; neither is ever an error.
///
/// # Freshness
/// An answer is used until its time to live is over, as told by the cache's [`Clock`] and written in the
/// entry itself, or until one of its tags is [cleared](Cache::clear). The cache's own time to live is spread by
/// ±10 %, by key, so that what was stored together does not expire together; a time to live given with a call is
/// kept as it is.
pub struct Cache<V, P = ()> {
    inner: Arc<Inner<V, P>>,
}

struct Inner<V, P> {
    store: Arc<dyn Store>,
    leases: Option<Arc<dyn Leases>>,
    clock: Arc<dyn Clock>,
    settings: Settings<V>,
    clearings: Clearings,
    #[cfg(feature = "semantic")]
    similar: Option<similar::Similar<V>>,
    flights: Arc<Flights<Outcome<V>, P>>,
    counters: Counters,
}

impl<V> Cache<V> {
    /// Starts describing a cache that keeps its answers in `store`.
    pub fn builder(store: impl Store) -> CacheBuilder<V> {
        CacheBuilder::new(Arc::new(store))
    }
}

impl<V, P> Cache<V, P> {
    /// What this cache has done so far, and how full its store is.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            tiers: self.inner.store.tiers(),
            #[cfg(feature = "semantic")]
            similarity: self.inner.similar.as_ref().map(similar::Similar::stats),
            ..self.inner.counters.snapshot()
        }
    }

    /// Forgets the answer to `key`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the store could not be asked and may still have it.
    pub async fn remove(&self, key: &Fingerprint) -> Result<()> {
        self.inner.store.remove(key).await
    }

    /// Clears every answer with one of `tags`, however many there are, at a cost that does not depend on it.
    ///
    /// Their computation may still be under way: they are cleared all the same. Their room is given back when they
    /// are next asked for, pushed out or at the end of their time. Other processes that share the store see it within
    /// a second.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the store's log could not be written. The answers are
    /// cleared for this cache, and for all others as soon as the log is back and this cache is in use.
    pub async fn clear(&self, tags: &[Tag]) -> Result<()> {
        self.inner.clearings.clear(tags).await
    }
}

impl<V, P> Cache<V, P>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    P: Clone + Send + 'static,
{
    /// Returns the answer to `key`, if there is a fresh one.
    pub async fn get(&self, key: &Fingerprint) -> Option<Hit<V>> {
        match self.lookup(key, &CacheControl::default()).await {
            Lookup::Hit(hit) => Some(hit),
            Lookup::Refused(_) | Lookup::Miss(_) => None,
        }
    }

    /// Looks for the answer to `key`. Does not wait for anybody who is computing it.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn lookup(&self, key: &Fingerprint, control: &CacheControl) -> Lookup<V> {
        match self.look(key, control).await {
            (Ok(known), elapsed) => match self.counted(known, elapsed) {
                Known::Answer(hit) => Lookup::Hit(hit),
                Known::Refusal(hit) => Lookup::Refused(hit),
            },
            (Err(miss), elapsed) => {
                self.inner.counters.miss(miss.reason, elapsed);
                Lookup::Miss(miss.reason)
            }
        }
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
        self.inner.clearings.sync(self.inner.clock.now()).await;
        let stamp = self.inner.clearings.stamp();
        self.keep(key, &Outcome::Value(value), control, stamp, None).await
    }

    /// Returns the answer to `key`, computing it with `compute` if there is none.
    ///
    /// Of many concurrent callers one computes and the others get its answer, as described at
    /// [`begin`](Cache::begin). An answer that cannot be stored is still returned. If computing fails and there is
    /// an answer within [`stale_if_error`](CacheBuilder::stale_if_error), that is returned. The caller that renews an
    /// answer under [`stale_while_revalidate`](CacheBuilder::stale_while_revalidate) waits for its own computation,
    /// all others get the stale answer meanwhile. Where it is known that the request is refused, it is computed all
    /// the same.
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
        let guard = loop {
            match self.begin(key, control).await {
                Begin::Hit(hit) => return Ok(Answer::Hit(hit)),
                Begin::Lead(guard) => break guard,
                Begin::Renew(stale, guard) => break guard.or_stale(stale),
                Begin::Refused(_) => break self.alone(key, control, MissReason::Bypassed, Duration::ZERO),
                // What comes of the stream is in the store when it is over.
                Begin::Follow(mut stream) => while stream.next().await.is_some() {},
            }
        };
        match compute().await {
            Ok(Computed::Store(value)) => {
                if let Err(error) = guard.finish(&value).await {
                    warn!(error = &error as &dyn std::error::Error, "answer not stored");
                }
                Ok(Answer::Computed(value))
            }
            Ok(Computed::Discard(value)) => {
                guard.discard();
                Ok(Answer::Computed(value))
            }
            Err(error) => guard.stale().map(Answer::Hit).ok_or(error),
        }
    }

    /// Writes down what a computation came to, unless `control` says not to.
    async fn keep(
        &self,
        key: &Fingerprint,
        outcome: &Outcome<&V>,
        control: &CacheControl,
        stamp: Stamp,
        fence: Option<Fence>,
    ) -> Result<Put> {
        if control.no_store {
            self.inner.counters.put(Put::Declined, None);
            return Ok(Put::Declined);
        }
        let begun = self.inner.clock.now();
        let (bytes, ttl) = self.encoded(key, outcome, control, stamp)?;
        let options = PutOptions::new().ttl(Some(ttl)).fence(fence);
        let put = self.inner.store.put(key, bytes, options).await.unwrap_or_else(|error| {
            debug!(error = &error as &dyn std::error::Error, "answer not stored");
            Put::Unavailable
        });
        self.inner.counters.put(put, Some(self.since(begun)));
        Ok(put)
    }

    /// The entry, and how long the store is to keep it: for its life, and the time it may still be given after that.
    fn encoded(
        &self,
        key: &Fingerprint,
        outcome: &Outcome<&V>,
        control: &CacheControl,
        stamp: Stamp,
    ) -> Result<(Bytes, Duration)> {
        let settings = &self.inner.settings;
        let (ttl, stale, mut tags) = match outcome {
            Outcome::Value(value) => {
                let ttl = control.ttl.unwrap_or_else(|| spread(settings.ttl, key));
                let stale = settings.stale_while_revalidate.max(settings.stale_if_error);
                (ttl, stale, (settings.tags)(value))
            }
            Outcome::Refused(_) => (settings.refusal_ttl, Duration::ZERO, Vec::new()),
        };
        tags.extend_from_slice(&control.tags);
        let header = Header::new(key, self.inner.clock.wall(), ttl, stamp, tags);
        let bytes = entry::encode(&header, outcome, settings.pack_above)?;
        Ok((bytes, ttl.saturating_add(stale)))
    }
}

impl<V, P> Clone for Cache<V, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<V, P> fmt::Debug for Cache<V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("store", &self.inner.store)
            .field("ttl", &self.inner.settings.ttl)
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
