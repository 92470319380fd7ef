use std::{
    fmt,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use moka::{Expiry, future::Cache};

use super::{Found, Put, PutOptions, Shared, Store, TierStats, size};
use crate::{Fingerprint, Result};

/// What an entry costs beside its bytes: key, moka's node and hash table slot, the `Bytes` handle. An estimate.
const OVERHEAD_BYTES: u64 = 256;

/// Entries in the memory of this process, up to a number of bytes.
///
/// Built on moka: the entries likeliest to be asked for again stay (TinyLFU), so when the store is full a
/// new entry may be the one that is dropped. Each entry counts with its bytes and 256 more. Expiry follows
/// the system's monotonic clock.
pub struct MemoryStore {
    entries: Cache<Fingerprint, Slot>,
    capacity_bytes: u64,
}

impl MemoryStore {
    /// A store of at most `capacity_bytes`. A store of 0 bytes takes nothing.
    pub fn new(capacity_bytes: u64) -> Self {
        let entries = Cache::builder()
            .name("aic-cache")
            .max_capacity(capacity_bytes)
            .weigher(|_, slot: &Slot| u32::try_from(weight(&slot.bytes)).unwrap_or(u32::MAX))
            .expire_after(PerEntry)
            .build();
        Self { entries, capacity_bytes }
    }

    /// The most this store holds, in bytes.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// What this store holds, in bytes; recent changes may not have been counted yet.
    pub fn used_bytes(&self) -> u64 {
        self.entries.weighted_size()
    }

    /// The largest entry this store takes, in bytes. moka weighs entries in 32 bits.
    fn entry_bytes_max(&self) -> u64 {
        self.capacity_bytes.min(u32::MAX.into()).saturating_sub(OVERHEAD_BYTES)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Fingerprint) -> Result<Option<Found>> {
        let now = Instant::now();
        let slot = self.entries.get(key).await;
        Ok(slot.filter(|slot| slot.ends.is_none_or(|end| now < end)).map(|slot| slot.found(now)))
    }

    async fn put(&self, key: &Fingerprint, bytes: Bytes, options: PutOptions) -> Result<Put> {
        let (bytes_len, limit) = (size(&bytes), self.entry_bytes_max());
        if weight(&bytes) > self.capacity_bytes || bytes_len > limit {
            self.entries.invalidate(key).await;
            return Ok(Put::TooLarge { bytes: bytes_len, limit });
        }
        self.entries.insert(*key, Slot::new(bytes, options.ttl)).await;
        Ok(Put::Stored { bytes: bytes_len })
    }

    async fn remove(&self, key: &Fingerprint) -> Result<()> {
        self.entries.invalidate(key).await;
        Ok(())
    }

    fn shared(&self) -> Shared {
        Shared::default()
    }

    fn tiers(&self) -> Vec<TierStats> {
        vec![TierStats {
            entries: Some(self.entries.entry_count()),
            bytes: Some(self.used_bytes()),
            capacity_bytes: Some(self.capacity_bytes),
            ..TierStats::new("memory")
        }]
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("capacity_bytes", &self.capacity_bytes)
            .field("used_bytes", &self.used_bytes())
            .finish()
    }
}

#[derive(Clone)]
struct Slot {
    bytes: Bytes,
    ends: Option<Instant>,
}

impl Slot {
    fn new(bytes: Bytes, ttl: Option<Duration>) -> Self {
        Self { bytes, ends: ttl.and_then(|ttl| Instant::now().checked_add(ttl)) }
    }

    fn found(self, now: Instant) -> Found {
        Found::new(self.bytes, "memory").ttl(self.ends.map(|end| end - now))
    }
}

fn weight(bytes: &Bytes) -> u64 {
    size(bytes).saturating_add(OVERHEAD_BYTES)
}

/// Lets moka give back the room of an entry when its own time is over.
struct PerEntry;

impl Expiry<Fingerprint, Slot> for PerEntry {
    fn expire_after_create(&self, _: &Fingerprint, slot: &Slot, now: Instant) -> Option<Duration> {
        slot.ends.map(|end| end.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        key: &Fingerprint,
        slot: &Slot,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, slot, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);

    #[tokio::test]
    async fn entry_larger_than_the_store_is_refused_by_name_and_replaces_nothing_silently() {
        let store = MemoryStore::new(1024);
        store.put(&KEY, Bytes::from_static(b"old"), PutOptions::new()).await.unwrap();

        let put = store.put(&KEY, vec![0; 1000].into(), PutOptions::new()).await.unwrap();

        assert_eq!(put, Put::TooLarge { bytes: 1000, limit: 768 });
        assert_eq!(store.get(&KEY).await.unwrap(), None);
    }

    #[tokio::test]
    async fn largest_allowed_entry_is_kept() {
        let store = MemoryStore::new(1024);

        let put = store.put(&KEY, vec![1; 768].into(), PutOptions::new()).await.unwrap();

        assert_eq!(put, Put::Stored { bytes: 768 });
        assert!(store.get(&KEY).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn store_of_no_bytes_takes_not_even_an_empty_entry() {
        let put = MemoryStore::new(0).put(&KEY, Bytes::new(), PutOptions::new()).await.unwrap();

        assert_eq!(put, Put::TooLarge { bytes: 0, limit: 0 });
    }

    #[tokio::test]
    async fn many_entries_never_hold_more_than_the_capacity() {
        let store = MemoryStore::new(10_000);

        for i in 0..200u8 {
            let key = Fingerprint::from_bytes([i; 32]);
            store.put(&key, vec![i; 500].into(), PutOptions::new()).await.unwrap();
        }

        store.entries.run_pending_tasks().await;
        assert!((1..=10_000).contains(&store.used_bytes()), "{store:?}");
    }

    #[tokio::test]
    async fn time_to_live_beyond_any_calendar_means_no_end() {
        let store = MemoryStore::new(1024);
        let forever = PutOptions::new().ttl(Some(Duration::MAX));

        store.put(&KEY, Bytes::from_static(b"x"), forever).await.unwrap();

        assert_eq!(store.get(&KEY).await.unwrap().unwrap().ttl, None);
    }
}
