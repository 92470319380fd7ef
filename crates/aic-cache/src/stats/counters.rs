use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{CacheStats, Latencies, Latency, Misses, NotStored, Saved, Worth, sketch::Sketch};
use crate::{MissReason, Put};

/// The statistics of a cache in use: no lock, and no cache line that two threads keep writing to.
///
/// Each thread adds to a stripe of its own, as in `LongAdder` of Java; reading adds the stripes up. With one
/// stripe for all, two threads recorded a tenth of the hits that one alone does; with their own, twice as many.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// The names of the tiers in the order in which they were first met.
    tiers: [OnceLock<&'static str>; TIERS],
    stripes: [OnceLock<Box<Stripe>>; STRIPES],
}

/// Threads beyond these share a stripe with another one: slower by a little, never wrong. A stripe is made when
/// it is first written to, and so are its sketches; with two tiers it takes 17 kB.
const STRIPES: usize = 16;
/// Tiers told apart; the hits of all beyond these are counted as those of [`OTHER`].
const TIERS: usize = 7;
const OTHER: &str = "other";

/// What is counted beside the hits, which are counted by their sketches.
#[derive(Clone, Copy, Debug)]
enum Count {
    Coalesced,
    Followed,
    Stale,
    StaleIfError,
    Refused,
    Similar,
    Absent,
    Expired,
    Damaged,
    Cleared,
    Bypassed,
    Unavailable,
    Stores,
    StoredBytes,
    TooLarge,
    Superseded,
    Declined,
    StoreUnavailable,
    Tokens,
    NanoUsd,
    Unpriced,
}

const COUNTS: usize = Count::Unpriced as usize + 1;

/// A stripe has a sketch for the hits of each tier, then these: hits of other tiers, misses, stores.
const OTHERS: usize = TIERS;
const MISSES: usize = TIERS + 1;
const STORES: usize = TIERS + 2;
const SKETCHES: usize = TIERS + 3;

/// Aligned to two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    counts: [AtomicU64; COUNTS],
    sketches: [OnceLock<Box<Sketch>>; SKETCHES],
}

impl Stripe {
    /// Adds `amount`, and stays at the greatest number rather than starting again from 0.
    fn add(&self, count: Count, amount: u64) {
        let cell = &self.counts[count as usize];
        if cell.fetch_add(amount, Relaxed).checked_add(amount).is_none() {
            cell.store(u64::MAX, Relaxed);
        }
    }

    fn record(&self, sketch: usize, elapsed: Duration) {
        self.sketches[sketch].get_or_init(Box::default).record(elapsed);
    }

    fn save(&self, worth: Worth) {
        if let Some(tokens) = worth.tokens {
            self.add(Count::Tokens, tokens);
        }
        match worth.nano_usd {
            Some(nano_usd) => self.add(Count::NanoUsd, nano_usd),
            None => self.add(Count::Unpriced, 1),
        }
    }
}

impl Counters {
    /// An answer was found in `tier`, by a look that took `elapsed`.
    pub(crate) fn hit(&self, tier: &'static str, worth: Worth, elapsed: Duration) {
        let stripe = self.stripe();
        stripe.record(self.sketch_of(tier), elapsed);
        stripe.save(worth);
    }

    /// An answer was taken over from another caller when it was complete.
    pub(crate) fn coalesced(&self, worth: Worth) {
        let stripe = self.stripe();
        stripe.add(Count::Coalesced, 1);
        stripe.save(worth);
    }

    /// An answer was taken over from another caller while it was being streamed.
    pub(crate) fn followed(&self, worth: Worth) {
        let stripe = self.stripe();
        stripe.add(Count::Followed, 1);
        stripe.save(worth);
    }

    /// A hit was past its time and is being renewed.
    pub(crate) fn stale(&self) {
        self.stripe().add(Count::Stale, 1);
    }

    /// After a miss, an answer past its time was given because computing failed.
    pub(crate) fn stale_if_error(&self) {
        self.stripe().add(Count::StaleIfError, 1);
    }

    /// A hit was a known refusal.
    pub(crate) fn refused(&self) {
        self.stripe().add(Count::Refused, 1);
    }

