//! Looking into the store, and judging what is found.

use std::time::{Duration, Instant};

use serde::{Serialize, de::DeserializeOwned};
use tracing::{debug, warn};

use super::{Cache, CacheControl, Hit, MissReason};
use crate::{
    Fingerprint, Found, Refusal, Worth,
    entry::{self, Outcome},
};

/// What the cache knows about a request.
#[derive(Debug)]
pub(super) enum Known<V> {
    Answer(Hit<V>),
    Refusal(Hit<Refusal>),
}

/// Why nothing can be given at once, and the answer that could be given in need.
#[derive(Debug)]
pub(super) struct Miss<V> {
    pub(super) reason: MissReason,
    /// An answer past its time to live, and for how long it has been.
    pub(super) past: Option<(Hit<V>, Duration)>,
}

impl<V> From<MissReason> for Miss<V> {
    fn from(reason: MissReason) -> Self {
        Self { reason, past: None }
    }
}

impl<V> Known<V> {
    pub(super) fn new(kept: Hit<Outcome<V>>) -> Self {
        let Hit { value, age, tier, stale, similarity } = kept;
        match value {
            Outcome::Value(value) => Known::Answer(Hit { value, age, tier, stale, similarity }),
            Outcome::Refused(value) => Known::Refusal(Hit { value, age, tier, stale, similarity }),
        }
    }
}

impl<V, P> Cache<V, P>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    P: Clone + Send + 'static,
{
    /// Looks for what is fresh, without counting, and says how long that took.
    pub(super) async fn look(
        &self,
        key: &Fingerprint,
        control: &CacheControl,
    ) -> (Result<Known<V>, Miss<V>>, Duration) {
        let begun = self.inner.clock.now();
        let found = self.find(key, control, begun).await;
        (found, self.since(begun))
    }

    /// The time since `begun`.
    pub(super) fn since(&self, begun: Instant) -> Duration {
        self.inner.clock.now().saturating_duration_since(begun)
    }

    async fn find(
        &self,
        key: &Fingerprint,
        control: &CacheControl,
        now: Instant,
    ) -> Result<Known<V>, Miss<V>> {
        // First, for what is computed now is stamped by it, too.
        self.inner.clearings.sync(now).await;
        if control.no_cache {
            return Err(MissReason::Bypassed.into());
        }
        match self.inner.store.get(key).await {
            Ok(Some(found)) => self.judge(key, &found, control),
            Ok(None) => Err(MissReason::Absent.into()),
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "store counts as a miss");
                Err(MissReason::Unavailable.into())
            }
        }
    }

    fn judge(&self, key: &Fingerprint, found: &Found, control: &CacheControl) -> Result<Known<V>, Miss<V>> {
        let tier = found.tier;
        let entry = entry::decode(key, &found.bytes).map_err(|damage| {
            warn!(tier, %damage, "entry counts as a miss");
            MissReason::Damaged
        })?;
        if !self.inner.clearings.is_current(&entry.header) {
            return Err(MissReason::Cleared.into());
        }
        let now = self.inner.clock.wall();
        let age = entry.header.age(now);
        if control.max_age.is_some_and(|limit| age > limit) {
            return Err(MissReason::Expired.into());
        }
        match (entry.header.past(now), entry.outcome) {
            (None, value) => Ok(Known::new(Hit { value, age, tier, stale: false, similarity: None })),
            (Some(past), Outcome::Value(value)) if control.max_age.is_none() => {
                let stale = Hit { value, age, tier, stale: true, similarity: None };
                Err(Miss { reason: MissReason::Expired, past: Some((stale, past)) })
            }
            (Some(_), _) => Err(MissReason::Expired.into()),
        }
    }

    /// Counts what is given to the caller from the store.
    pub(super) fn counted(&self, known: Known<V>, elapsed: Duration) -> Known<V> {
        let counters = &self.inner.counters;
        match &known {
            Known::Answer(hit) => counters.hit(hit.tier, self.worth(&hit.value), elapsed),
            Known::Refusal(hit) => {
                counters.hit(hit.tier, NOTHING, elapsed);
                counters.refused();
            }
        }
        known
    }

    pub(super) fn worth(&self, value: &V) -> Worth {
        (self.inner.settings.worth)(value)
    }
}

/// What a refusal would have cost.
pub(super) const NOTHING: Worth = Worth { tokens: Some(0), nano_usd: Some(0) };
