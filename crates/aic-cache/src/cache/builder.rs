use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

#[cfg(feature = "semantic")]
use super::similar::Similar;
use super::{Cache, Inner, clearings::Clearings};
#[cfg(feature = "semantic")]
use crate::semantic::Similarity;
use crate::{Clock, Store, SystemClock, Tag, Worth};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The settings of a [`Cache`].
#[must_use]
pub struct CacheBuilder<V, P = ()> {
    store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Settings<V>,
    #[cfg(feature = "semantic")]
    similarity: Option<Similarity<V>>,
    pieces: PhantomData<fn() -> P>,
}

/// What can be said about an answer.
type About<V, T> = Box<dyn Fn(&V) -> T + Send + Sync>;

/// What a cache goes by.
pub(super) struct Settings<V> {
    pub(super) ttl: Duration,
    pub(super) refusal_ttl: Duration,
    pub(super) stale_while_revalidate: Duration,
    pub(super) stale_if_error: Duration,
    pub(super) lease_ttl: Duration,
    pub(super) pack_above: usize,
    pub(super) worth: About<V, Worth>,
    pub(super) tags: About<V, Vec<Tag>>,
}

impl<V> CacheBuilder<V> {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let settings = Settings {
            ttl: 7 * DAY,
            refusal_ttl: Duration::from_secs(60),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            lease_ttl: Duration::from_secs(1),
            pack_above: 4096,
            worth: Box::new(|_| Worth::default()),
            tags: Box::new(|_| Vec::new()),
        };
        Self {
            store,
            clock: Arc::new(SystemClock),
            settings,
            #[cfg(feature = "semantic")]
            similarity: None,
            pieces: PhantomData,
        }
    }

    /// Lets answers be streamed in pieces `P` while they are computed, so that callers with the same key can
    /// [join](super::Begin::Follow) the stream.
    ///
    /// Defaults to answers that come in one piece.
    pub fn streamed<P>(self) -> CacheBuilder<V, P> {
        CacheBuilder {
            store: self.store,
            clock: self.clock,
            settings: self.settings,
            #[cfg(feature = "semantic")]
            similarity: self.similarity,
            pieces: PhantomData,
        }
    }
}

impl<V, P> CacheBuilder<V, P> {
    /// How long answers live, ±10 % depending on the key. With zero, nothing is ever found.
    ///
    /// Defaults to 7 days.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl;
        self
    }

    /// How long it is remembered that a request was [refused](super::LeadGuard::refuse).
    ///
    /// Defaults to 60 s.
    pub fn refusal_ttl(mut self, ttl: Duration) -> Self {
        self.settings.refusal_ttl = ttl;
        self
    }

    /// For how long after its time to live an answer is still given while one caller computes it anew
    /// (RFC 5861, section 3).
    ///
    /// Defaults to zero.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.settings.stale_while_revalidate = window;
        self
    }

    /// For how long after its time to live an answer is still given if computing it anew fails
    /// (RFC 5861, section 4).
    ///
    /// Defaults to zero.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.settings.stale_if_error = window;
        self
    }

    /// How long a process that computes an answer may give no sign of life before another takes over. Only where
    /// the store has [leases](crate::Leases). With zero none are taken, and each process computes on its own. It is also
    /// the longest that others wait in vain, when a failover has lost the answer and kept the lease.
    ///
    /// Defaults to 1 s.
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.settings.lease_ttl = ttl;
        self
    }

    /// Packs answers of more than `bytes` with zstd, where that makes them smaller.
    ///
    /// Defaults to 4096.
    pub fn pack_above(mut self, bytes: usize) -> Self {
        self.settings.pack_above = bytes;
        self
    }

    /// The clock that ages are measured by.
    ///
    /// Defaults to [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What using an answer again saves, for the statistics.
    ///
    /// Defaults to a worth that is unknown.
    pub fn worth(mut self, worth: impl Fn(&V) -> Worth + Send + Sync + 'static) -> Self {
        self.settings.worth = Box::new(worth);
        self
    }

    /// The tags that can be read off an answer, such as the model that gave it.
    ///
    /// Defaults to none.
    pub fn tags(mut self, tags: impl Fn(&V) -> Vec<Tag> + Send + Sync + 'static) -> Self {
        self.settings.tags = Box::new(tags);
        self
    }

    /// Lets calls that [say so](super::CacheControl::like) take the answer to a similar question.
    ///
    /// Defaults to answers to the very same request only.
    #[cfg(feature = "semantic")]
    pub fn similarity(mut self, similarity: Similarity<V>) -> Self {
        self.similarity = Some(similarity);
        self
    }

    /// The cache.
    pub fn build(self) -> Cache<V, P> {
        let Self { store, clock, settings, .. } = self;
        let shared = store.shared();
        let inner = Inner {
            clearings: Clearings::new(shared.epochs),
            leases: shared.leases.filter(|_| !settings.lease_ttl.is_zero()),
            store,
            clock,
            settings,
            #[cfg(feature = "semantic")]
            similar: self.similarity.map(Similar::new),
            flights: Arc::default(),
            counters: Default::default(),
        };
        Cache { inner: Arc::new(inner) }
    }
}

impl<V, P> fmt::Debug for CacheBuilder<V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("store", &self.store)
            .field("ttl", &self.settings.ttl)
            .finish_non_exhaustive()
    }
}
