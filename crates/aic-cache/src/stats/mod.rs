//! What a cache has done, and how quickly.

mod counters;
mod sketch;
mod table;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::sketch::Latency;
pub(crate) use self::{
    counters::Counters,
    table::{dollars, duration, grouped},
};
use crate::TierStats;

/// What a [`Cache`](crate::Cache) has done since it was built. A snapshot; counts only grow.
///
/// Prints as a small table.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Answers found, by the tier they were found in. What was found in more than seven tiers is under `"other"`.
    pub hits: BTreeMap<&'static str, u64>,
    /// Hits that were past their time and are being renewed.
    pub stale: u64,
    /// Hits found by similarity, not by the same key.
    pub similar: u64,
    /// Hits that were known refusals: the same request would be refused again.
    pub refused: u64,
    /// Complete answers taken over from another caller who was computing the same. No hits.
    pub coalesced: u64,
    /// Live streams joined while another caller was computing the same. No hits, nor in `coalesced`.
    pub followed: u64,
    /// Answers not found, by reason.
    pub misses: Misses,
    /// Misses after which computing failed, and an answer past its time was given after all.
    pub stale_if_error: u64,
    /// Answers handed to the store and kept.
    pub stores: u64,
    /// Their bytes, encoded.
    pub stored_bytes: u64,
    /// Answers not kept, by reason.
    pub not_stored: NotStored,
    /// What hits, coalesced and followed answers have saved. A sum over the answers whose worth is known.
    pub saved: Saved,
    /// How long looks and stores took.
    pub latency: Latencies,
    /// How full the store is, one line for each of its tiers, the nearest first.
    pub tiers: Vec<TierStats>,
    /// How right the answers to similar questions are; `None` where none are given.
    pub similarity: Option<SimilarityStats>,
}

/// How right the answers to similar questions are, by a sample of them that was computed and compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SimilarityStats {
    /// Questions that are remembered.
    pub questions: u64,
    /// Near questions that were passed over because they ask for something else.
    pub conflicts: u64,
    /// Hits in the sample.
    pub verified: u64,
    /// Hits in the sample whose answer was wrong.
    pub wrong: u64,
    /// Their share, 0–1; `None` before the first.
    pub wrong_rate: Option<f64>,
    /// Between which shares the true one lies, with 95 % confidence; `None` before the first.
    pub interval: Option<(f64, f64)>,
}

/// Answers not found, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Misses {
    /// The store had none.
    pub absent: u64,
    /// There was one, but too old.
    pub expired: u64,
    /// There was one, but unreadable.
    pub damaged: u64,
    /// There was one, but one of its tags had been cleared.
    pub cleared: u64,
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

/// How long looks and stores took, as the cache's [`Clock`](crate::Clock) tells the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Latencies {
    /// Looks that found an answer, by the tier it was found in.
    pub hits: BTreeMap<&'static str, Latency>,
    /// Looks that found none. The computing that may follow is not in them.
    pub misses: Latency,
    /// Answers handed to the store, whether it kept them or not.
    pub stores: Latency,
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
        self.hits.values().sum::<u64>() + self.coalesced + self.followed
    }

    /// The share of look-ups that were answered, 0–1. Bypassed ones do not count. `None` before the first.
    pub fn hit_ratio(&self) -> Option<f64> {
        let looks = self.looks();
        (looks > 0).then(|| self.reused() as f64 / looks as f64)
    }

    fn looks(&self) -> u64 {
        let Misses { absent, expired, damaged, cleared, unavailable, bypassed: _ } = self.misses;
        self.reused() + absent + expired + damaged + cleared + unavailable
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::MissReason;

    #[test]
    fn hit_ratio_is_unknown_before_the_first_look_and_ignores_bypassed_ones() {
        let counters = Counters::default();
        counters.miss(MissReason::Bypassed, Duration::ZERO);
        assert_eq!(counters.snapshot().hit_ratio(), None);

        counters.hit("memory", Worth::default(), Duration::ZERO);
        counters.coalesced(Worth::default());
        counters.followed(Worth::default());
        counters.miss(MissReason::Absent, Duration::ZERO);
        counters.miss(MissReason::Unavailable, Duration::ZERO);

        assert_eq!(counters.snapshot().hit_ratio(), Some(0.6));
    }
}
