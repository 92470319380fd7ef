use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde::Serialize;

use crate::{MissReason, Put};

/// What a [`Cache`](crate::Cache) has done since it was built. A snapshot; counts only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Answers found, by the tier they were found in.
    pub hits: BTreeMap<&'static str, u64>,
    /// Answers taken over from another caller who was computing the same.
    pub coalesced: u64,
    /// Answers read piece by piece while another caller was computing them.
    pub followed: u64,
    /// Answers given past their time to live, while they were computed anew. They are also in `hits`.
    pub stale: u64,
    /// Answers given past their time to live, because computing them anew failed.
    pub stale_if_error: u64,
    /// Requests that were known to be refused.
    pub refused: u64,
    /// Answers not found, by reason.
    pub misses: Misses,
    /// Answers handed to the store and kept.
    pub stores: u64,
    /// Their bytes, encoded.
    pub stored_bytes: u64,
    /// Answers not kept, by reason.
    pub not_stored: NotStored,
    /// What hits and coalesced answers have saved. A sum over the answers whose worth is known.
    pub saved: Saved,
}

/// Answers not found, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Misses {
    /// The store had none.
    pub absent: u64,
    /// There was one, but too old.
    pub expired: u64,
    /// There was one, but its tag had been cleared.
    pub cleared: u64,
    /// There was one, but unreadable.
    pub damaged: u64,
    /// The caller wanted none.
    pub bypassed: u64,
    /// The store could not tell.
    pub unavailable: u64,
}

/// Answers not kept, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NotStored {
    /// Larger than the store takes.
    pub too_large: u64,
    /// Somebody else had been given the lease meanwhile.
    pub superseded: u64,
    /// The caller asked not to, or the answer was discarded.
    pub declined: u64,
    /// The store could not be asked.
    pub unavailable: u64,
}

/// What the answers from the cache would have cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Saved {
    /// Tokens not computed again.
    pub tokens: u64,
    /// Billionths of a dollar not paid again.
    pub nano_usd: u64,
    /// Answers that were reused without anybody knowing their price. They are not in `nano_usd`.
    pub unpriced: u64,
}

/// What one use of a kept answer saves, as far as the caller knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    /// Tokens that need not be computed again.
    pub tokens: Option<u64>,
    /// Billionths of a dollar that need not be paid again.
    pub nano_usd: Option<u64>,
}

impl CacheStats {
    /// Answers found or taken over from another caller.
    pub fn reused(&self) -> u64 {
        self.hits.values().sum::<u64>() + self.coalesced + self.followed + self.refused
    }

    /// The share of look-ups that were answered, 0–1. Bypassed ones do not count. `None` before the first.
    pub fn hit_ratio(&self) -> Option<f64> {
        let Misses { absent, expired, cleared, damaged, unavailable, bypassed: _ } = self.misses;
        let all = self.reused() + absent + expired + cleared + damaged + unavailable;
        (all > 0).then(|| self.reused() as f64 / all as f64)
    }
}

/// The statistics of a cache in use.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<CacheStats>);

impl Counters {
    pub(crate) fn snapshot(&self) -> CacheStats {
        self.0.lock().clone()
    }

    pub(crate) fn hit(&self, tier: &'static str, worth: Worth) {
        let mut stats = self.0.lock();
        *stats.hits.entry(tier).or_default() += 1;
        stats.saved.add(worth);
    }

    pub(crate) fn coalesced(&self, worth: Worth) {
        let mut stats = self.0.lock();
        stats.coalesced += 1;
        stats.saved.add(worth);
    }

    pub(crate) fn followed(&self) {
        self.0.lock().followed += 1;
    }

    pub(crate) fn stale(&self) {
        self.0.lock().stale += 1;
    }

    pub(crate) fn stale_if_error(&self) {
        self.0.lock().stale_if_error += 1;
    }

    pub(crate) fn refused(&self) {
        self.0.lock().refused += 1;
    }

    pub(crate) fn miss(&self, reason: MissReason) {
        let misses = &mut self.0.lock().misses;
        *match reason {
            MissReason::Absent => &mut misses.absent,
            MissReason::Expired => &mut misses.expired,
            MissReason::Cleared => &mut misses.cleared,
            MissReason::Damaged => &mut misses.damaged,
            MissReason::Bypassed => &mut misses.bypassed,
            MissReason::Unavailable => &mut misses.unavailable,
        } += 1;
    }

    pub(crate) fn put(&self, put: Put) {
        let mut stats = self.0.lock();
        match put {
            Put::Stored { bytes } => {
                stats.stores += 1;
                stats.stored_bytes += bytes;
            }
            Put::TooLarge { .. } => stats.not_stored.too_large += 1,
            Put::Superseded => stats.not_stored.superseded += 1,
            Put::Declined => stats.not_stored.declined += 1,
            Put::Unavailable => stats.not_stored.unavailable += 1,
        }
    }
}

impl Saved {
    fn add(&mut self, worth: Worth) {
        self.tokens = self.tokens.saturating_add(worth.tokens.unwrap_or(0));
        match worth.nano_usd {
            Some(nano_usd) => self.nano_usd = self.nano_usd.saturating_add(nano_usd),
            None => self.unpriced += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hit_ratio_is_unknown_before_the_first_look_and_ignores_bypassed_ones() {
        let counters = Counters::default();
        counters.miss(MissReason::Bypassed);
        assert_eq!(counters.snapshot().hit_ratio(), None);

        counters.hit("memory", Worth::default());
        counters.coalesced(Worth::default());
        counters.miss(MissReason::Absent);
        counters.miss(MissReason::Unavailable);

        assert_eq!(counters.snapshot().hit_ratio(), Some(0.5));
    }

    #[test]
    fn unknown_price_is_counted_apart_and_not_as_nothing() {
        let counters = Counters::default();

        counters.hit("memory", Worth { tokens: Some(10), nano_usd: Some(700) });
        counters.hit("redis", Worth { tokens: Some(5), nano_usd: None });

        let saved = counters.snapshot().saved;
        assert_eq!((saved.tokens, saved.nano_usd, saved.unpriced), (15, 700, 1));
    }
}
