use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use super::{Begin, Cache, CacheControl, MissReason};
use crate::{Fingerprint, Put, Result, flight::Lead};

/// The part of computing one answer, from [`Cache::begin`].
///
/// [Finish](LeadGuard::finish) it with the complete answer, or [discard](LeadGuard::discard) it if the answer
/// is not for others. Dropping it, as happens when the computation fails or its task is cancelled, stores
/// nothing and passes the part to whoever has waited longest for the same key.
#[must_use = "dropping the guard hands the computation to the next caller"]
pub struct LeadGuard<V> {
    cache: Cache<V>,
    key: Fingerprint,
    control: CacheControl,
    reason: MissReason,
    /// `None` if nobody can be waiting.
    lead: Option<Lead<V>>,
}

impl<V> Cache<V> {
    /// Counts the miss and hands out the part of computing.
    pub(super) fn lead(
        &self,
        key: &Fingerprint,
        control: &CacheControl,
        reason: MissReason,
        lead: Option<Lead<V>>,
    ) -> Begin<V> {
        self.inner.counters.miss(reason);
        Begin::Lead(LeadGuard { cache: self.clone(), key: *key, control: *control, reason, lead })
    }
}

impl<V> LeadGuard<V> {
    /// Why there was no answer in the cache.
    pub fn reason(&self) -> MissReason {
        self.reason
    }

    /// The key whose answer is to be computed.
    pub fn key(&self) -> &Fingerprint {
        &self.key
    }

    /// Stores nothing; all who wait for the same key compute their own answers at once.
    ///
    /// For answers that are cut short, refused, or meant to differ from call to call.
    pub fn discard(self) {
        self.cache.inner.counters.put(Put::Declined);
        if let Some(lead) = self.lead {
            lead.dissolve();
        }
    }
}

impl<V> LeadGuard<V>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    /// Hands the complete answer to all who wait for it, then stores it.
    ///
    /// # Errors
    /// As [`Cache::put`]; those who wait have their answer all the same.
    ///
    /// # Cancel safety
    /// Those who wait have their answer as soon as the future is polled; dropping it later may leave the
    /// answer unstored.
    pub async fn finish(self, value: &V) -> Result<Put> {
        let Self { cache, key, control, lead, .. } = self;
        let now = cache.inner.clock.wall();
        // Held until the answer is stored, so that nobody computes it again in between.
        let _landing = lead.map(|lead| lead.land(value.clone(), now));
        cache.put(&key, value, &control).await
    }
}

impl<V> fmt::Debug for LeadGuard<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeadGuard")
            .field("key", &self.key)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
