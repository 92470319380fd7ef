use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use super::{Found, Put, PutOptions, Shared, Store, TierStats, size};
use crate::{Fingerprint, Result};

/// What an entry costs beside its bytes: its slot with the key, its share of the hash table, the handle by which
/// readers share its bytes, what the allocator adds, and room that growing tables do not use yet. Between 147 and
/// 209 bytes were measured, depending on how many entries there are (`docs/performance.md`).
const OVERHEAD_BYTES: u64 = 210;

/// The store is split into parts with a lock each, as many as are this large.
const SHARD_BYTES: u64 = 8 << 20;
const SHARDS_MAX: u64 = 64;

/// The share of a part for entries that were asked for again; the rest is for new ones. No entry may be larger.
/// quick_cache's 0.97 as a binary fraction, so that the limit is exact.
const HOT_SHARE: f64 = 31.0 / 32.0;

/// For so many bytes of capacity the store remembers one entry that it dropped, to keep it for longer if it comes
/// back. Twice quick_cache's number: it costs half a point of hits where popularity never changes, and wins up
/// to two where it does (`docs/performance.md`).
const BYTES_PER_GHOST: u64 = 4096;

/// Entries in the memory of this process, up to a number of bytes.
///
/// When the store is full, entries that were not asked for again go first (Clock-PRO, as in the crate quick_cache:
/// [Jiang, Chen and Zhang 2005](https://www.usenix.org/legacy/events/usenix05/tech/general/full_papers/jiang/jiang.pdf)),
/// so questions asked once do not push out popular ones.
///
/// Each entry counts with its bytes and 210 more, the most that it was measured to cost. What the store remembers
/// of dropped entries (3 % of the capacity at most) and the allocator's gaps come on top: a full store of 64 MiB
/// was seen to take 70. A store of 16 MiB or more is split into up to 64 parts of at least 8 MiB; an entry may take
/// 31/32 of a part.
///
/// An entry whose time is over is never found. It is taken out when it is asked for or room is needed, not
/// earlier: there is no task in the background. Nothing waits: every future of this store is ready at once. Time
/// follows the system's monotonic clock.
pub struct MemoryStore {
    entries: Cache<Fingerprint, Slot, Weight, DefaultHashBuilder, Eviction>,
    evictions: AtomicU64,
    capacity_bytes: u64,
}

impl MemoryStore {
    /// A store of at most `capacity_bytes`. A store of 0 bytes takes nothing.
    pub fn new(capacity_bytes: u64) -> Self {
        Self::with_shards(capacity_bytes, shards(capacity_bytes))
    }

    fn with_shards(capacity_bytes: u64, shards: u64) -> Self {
        let ghosts = (capacity_bytes / BYTES_PER_GHOST).max(shards * 32);
        let options = OptionsBuilder::new()
            .shards(shards as usize)
            .weight_capacity(capacity_bytes / shards * shards)
            .hot_allocation(HOT_SHARE)
            .estimated_items_capacity(usize::try_from(ghosts).unwrap_or(usize::MAX))
            .ghost_allocation(1.0)
            .build()
            .expect("both capacities are set");
        let entries = Cache::with_options(options, Weight, DefaultHashBuilder::default(), Eviction);
        Self { entries, evictions: AtomicU64::new(0), capacity_bytes }
    }

    /// The most this store holds, in bytes.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// What this store holds, in bytes, entries included whose time is over but that nobody asked for since.
    pub fn used_bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// The largest entry this store takes, in bytes without overhead; `None` if it takes not even an empty one.
    fn entry_bytes_max(&self) -> Option<u64> {
        ((self.entries.shard_capacity() as f64 * HOT_SHARE) as u64).checked_sub(OVERHEAD_BYTES)
    }

    fn get_at(&self, key: &Fingerprint, now: Instant) -> Option<Found> {
        let slot = self.entries.get(key)?;
        if slot.has_ended(now) {
            self.entries.remove_if(key, |slot| slot.has_ended(now));
            return None;
        }
        Some(slot.found(now))
    }

