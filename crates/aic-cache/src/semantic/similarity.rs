use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use super::{Embedder, ErrorBound, WrongHits};

/// Whether two answers come to the same.
type Same<V> = Box<dyn Fn(&V, &V) -> bool + Send + Sync>;

/// When a [`Cache`](crate::Cache) may give the answer to a similar question, set by
/// [`CacheBuilder::similarity`](crate::CacheBuilder::similarity).
///
/// A question is embedded and looked up among those of the same scope: requests that agree in everything but the last
/// text of the user. The answer to the nearest one is given only if no [guard](super::conflict) finds that the two ask
/// for different things, and only as often as what has been learned about that answer allows: the chance that it is
/// wrong stays within the [error bound](Self::error_bound). Nothing is known about a new answer, so at first the
/// question is computed, and both answers are compared: that is what is learned from. A sample of what is given is
/// computed and compared as well, and gives the [estimate of wrong hits](crate::CacheStats::similarity).
///
/// What is learned is in memory only, and forgotten with the process.
///
/// ```
/// use aic_cache::{Cache, MemoryStore, semantic::{ErrorBound, NgramEmbedder, Similarity, same_text}};
///
/// let similarity = Similarity::new(NgramEmbedder::new(384), |a: &String, b: &String| same_text(a, b))
///     .error_bound(ErrorBound::new(0.02)?);
/// let cache = Cache::<String>::builder(MemoryStore::new(64 << 20)).similarity(similarity).build();
/// # Ok::<(), aic_cache::Error>(())
/// ```
#[must_use]
pub struct Similarity<V> {
    pub(crate) embedder: Arc<dyn Embedder>,
    pub(crate) same: Same<V>,
    pub(crate) bound: ErrorBound,
    pub(crate) capacity: usize,
    pub(crate) sample: WrongHits,
    pub(crate) random: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl<V> Similarity<V> {
    /// Questions are near each other by `embedder`; two answers come to the same by `same`, which must not be generous:
    /// what it takes for the same is what an asker may get.
    pub fn new(embedder: impl Embedder, same: impl Fn(&V, &V) -> bool + Send + Sync + 'static) -> Self {
        Self {
            embedder: Arc::new(embedder),
            same: Box::new(same),
            bound: ErrorBound::default(),
            capacity: 100_000,
            sample: WrongHits::default(),
            random: Box::new(uniform),
        }
    }

    /// The greatest chance that a similar answer is wrong.
    ///
    /// Defaults to 1 %.
    pub fn error_bound(self, bound: ErrorBound) -> Self {
        Self { bound, ..self }
    }

    /// How many questions are remembered, at least 1; those of little use are forgotten first.
    ///
    /// Defaults to 100,000.
    pub fn capacity(self, questions: usize) -> Self {
        Self { capacity: questions, ..self }
    }

    /// How the sample of hits that are computed all the same is drawn.
    ///
    /// Defaults to 2 % of them.
    pub fn sample(self, sample: WrongHits) -> Self {
        Self { sample, ..self }
    }

    /// Where chance comes from: numbers drawn evenly from 0 (inclusive) to 1 (exclusive).
    ///
    /// Defaults to the system's.
    pub fn random(self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self { random: Box::new(random), ..self }
    }
}

/// A number from 0 to 1, from the keys the standard library draws for each hash map.
fn uniform() -> f64 {
    let bits = RandomState::new().hash_one(0) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

impl<V> fmt::Debug for Similarity<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Similarity")
            .field("embedder", &self.embedder)
            .field("bound", &self.bound)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_spread_evenly() {
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            tenths[(uniform() * 10.0) as usize] += 1;
        }

        // Six standard deviations of a tenth of 10,000.
        assert!(tenths.iter().all(|count| (820..1180).contains(count)), "{tenths:?}");
    }
}