    /// A hit was found by similarity.
    #[cfg_attr(
        not(feature = "semantic"),
        expect(dead_code, reason = "without similarity nothing is similar")
    )]
    pub(crate) fn similar(&self) {
        self.stripe().add(Count::Similar, 1);
    }

    /// No answer was found, by a look that took `elapsed`. Where it was bypassed there was no look to be timed.
    pub(crate) fn miss(&self, reason: MissReason, elapsed: Duration) {
        let stripe = self.stripe();
        let count = match reason {
            MissReason::Absent => Count::Absent,
            MissReason::Expired => Count::Expired,
            MissReason::Cleared => Count::Cleared,
            MissReason::Damaged => Count::Damaged,
            MissReason::Bypassed => Count::Bypassed,
            MissReason::Unavailable => Count::Unavailable,
        };
        stripe.add(count, 1);
        if reason != MissReason::Bypassed {
            stripe.record(MISSES, elapsed);
        }
    }

    /// An answer was to be stored, which took `elapsed`; `None` if the store was not asked.
    pub(crate) fn put(&self, put: Put, elapsed: Option<Duration>) {
        let stripe = self.stripe();
        let count = match put {
            Put::Stored { bytes } => {
                stripe.add(Count::StoredBytes, bytes);
                Count::Stores
            }
            Put::TooLarge { .. } => Count::TooLarge,
            Put::Superseded => Count::Superseded,
            Put::Declined => Count::Declined,
            Put::Unavailable => Count::StoreUnavailable,
        };
        stripe.add(count, 1);
        if let Some(elapsed) = elapsed {
            stripe.record(STORES, elapsed);
        }
    }

    /// What was counted so far. Counts that go on meanwhile are in it or not, each for itself.
    pub(crate) fn snapshot(&self) -> CacheStats {
        let n = |count| self.sum(count);
        let latency =
            Latencies { hits: self.hits(), misses: self.latency(MISSES), stores: self.latency(STORES) };
        CacheStats {
            hits: latency.hits.iter().map(|(tier, latency)| (*tier, latency.count())).collect(),
            latency,
            coalesced: n(Count::Coalesced),
            followed: n(Count::Followed),
            stale: n(Count::Stale),
            stale_if_error: n(Count::StaleIfError),
            refused: n(Count::Refused),
            similar: n(Count::Similar),
            misses: self.misses(),
            stores: n(Count::Stores),
            stored_bytes: n(Count::StoredBytes),
            not_stored: NotStored {
                too_large: n(Count::TooLarge),
                superseded: n(Count::Superseded),
                declined: n(Count::Declined),
                unavailable: n(Count::StoreUnavailable),
            },
            saved: Saved {
                tokens: n(Count::Tokens),
                nano_usd: n(Count::NanoUsd),
                unpriced: n(Count::Unpriced),
            },
            tiers: Vec::new(),
            similarity: None,
        }
    }

    fn misses(&self) -> Misses {
        let n = |count| self.sum(count);
        Misses {
            absent: n(Count::Absent),
            expired: n(Count::Expired),
            damaged: n(Count::Damaged),
            cleared: n(Count::Cleared),
            bypassed: n(Count::Bypassed),
            unavailable: n(Count::Unavailable),
        }
    }

    fn hits(&self) -> BTreeMap<&'static str, Latency> {
        let named = self.tiers.iter().map_while(|tier| tier.get().copied()).enumerate();
        let mut hits = BTreeMap::<_, Latency>::new();
        for (sketch, tier) in named.chain([(OTHERS, OTHER)]) {
            let latency = self.latency(sketch);
            if latency.count() > 0 {
                hits.entry(tier).or_default().merge(&latency); // a tier may be called "other", too
            }
        }
        hits
    }

    fn sum(&self, count: Count) -> u64 {
        self.written().fold(0, |sum, stripe| sum.saturating_add(stripe.counts[count as usize].load(Relaxed)))
    }

    fn latency(&self, sketch: usize) -> Latency {
        let mut whole = Latency::default();
        self.written()
            .filter_map(|stripe| stripe.sketches[sketch].get())
            .for_each(|part| whole.merge(&part.snapshot()));
        whole
    }

    fn written(&self) -> impl Iterator<Item = &Stripe> {
        self.stripes.iter().filter_map(|stripe| stripe.get().map(Box::as_ref))
    }

    fn stripe(&self) -> &Stripe {
        self.stripes[stripe_of_this_thread()].get_or_init(Box::default)
    }

    fn sketch_of(&self, tier: &'static str) -> usize {
        self.tiers.iter().position(|known| *known.get_or_init(|| tier) == tier).unwrap_or(OTHERS)
    }
}

