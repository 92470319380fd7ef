use std::{fmt, sync::Arc, time::Duration};

use super::{Cache, Inner};
use crate::{Clock, Store, SystemClock, Worth};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// The settings of a [`Cache`].
#[must_use]
pub struct CacheBuilder<V> {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    worth: Box<dyn Fn(&V) -> Worth + Send + Sync>,
}

impl<V> CacheBuilder<V> {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, clock: Arc::new(SystemClock), ttl: WEEK, worth: Box::new(|_| Worth::default()) }
    }

    /// How long answers live, ±10 % depending on the key. With zero, nothing is ever found.
    ///
    /// Defaults to 7 days.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
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
        self.worth = Box::new(worth);
        self
    }

    /// The cache.
    pub fn build(self) -> Cache<V> {
        let Self { store, clock, ttl, worth } = self;
        let (flights, counters) = Default::default();
        Cache { inner: Arc::new(Inner { store, clock, ttl, worth, flights, counters }) }
    }
}

impl<V> fmt::Debug for CacheBuilder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("store", &self.store)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
