//! Who computes, and who waits for whom.

use std::time::{Duration, SystemTime};

use serde::{Serialize, de::DeserializeOwned};
use tracing::debug;

#[cfg(feature = "semantic")]
use super::similar::Advice;
use super::{
    Begin, Cache, CacheControl, Hit, LeadGuard, MissReason,
    lease::HeldLease,
    look::{Known, Miss, NOTHING},
};
use crate::{
    Fingerprint,
    entry::Outcome,
    flight::{Lead, Turn},
};

/// The tier of an answer that another caller was computing.
const COALESCED: &str = "coalesced";

/// How often another process' answer is looked for: first, and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

impl<V, P> Cache<V, P>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    P: Clone + Send + 'static,
{
    /// Returns the answer to `key` or the part of computing it.
    ///
    /// If another caller has that part, waits until it is done: then its answer is returned, even if the
    /// store is down. If that caller [shares](LeadGuard::share) its answer as a stream, it can be followed at once.
    /// If it drops its guard, because it failed or was cancelled, the part passes to the one who has waited longest.
    /// If it [discards](LeadGuard::discard) its answer, all who wait compute their own at once. If the caller is in
    /// another process that shares the store, waits until it has stored its answer, given up or died.
    ///
    /// With [`no_cache`](CacheControl::no_cache) nobody is waited for, and with
    /// [`no_store`](CacheControl::no_store) only the store is looked into: the guard is then shared with
    /// nobody. Waiting has no limit of its own; use `tokio::time::timeout`. One task that begins the same key
    /// twice without finishing waits for itself.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in line and has no other effect.
    pub async fn begin(&self, key: &Fingerprint, control: &CacheControl) -> Begin<V, P> {
        let landed = self.inner.flights.landed();
        let (miss, elapsed) = match self.look(key, control).await {
            (Ok(known), elapsed) => return self.known(known, elapsed),
            (Err(miss), elapsed) => (miss, elapsed),
        };
        if control.no_cache || control.no_store {
            return Begin::Lead(self.alone(key, control, miss.reason, elapsed));
        }
        let settings = &self.inner.settings;
        let (reason, stale) = match miss {
            Miss { past: Some((hit, past)), .. } if past < settings.stale_while_revalidate => {
                return self.renew(key, control, hit, elapsed).await;
            }
            Miss { reason, past } => {
                (reason, past.filter(|(_, past)| *past < settings.stale_if_error).map(|(hit, _)| hit))
            }
        };
        match self.inner.flights.board(key).await {
            Turn::Landed(value, at) => self.landed(value, at),
            Turn::Live(tee) => Begin::Follow(tee),
            Turn::Alone => Begin::Lead(self.alone(key, control, reason, elapsed)),
            Turn::Lead(lead) => {
                // Somebody may have stored the answer between our look and our turn.
                if self.inner.flights.landed() != landed
                    && let (Ok(known), elapsed) = self.look(key, control).await
                {
                    return self.known(known, elapsed);
                }
                self.lead(key, control, (reason, elapsed), lead, stale).await
            }
        }
    }

    fn known(&self, known: Known<V>, elapsed: Duration) -> Begin<V, P> {
        match self.counted(known, elapsed) {
            Known::Answer(hit) => Begin::Hit(hit),
            Known::Refusal(hit) => Begin::Refused(hit),
        }
    }

    /// What another caller has just computed.
    fn landed(&self, outcome: Outcome<V>, at: SystemTime) -> Begin<V, P> {
        let age = self.inner.clock.wall().duration_since(at).unwrap_or_default();
        let worth = match &outcome {
            Outcome::Value(value) => self.worth(value),
            Outcome::Refused(_) => NOTHING,
        };
        self.inner.counters.coalesced(worth);
        match Known::new(Hit { value: outcome, age, tier: COALESCED, stale: false, similarity: None }) {
            Known::Answer(hit) => Begin::Hit(hit),
            Known::Refusal(hit) => Begin::Refused(hit),
        }
    }