/// The stripes are handed out in turn, so that as many threads as there are stripes never meet.
fn stripe_of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static STRIPE: usize = THREADS.fetch_add(1, Relaxed) % STRIPES);
    STRIPE.with(|stripe| *stripe)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    const MICRO: Duration = Duration::from_micros(1);

    #[test]
    fn unknown_price_is_counted_apart_and_not_as_nothing() {
        let counters = Counters::default();

        counters.hit("memory", Worth { tokens: Some(10), nano_usd: Some(700) }, MICRO);
        counters.hit("redis", Worth { tokens: Some(5), nano_usd: None }, MICRO);

        let saved = counters.snapshot().saved;
        assert_eq!((saved.tokens, saved.nano_usd, saved.unpriced), (15, 700, 1));
    }

    #[test]
    fn sum_beyond_the_greatest_number_stays_there() {
        let counters = Counters::default();
        let priceless = Worth { tokens: Some(u64::MAX), nano_usd: Some(u64::MAX) };

        for _ in 0..3 {
            counters.coalesced(priceless);
            counters.coalesced(Worth { tokens: Some(1), nano_usd: Some(0) });
        }

        let saved = counters.snapshot().saved;
        assert_eq!((saved.tokens, saved.nano_usd), (u64::MAX, u64::MAX));
    }

    #[test]
    fn tiers_beyond_the_seventh_are_counted_together_with_one_of_that_name() {
        let counters = Counters::default();

        for tier in ["1", "2", "3", "4", "5", "6", OTHER, "8", "9", "6"] {
            counters.hit(tier, Worth::default(), MICRO);
        }

        let hits = counters.snapshot().hits;
        assert_eq!((hits.len(), hits["5"], hits["6"], hits[OTHER]), (7, 1, 2, 3));
    }

    #[test]
    fn what_did_not_ask_the_store_is_not_timed() {
        let counters = Counters::default();

        counters.miss(MissReason::Bypassed, MICRO);
        counters.put(Put::Declined, None);

        let CacheStats { misses, not_stored, latency, .. } = counters.snapshot();
        assert_eq!((misses.bypassed, not_stored.declined), (1, 1));
        assert_eq!(latency, Latencies::default());
    }

    #[test]
    fn every_way_to_give_an_answer_has_its_own_count() {
        let counters = Counters::default();

        counters.stale();
        (0..2).for_each(|_| counters.stale_if_error());
        (0..3).for_each(|_| counters.refused());
        (0..4).for_each(|_| counters.similar());
        (0..5).for_each(|_| counters.followed(Worth::default()));

        let CacheStats { stale, stale_if_error, refused, similar, followed, .. } = counters.snapshot();
        assert_eq!([stale, stale_if_error, refused, similar, followed], [1, 2, 3, 4, 5]);
    }

    /// What one thread does once.
    #[derive(Clone, Copy, Debug)]
    enum Did {
        Hit(&'static str, u64),
        Miss(MissReason, u64),
        Put(Put, u64),
    }

    fn did() -> impl Strategy<Value = Did> {
        let tiers = prop::sample::select(&["memory", "disk", "redis"]);
        let reasons = prop::sample::select(&[MissReason::Absent, MissReason::Damaged, MissReason::Bypassed]);
        let puts = prop::sample::select(&[Put::Stored { bytes: 7 }, Put::Superseded]);
        prop_oneof![
            (tiers, 0u64..1 << 30).prop_map(|(tier, nanos)| Did::Hit(tier, nanos)),
            (reasons, 0u64..1 << 30).prop_map(|(reason, nanos)| Did::Miss(reason, nanos)),
            (puts, 0u64..1 << 30).prop_map(|(put, nanos)| Did::Put(put, nanos)),
        ]
    }

    fn record(counters: &Counters, all: &[Did]) {
        for did in all {
            match *did {
                Did::Hit(tier, nanos) => {
                    let worth = Worth { tokens: Some(nanos), nano_usd: (nanos % 2 == 0).then_some(nanos) };
                    counters.hit(tier, worth, Duration::from_nanos(nanos));
                }
                Did::Miss(reason, nanos) => counters.miss(reason, Duration::from_nanos(nanos)),
                Did::Put(put, nanos) => counters.put(put, Some(Duration::from_nanos(nanos))),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        // More threads than stripes, so that some share one.
        #[test]
        fn many_threads_count_the_same_as_one(work in vec(vec(did(), 0..200), 1..=STRIPES + 4)) {
            let (many, one) = (Counters::default(), Counters::default());

            thread::scope(|scope| {
                for part in &work {
                    scope.spawn(|| record(&many, part));
                }
            });
            record(&one, &work.concat());

            prop_assert_eq!(many.snapshot(), one.snapshot());
        }
    }
}