    fn put_at(&self, key: &Fingerprint, bytes: &Bytes, ttl: Option<Duration>, now: Instant) -> Put {
        let limit = self.entry_bytes_max();
        if limit.is_none_or(|limit| size(bytes) > limit) {
            self.entries.remove(key);
            return Put::TooLarge { bytes: size(bytes), limit: limit.unwrap_or(0) };
        }
        let mut dropped = Dropped { now: Some(now), ..Dropped::default() };
        self.entries.insert_with_lifecycle(*key, Slot::new(bytes, ttl, now), &mut dropped);
        self.evictions.fetch_add(dropped.evictions, Relaxed);
        Put::Stored { bytes: size(bytes) }
    }
}

/// A power of two, because the cache takes no other number.
fn shards(capacity_bytes: u64) -> u64 {
    let parts = (capacity_bytes / SHARD_BYTES).clamp(1, SHARDS_MAX);
    1 << parts.ilog2()
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Fingerprint) -> Result<Option<Found>> {
        Ok(self.get_at(key, Instant::now()))
    }

    async fn put(&self, key: &Fingerprint, bytes: Bytes, options: PutOptions) -> Result<Put> {
        Ok(self.put_at(key, &bytes, options.ttl, Instant::now()))
    }

    async fn remove(&self, key: &Fingerprint) -> Result<()> {
        self.entries.remove(key);
        Ok(())
    }

    fn shared(&self) -> Shared {
        Shared::default()
    }

    fn tiers(&self) -> Vec<TierStats> {
        vec![TierStats {
            entries: Some(self.entries.len() as u64),
            bytes: Some(self.used_bytes()),
            capacity_bytes: Some(self.capacity_bytes),
            evictions: Some(self.evictions.load(Relaxed)),
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
    /// Copies `bytes`: a part of a larger buffer would keep the whole buffer, which nobody would count.
    fn new(bytes: &Bytes, ttl: Option<Duration>, now: Instant) -> Self {
        Self { bytes: Bytes::copy_from_slice(bytes), ends: ttl.and_then(|ttl| now.checked_add(ttl)) }
    }

    fn has_ended(&self, now: Instant) -> bool {
        self.ends.is_some_and(|end| end <= now)
    }

    fn found(self, now: Instant) -> Found {
        Found::new(self.bytes, "memory").ttl(self.ends.map(|end| end - now))
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Fingerprint, Slot> for Weight {
    fn weight(&self, _: &Fingerprint, slot: &Slot) -> u64 {
        size(&slot.bytes).saturating_add(OVERHEAD_BYTES)
    }
}

#[derive(Clone)]
struct Eviction;

/// What one put pushed out. It is freed with this value, when the lock is open again.
#[derive(Default)]
struct Dropped {
    now: Option<Instant>,
    evictions: u64,
    slots: Vec<Slot>,
}

impl Lifecycle<Fingerprint, Slot> for Eviction {
    type RequestState = Dropped;

    /// Called for entries that make room, not for those replaced by a newer one. An entry whose time was over is
    /// no loss.
    fn before_evict(&self, dropped: &mut Dropped, _: &Fingerprint, slot: &mut Slot) {
        dropped.evictions += u64::from(!dropped.now.is_some_and(|now| slot.has_ended(now)));
    }

    /// Called for both.
    fn on_evict(&self, dropped: &mut Dropped, _: Fingerprint, slot: Slot) {
        dropped.slots.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Barrier, thread};

    use futures_util::FutureExt;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);
    const MINUTE: Duration = Duration::from_secs(60);

    fn evictions(store: &MemoryStore) -> u64 {
        store.tiers()[0].evictions.unwrap()
    }

    #[tokio::test]
    async fn entry_larger_than_the_store_is_refused_by_name_and_replaces_nothing_silently() {
        let store = MemoryStore::new(1024);
        store.put(&KEY, Bytes::from_static(b"old"), PutOptions::new()).await.unwrap();

        let put = store.put(&KEY, vec![0; 1000].into(), PutOptions::new()).await.unwrap();

        assert_eq!(put, Put::TooLarge { bytes: 1000, limit: 782 });
        assert_eq!(store.get(&KEY).await.unwrap(), None);
        assert_eq!(evictions(&store), 0);
    }

    #[tokio::test]
    async fn largest_allowed_entry_is_kept_whatever_the_capacity() {
        for capacity in [1024, 1025, 8 << 20, (16 << 20) + 1, 64 << 20] {
            let store = MemoryStore::new(capacity);
            let limit = store.entry_bytes_max().unwrap() as usize;

            let larger = store.put(&KEY, vec![1; limit + 1].into(), PutOptions::new()).await.unwrap();
            let largest = store.put(&KEY, vec![1; limit].into(), PutOptions::new()).await.unwrap();

            assert_eq!(larger, Put::TooLarge { bytes: limit as u64 + 1, limit: limit as u64 });
            assert_eq!(largest, Put::Stored { bytes: limit as u64 });
            assert!(store.get(&KEY).await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn store_of_too_few_bytes_takes_not_even_an_empty_entry() {
        for capacity in [0, 1, OVERHEAD_BYTES] {
            let put = MemoryStore::new(capacity).put(&KEY, Bytes::new(), PutOptions::new()).await.unwrap();

            assert_eq!(put, Put::TooLarge { bytes: 0, limit: 0 });
        }
    }

    #[tokio::test]
    async fn many_entries_never_hold_more_than_the_capacity_and_dropped_ones_are_counted() {
        let store = MemoryStore::new(10_000);

        for i in 0..200u8 {
            let key = Fingerprint::from_bytes([i; 32]);
            store.put(&key, vec![i; 500].into(), PutOptions::new()).await.unwrap();
        }

        assert!((1..=10_000).contains(&store.used_bytes()), "{store:?}");
        assert_eq!(evictions(&store) + store.tiers()[0].entries.unwrap(), 200);
    }

    #[tokio::test]
    async fn replaced_and_removed_entries_are_no_evictions() {
        let store = MemoryStore::new(10_000);

        for _ in 0..100 {
            store.put(&KEY, vec![1; 5_000].into(), PutOptions::new()).await.unwrap();
        }
        store.remove(&KEY).await.unwrap();

        assert_eq!((evictions(&store), store.used_bytes()), (0, 0));
    }

    #[test]
    fn entry_whose_time_is_over_makes_room_without_an_eviction() {
        let (store, now) = (MemoryStore::new(1024), Instant::now());
        let bytes = Bytes::from(vec![1; 600]);
        store.put_at(&KEY, &bytes, Some(MINUTE), now);

        store.put_at(&Fingerprint::from_bytes([8; 32]), &bytes, None, now + MINUTE);

        assert_eq!((evictions(&store), store.used_bytes()), (0, 600 + OVERHEAD_BYTES));
    }

    #[test]
    fn entry_whose_time_is_over_gives_its_room_back_when_asked_for() {
        let (store, now) = (MemoryStore::new(1024), Instant::now());
        store.put_at(&KEY, &Bytes::from_static(b"x"), Some(MINUTE), now);

        let before = store.get_at(&KEY, now + MINUTE - Duration::from_nanos(1)).unwrap();

        assert_eq!(before.ttl, Some(Duration::from_nanos(1)));
        assert_eq!(store.get_at(&KEY, now + MINUTE), None);
        assert_eq!(store.used_bytes(), 0);
    }

    #[tokio::test]
    async fn time_to_live_beyond_any_calendar_means_no_end() {
        let store = MemoryStore::new(1024);
        let forever = PutOptions::new().ttl(Some(Duration::MAX));

        store.put(&KEY, Bytes::from_static(b"x"), forever).await.unwrap();

        assert_eq!(store.get(&KEY).await.unwrap().unwrap().ttl, None);
    }

    #[test]
    fn no_future_waits() {
        let store = MemoryStore::new(1024);

        let put = store.put(&KEY, Bytes::from_static(b"x"), PutOptions::new()).now_or_never();
        let found = store.get(&KEY).now_or_never();
        let removed = store.remove(&KEY).now_or_never();

        assert!(put.is_some() && found.is_some() && removed.is_some());
    }

    #[test]
    fn part_of_a_large_buffer_does_not_keep_the_buffer() {
        let (store, now) = (MemoryStore::new(1024), Instant::now());
        let buffer = Bytes::from(vec![1; 100_000]);
        store.put_at(&KEY, &buffer.slice(..10), None, now);

        assert!(buffer.is_unique());
        assert_eq!(store.get_at(&KEY, now).unwrap().bytes, buffer[..10]);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Get(u8),
        Put { key: u8, len: usize, ttl_ms: Option<u64> },
        Remove(u8),
        Wait(Duration),
    }

    /// Operations on `keys` keys with entries of up to `len_max` bytes.
    fn op(keys: u8, len_max: usize) -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..keys).prop_map(Op::Get),
            4 => (0..keys, 0..=len_max, proptest::option::of(0..50_u64))
                .prop_map(|(key, len, ttl_ms)| Op::Put { key, len, ttl_ms }),
            1 => (0..keys).prop_map(Op::Remove),
            1 => (0..50_u64).prop_map(|ms| Op::Wait(Duration::from_millis(ms))),
        ]
    }

    fn key(key: u8) -> Fingerprint {
        Fingerprint::from_bytes([key; 32])
    }

    /// What a store without a capacity would hold: the number of the put, the length, the end.
    type Model = HashMap<u8, (usize, usize, Option<Instant>)>;

    /// The bytes of the `n`-th put; no two puts have the same, but for those too short to tell.
    fn bytes(n: usize, len: usize) -> Bytes {
        n.to_le_bytes().into_iter().cycle().take(len).collect()
    }

    fn live(model: &Model, key: u8, now: Instant) -> Option<Found> {
        let (n, len, end) = *model.get(&key)?;
        let found =
            Found::new(bytes(n, len), "memory").ttl(end.map(|end| end.saturating_duration_since(now)));
        end.is_none_or(|end| now < end).then_some(found)
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_was_put_last_and_has_not_ended(
            capacity in prop_oneof![Just(4096), Just(1 << 20)],
            ops in vec(op(12, 700), 1..400),
        ) {
            let (store, mut model, mut now) = (MemoryStore::new(capacity), Model::new(), Instant::now());
            for (n, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Wait(time) => now += time,
                    Op::Remove(k) => {
                        store.remove(&key(k)).now_or_never().unwrap().unwrap();
                        model.remove(&k);
                        prop_assert_eq!(store.get_at(&key(k), now), None);
                    }
                    Op::Put { key: k, len, ttl_ms } => {
                        let ttl = ttl_ms.map(Duration::from_millis);
                        prop_assert!(store.put_at(&key(k), &bytes(n, len), ttl, now).is_stored());
                        model.insert(k, (n, len, ttl.map(|ttl| now + ttl)));
                    }
                    Op::Get(k) => {
                        let (found, expected) = (store.get_at(&key(k), now), live(&model, k, now));
                        // Only an eviction may lose what is alive.
                        prop_assert!(found == expected || found.is_none() && evictions(&store) > 0);
                    }
                }
                prop_assert!(store.used_bytes() <= capacity);
            }
            prop_assert!(capacity == 4096 || evictions(&store) == 0);
        }
    }

    proptest! {
        // Each case starts threads.
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn threads_find_only_what_one_of_them_put_under_the_key(
            scripts in vec(vec(op(64, 3_000), 1_000..2_000), 4),
        ) {
            let store = MemoryStore::with_shards(32 << 10, 4);
            let (start, now) = (Barrier::new(scripts.len()), Instant::now());
            assert_eq!(store.entries.num_shards(), 4);
            thread::scope(|scope| {
                for script in &scripts {
                    scope.spawn(|| {
                        start.wait();
                        script.iter().for_each(|op| carry_out(&store, op, now));
                    });
                }
            });
        }
    }

    /// Puts bytes that name their key in each place; those that end at once are all 255. Time stands still, or
    /// one thread's present would be another's past.
    fn carry_out(store: &MemoryStore, op: &Op, now: Instant) {
        match *op {
            Op::Wait(_) => thread::yield_now(),
            Op::Remove(k) => drop(store.entries.remove(&key(k))),
            Op::Put { key: k, len, ttl_ms: Some(_) } => {
                store.put_at(&key(k), &vec![255; len].into(), Some(Duration::ZERO), now);
            }
            Op::Put { key: k, len, ttl_ms: None } => {
                store.put_at(&key(k), &vec![k; len].into(), None, now);
            }
            Op::Get(k) => {
                let found = store.get_at(&key(k), now).map(|found| found.bytes).unwrap_or_default();
                assert!(found.iter().all(|byte| *byte == k), "another key's bytes or ended ones");
            }
        }
        assert!(store.used_bytes() <= store.capacity_bytes());
    }
}