    /// Counts the answer to a similar question.
    #[cfg(feature = "semantic")]
    fn given(&self, hit: Hit<V>, elapsed: Duration) -> Hit<V> {
        self.inner.counters.similar();
        self.inner.counters.hit(hit.tier, self.worth(&hit.value), elapsed);
        hit
    }

    /// Gives a stale answer, with the part of computing it anew if nobody has it.
    async fn renew(
        &self,
        key: &Fingerprint,
        control: &CacheControl,
        stale: Hit<V>,
        elapsed: Duration,
    ) -> Begin<V, P> {
        self.inner.counters.stale();
        self.inner.counters.hit(stale.tier, self.worth(&stale.value), elapsed);
        let Some(lead) = self.inner.flights.board_first(key) else { return Begin::Hit(stale) };
        match self.try_lease(key).await {
            Leased::Elsewhere => Begin::Hit(stale),
            Leased::Here(lease) => {
                let guard = self.guard(key, control, MissReason::Expired).lead(lead).lease(lease);
                Begin::Renew(stale, guard)
            }
        }
    }

    /// Takes the lead over other processes, too, unless one of them is quicker.
    async fn lead(
        &self,
        key: &Fingerprint,
        control: &CacheControl,
        (reason, elapsed): (MissReason, Duration),
        lead: Lead<Outcome<V>, P>,
        stale: Option<Hit<V>>,
    ) -> Begin<V, P> {
        #[cfg(feature = "semantic")]
        let lesson = match self.advice(control).await {
            Advice::None => None,
            Advice::Compute(lesson) => Some(lesson),
            Advice::Give(hit, None) => return Begin::Hit(self.given(hit, elapsed)),
            Advice::Give(hit, Some(lesson)) => {
                let guard = self.guard(key, control, reason).lead(lead).lesson(Some(lesson));
                return Begin::Renew(self.given(hit, elapsed), guard);
            }
        };
        let (mut pause, longest) = LOOKS;
        let lease = loop {
            let leased = self.try_lease(key).await;
            // Whoever held the lease before us has stored its answer by now.
            if !matches!(leased, Leased::Here(None))
                && let (Ok(known), elapsed) = self.look(key, control).await
            {
                return self.known(known, elapsed);
            }
            match leased {
                Leased::Here(lease) => break lease,
                Leased::Elsewhere => tokio::time::sleep(pause).await,
            }
            pause = (pause * 3 / 2).min(longest);
        };
        self.inner.counters.miss(reason, elapsed);
        let guard = self.guard(key, control, reason).lead(lead).lease(lease);
        #[cfg(feature = "semantic")]
        let guard = guard.lesson(lesson);
        Begin::Lead(match stale {
            Some(stale) => guard.or_stale(stale),
            None => guard,
        })
    }

    /// The part of computing for this caller alone.
    pub(super) fn alone(
        &self,
        key: &Fingerprint,
        control: &CacheControl,
        reason: MissReason,
        elapsed: Duration,
    ) -> LeadGuard<V, P> {
        self.inner.counters.miss(reason, elapsed);
        self.guard(key, control, reason)
    }

    fn guard(&self, key: &Fingerprint, control: &CacheControl, reason: MissReason) -> LeadGuard<V, P> {
        LeadGuard::new(self, key, control, reason, self.inner.clearings.stamp())
    }

    /// Takes the lease of `key`. Where there are no leases, or nobody can tell, we go on without one.
    async fn try_lease(&self, key: &Fingerprint) -> Leased {
        let Some(leases) = &self.inner.leases else { return Leased::Here(None) };
        let ttl = self.inner.settings.lease_ttl;
        match leases.acquire(key, ttl).await {
            Ok(Some(fence)) => Leased::Here(Some(HeldLease::keep(leases.clone(), *key, fence, ttl))),
            Ok(None) => Leased::Elsewhere,
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "computing without a lease");
                Leased::Here(None)
            }
        }
    }
}

/// Who may compute.
enum Leased {
    /// This process.
    Here(Option<HeldLease>),
    /// Another one has begun.
    Elsewhere,
}
