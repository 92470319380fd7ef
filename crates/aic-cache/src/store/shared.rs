use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{Fingerprint, Result, Tag};

/// What those who use one store together must agree on, kept where its entries are kept.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Shared {
    /// Which tags were cleared; `None` where entries do not outlive the process.
    pub epochs: Option<Arc<dyn EpochLog>>,
    /// Who computes a missing answer; `None` where only one process uses the store.
    pub leases: Option<Arc<dyn Leases>>,
}

impl Shared {
    /// The same with this log of cleared tags.
    pub fn epochs(self, log: impl EpochLog) -> Self {
        Self { epochs: Some(Arc::new(log)), ..self }
    }

    /// The same with these leases.
    pub fn leases(self, leases: impl Leases) -> Self {
        Self { leases: Some(Arc::new(leases)), ..self }
    }

    /// What is agreed on here or else in `other`.
    pub fn or(self, other: Self) -> Self {
        Self { epochs: self.epochs.or(other.epochs), leases: self.leases.or(other.leases) }
    }
}

/// Which tags were cleared, and in what order.
///
/// Clearing a tag counts the epoch up and notes it for the tag. An entry notes the epoch in which its
/// computation began, so it is known to be older than the clearing without being touched: clearing costs the
/// same however many entries there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Epochs {
    /// Chosen at random when the log began. A log that was lost begins anew, and no entry made under the lost
    /// one is used any more.
    pub era: u64,
    /// The number of clearings in this era.
    pub now: u64,
    /// Every entry begun before this epoch counts as cleared; lets the log forget old clearings.
    pub floor: u64,
    /// The epoch of each tag's latest clearing, where later than `floor`.
    pub cleared: HashMap<Tag, u64>,
}

impl Epochs {
    /// An era in which nothing was cleared.
    pub fn new(era: u64) -> Self {
        Self { era, ..Self::default() }
    }
}

/// A log of cleared tags that outlives the process or is used by several.
#[async_trait]
pub trait EpochLog: fmt::Debug + Send + Sync + 'static {
    /// Returns the log, or `None` if `known`, an era and an epoch in it, is where it stands. Begins an era if
    /// there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the log cannot be read.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    async fn read(&self, known: Option<(u64, u64)>) -> Result<Option<Epochs>>;

    /// Clears `tags`, all in one new epoch.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the log cannot be written.
    ///
    /// # Cancel safety
    /// Dropping the future may or may not have cleared them.
    async fn clear(&self, tags: &[Tag]) -> Result<()>;
}

/// The right to compute the answer to one key, given to one process at a time.
///
/// A lease ends by itself, so a holder that was stopped for long may wake up after the next one has begun. Its
/// [`Fence`] is then too old, and its answer is refused
/// ([Kleppmann 2016](https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html)).
#[async_trait]
pub trait Leases: fmt::Debug + Send + Sync + 'static {
    /// Takes the lease of `key` for `ttl`; `None` if somebody holds it.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if nobody can tell.
    ///
    /// # Cancel safety
    /// Dropping the future may leave a lease that nobody uses until its time is over.
    async fn acquire(&self, key: &Fingerprint, ttl: Duration) -> Result<Option<Fence>>;

    /// Lets the lease last `ttl` from now; `false` if it is held no more.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if nobody can tell.
    async fn renew(&self, key: &Fingerprint, fence: Fence, ttl: Duration) -> Result<bool>;

    /// Gives the lease back, if it is still held. A put under the lease does that, too.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if nobody could be told; it then ends by itself.
    async fn release(&self, key: &Fingerprint, fence: Fence) -> Result<()>;
}

/// The number of a lease: greater than that of every earlier lease of the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);
