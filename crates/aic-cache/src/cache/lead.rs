use std::{fmt, time::Duration};

use futures_util::Stream;
use serde::{Serialize, de::DeserializeOwned};

#[cfg(feature = "semantic")]
use super::similar::Lesson;
use super::{Cache, CacheControl, Hit, MissReason, lease::HeldLease, look::NOTHING};
use crate::{
    Fingerprint, Put, Refusal, Result, Tee, Worth,
    entry::{Outcome, Stamp},
    flight::Lead,
};

/// The part of computing one answer, from [`Cache::begin`].
///
/// [Finish](LeadGuard::finish) it with the complete answer, [refuse](LeadGuard::refuse) the request for good, or
/// [discard](LeadGuard::discard) the answer if it is not for others. Dropping it, as happens when the computation fails
/// or its task is cancelled, stores nothing and passes the part to whoever has waited longest for the same key.
#[must_use = "dropping the guard hands the computation to the next caller"]
pub struct LeadGuard<V, P = ()> {
    cache: Cache<V, P>,
    key: Fingerprint,
    control: CacheControl,
    reason: MissReason,
    stamp: Stamp,
    /// `None` if nobody can be waiting in this process.
    lead: Option<Lead<Outcome<V>, P>>,
    /// `None` if nobody can be waiting in another.
    lease: Option<HeldLease>,
    stale: Option<Hit<V>>,
    #[cfg(feature = "semantic")]
    lesson: Option<Lesson<V>>,
}

impl<V, P> LeadGuard<V, P> {
    pub(super) fn new(
        cache: &Cache<V, P>,
        key: &Fingerprint,
        control: &CacheControl,
        reason: MissReason,
        stamp: Stamp,
    ) -> Self {
        let (cache, control) = (cache.clone(), control.clone());
        Self {
            cache,
            key: *key,
            control,
            reason,
            stamp,
            lead: None,
            lease: None,
            stale: None,
            #[cfg(feature = "semantic")]
            lesson: None,
        }
    }

    pub(super) fn lead(self, lead: Lead<Outcome<V>, P>) -> Self {
        Self { lead: Some(lead), ..self }
    }

    pub(super) fn lease(self, lease: Option<HeldLease>) -> Self {
        Self { lease, ..self }
    }

    #[cfg(feature = "semantic")]
    pub(super) fn lesson(self, lesson: Option<Lesson<V>>) -> Self {
        Self { lesson, ..self }
    }

    pub(super) fn or_stale(self, stale: Hit<V>) -> Self {
        Self { stale: Some(stale), ..self }
    }

    /// Lets the answer live for `ttl`, in place of what the call or the cache says.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.control.ttl = Some(ttl);
        self
    }

    /// Why there was no answer in the cache.
    pub fn reason(&self) -> MissReason {
        self.reason
    }

    /// The key whose answer is to be computed.
    pub fn key(&self) -> &Fingerprint {
        &self.key
    }

    /// Gives up the part because computing failed: it passes to whoever has waited longest. Returns the answer that
    /// may be given in its place, if there is one within
    /// [`stale_if_error`](super::CacheBuilder::stale_if_error).
    pub fn stale(mut self) -> Option<Hit<V>> {
        let stale = self.stale.take();
        if stale.is_some() {
            self.cache.inner.counters.stale_if_error();
        }
        stale
    }

    /// Stores nothing; all who wait for the same key compute their own answers at once.
    ///
    /// For answers that are cut short, withheld, or meant to differ from call to call.
    pub fn discard(mut self) {
        self.cache.inner.counters.put(Put::Declined, None);
        if let Some(lead) = self.lead.take() {
            self.cache.count_followers(&lead, Worth::default());
            lead.dissolve();
        }
    }
}

impl<V, P> LeadGuard<V, P>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    P: Clone + Send + 'static,
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
        self.land(Outcome::Value(value)).await
    }

    /// Tells all who wait that the request is refused for what it is, and remembers it for the cache's
    /// [`refusal_ttl`](super::CacheBuilder::refusal_ttl).
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    ///
    /// # Cancel safety
    /// As [`finish`](Self::finish).
    pub async fn refuse(self, refusal: &Refusal) -> Result<Put> {
        self.land(Outcome::Refused(refusal.clone())).await
    }

    /// Lets all who wait for the answer, and all who come while it is being made, read it piece by piece.
    ///
    /// `stream` is given the guard, to be finished when the answer is complete, before the last piece is told. The
    /// first reader comes back; whoever reads drives the stream, and it is dropped with its last reader. So a caller
    /// that leaves does not end the answer for the others, and one that does not read does not hold it up.
    pub fn share<S>(mut self, stream: impl FnOnce(Self) -> S) -> Tee<P>
    where
        S: Stream<Item = P> + Send + 'static,
    {
        let doors = self.lead.as_mut().and_then(Lead::doors);
        let tee = Tee::new(stream(self));
        if let Some(doors) = doors {
            doors.open(&tee);
        }
        tee
    }

    async fn land(self, outcome: Outcome<&V>) -> Result<Put> {
        #[cfg(feature = "semantic")]
        let lesson = self.lesson;
        let Self { cache, key, control, stamp, lead, lease, .. } = self;
        #[cfg(feature = "semantic")]
        if let Some(lesson) = lesson.filter(|_| !control.no_store) {
            cache.learn(&key, lesson, &outcome);
        }
        let now = cache.inner.clock.wall();
        if let Some(lead) = &lead {
            cache.count_followers(lead, worth(&cache, &outcome));
        }
        // Held until the answer is stored, so that nobody computes it again in between.
        let _landing = lead.map(|lead| lead.land(owned(&outcome), now));
        let fence = lease.as_ref().map(HeldLease::fence);
        let put = cache.keep(&key, &outcome, &control, stamp, fence).await;
        if let (Ok(Put::Stored { .. }), Some(lease)) = (&put, lease) {
            lease.over();
        }
        put
    }
}

impl<V, P> Cache<V, P> {
    /// Counts those who have read along.
    fn count_followers(&self, lead: &Lead<Outcome<V>, P>, worth: Worth) {
        for _ in 0..lead.joined() {
            self.inner.counters.followed(worth);
        }
    }
}

fn worth<V, P>(cache: &Cache<V, P>, outcome: &Outcome<&V>) -> Worth {
    match outcome {
        Outcome::Value(value) => (cache.inner.settings.worth)(value),
        Outcome::Refused(_) => NOTHING,
    }
}

fn owned<V: Clone>(outcome: &Outcome<&V>) -> Outcome<V> {
    match outcome {
        Outcome::Value(value) => Outcome::Value((*value).clone()),
        Outcome::Refused(refusal) => Outcome::Refused(refusal.clone()),
    }
}

impl<V, P> fmt::Debug for LeadGuard<V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeadGuard")
            .field("key", &self.key)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}
