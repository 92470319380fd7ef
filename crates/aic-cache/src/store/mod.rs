//! The door behind which bytes are kept, and the places that stand behind it.

#[cfg(feature = "disk")]
mod disk;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod shared;
mod tiered;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;

#[cfg(feature = "disk")]
pub use self::disk::{DiskStore, DiskStoreBuilder};
#[cfg(feature = "redis")]
pub use self::redis::{RedisStore, RedisStoreBuilder};
pub use self::{
    memory::MemoryStore,
    shared::{EpochLog, Epochs, Fence, Leases, Shared},
    tiered::Tiered,
};

use crate::{Fingerprint, Result};

/// A place where bytes are kept under a fingerprint and found again.
///
/// A store may forget an entry at any time, never invent one, and never return one after its time to live.
/// Implementations prove it with `testing::store_contract` (feature `testing`).
///
/// # Cancel safety
/// Dropping a `get` has no effect; dropping a `put` or `remove` may or may not have carried it out.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Returns what is kept under `key`, or `None`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the store cannot tell.
    async fn get(&self, key: &Fingerprint) -> Result<Option<Found>>;

    /// Keeps `bytes` under `key`, in place of what was there.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the store cannot be asked. A refusal is no
    /// error but a [`Put`].
    async fn put(&self, key: &Fingerprint, bytes: Bytes, options: PutOptions) -> Result<Put>;

    /// Forgets what is kept under `key`, if anything.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the entry may still be there.
    async fn remove(&self, key: &Fingerprint) -> Result<()>;

    /// What those who use this store together must agree on. [`Shared::default`] for a store that belongs to
    /// one process and forgets with it. A store whose entries outlive the process, or are used by several, needs a
    /// log of [epochs](Shared::epochs): without one a [`Cache`](crate::Cache) trusts only what it has stored itself.
    fn shared(&self) -> Shared;

    /// How full the store is, one line for each of its tiers, the nearest first.
    fn tiers(&self) -> Vec<TierStats>;
}

/// How full one tier of a store is, and what it has done. `None` where the tier does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TierStats {
    /// Its name, as in [`Found::tier`].
    pub tier: &'static str,
    /// Entries it holds.
    pub entries: Option<u64>,
    /// Bytes it holds, with what each entry costs beside its own bytes.
    pub bytes: Option<u64>,
    /// The most bytes it holds.
    pub capacity_bytes: Option<u64>,
    /// Entries it has dropped to make room.
    pub evictions: Option<u64>,
}

impl TierStats {
    /// A tier of which nothing is known but its name.
    pub fn new(tier: &'static str) -> Self {
        Self { tier, ..Self::default() }
    }
}

/// What a store found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The bytes as they were put.
    pub bytes: Bytes,
    /// The time left to live; `None` if the entry has no end or the store does not know it.
    pub ttl: Option<Duration>,
    /// Where they were found, as in `"memory"` or `"redis"`.
    pub tier: &'static str,
}

impl Found {
    /// Bytes found in `tier` with no known end.
    pub fn new(bytes: Bytes, tier: &'static str) -> Self {
        Self { bytes, ttl: None, tier }
    }

    /// The same with `ttl` left to live.
    pub fn ttl(self, ttl: Option<Duration>) -> Self {
        Self { ttl, ..self }
    }
}

/// How an entry is to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// How long the entry may be found; `None` means as long as there is room. Stores count in
    /// milliseconds or finer; less than one millisecond may be rounded up to one.
    pub ttl: Option<Duration>,
    /// The lease under which the entry was made: it is refused if a later one has been given since. A store
    /// without [`Leases`] ignores it.
    pub fence: Option<Fence>,
}

impl PutOptions {
    /// Options for an entry without an end.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with this time to live. Defaults to `None`.
    pub fn ttl(self, ttl: Option<Duration>) -> Self {
        Self { ttl, ..self }
    }

    /// The same under this lease. Defaults to `None`.
    pub fn fence(self, fence: Option<Fence>) -> Self {
        Self { fence, ..self }
    }
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Put {
    /// The entry is kept.
    Stored {
        /// Bytes given to the store.
        bytes: u64,
    },
    /// The entry is larger than the store takes; what was there before is gone.
    TooLarge {
        /// Size of the entry in bytes.
        bytes: u64,
        /// The largest size the store takes, in bytes.
        limit: u64,
    },
    /// Somebody else was given the lease of this key since: what is there now is theirs.
    Superseded,
    /// The caller asked not to store. Said by a [`Cache`](crate::Cache), never by a store.
    Declined,
    /// The store could not be asked. Said by a [`Cache`](crate::Cache), never by a store.
    Unavailable,
}

impl Put {
    /// Whether the entry is kept.
    pub fn is_stored(&self) -> bool {
        matches!(self, Put::Stored { .. })
    }
}

/// The size of `bytes` as `u64`.
fn size(bytes: &Bytes) -> u64 {
    bytes.len() as u64
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        impl<S: Store + ?Sized> Store for $pointer<S> {
            // Written out, so that the inner future is not put into a second box.
            fn get<'a, 'k, 'f>(&'a self, key: &'k Fingerprint) -> BoxFuture<'f, Result<Option<Found>>>
            where
                'a: 'f,
                'k: 'f,
                Self: 'f,
            {
                (**self).get(key)
            }

            async fn put(&self, key: &Fingerprint, bytes: Bytes, options: PutOptions) -> Result<Put> {
                (**self).put(key, bytes, options).await
            }

            async fn remove(&self, key: &Fingerprint) -> Result<()> {
                (**self).remove(key).await
            }

            fn shared(&self) -> Shared {
                (**self).shared()
            }

            fn tiers(&self) -> Vec<TierStats> {
                (**self).tiers()
            }
        }
    };
}

forward!(Arc);
forward!(Box);
