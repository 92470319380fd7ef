//! The caches, behind one door.

use aic_cache::{Fingerprint, MemoryStore, PutOptions, Store};
use bytes::Bytes;
use foyer_memory::{CacheBuilder, EvictionConfig, LfuConfig, LruConfig, S3FifoConfig};
use futures_util::FutureExt;
use lru::LruCache;
use parking_lot::Mutex;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::DefaultLifecycle};

/// In the order of the tables; the last is what this project ships.
pub(crate) const NAMES: [&str; 7] =
    ["lru", "moka", "foyer lru", "foyer lfu", "foyer s3-fifo", "quick_cache", "MemoryStore"];

/// A cache bounded by the bytes of its values.
pub(crate) trait Candidate: Send + Sync {
    fn get(&self, key: &Fingerprint) -> Option<Bytes>;
    fn put(&self, key: Fingerprint, bytes: Bytes);
}

/// The cache with this name, set as its authors set it; it may split itself into `shards` with a lock each.
pub(crate) fn candidate(name: &str, capacity_bytes: u64, shards: usize) -> Box<dyn Candidate> {
    match name {
        "lru" => Box::new(PlainLru::new(capacity_bytes)),
        "moka" => Box::new(moka(capacity_bytes)),
        "foyer lru" => Box::new(foyer(capacity_bytes, shards, LruConfig::default().into())),
        "foyer lfu" => Box::new(foyer(capacity_bytes, shards, LfuConfig::default().into())),
        "foyer s3-fifo" => Box::new(foyer(capacity_bytes, shards, S3FifoConfig::default().into())),
        "quick_cache" => Box::new(quick(capacity_bytes, shards)),
        "nothing" => Box::new(Nothing),
        "MemoryStore" => Box::new(MemoryStore::new(capacity_bytes)),
        _ => panic!("no cache is called {name}"),
    }
}

/// The yardstick: a list in the order of last use behind one lock.
struct PlainLru {
    entries: Mutex<(LruCache<Fingerprint, Bytes>, u64)>,
    capacity_bytes: u64,
}

impl PlainLru {
    fn new(capacity_bytes: u64) -> Self {
        Self { entries: Mutex::new((LruCache::unbounded(), 0)), capacity_bytes }
    }
}

impl Candidate for PlainLru {
    fn get(&self, key: &Fingerprint) -> Option<Bytes> {
        self.entries.lock().0.get(key).cloned()
    }

    fn put(&self, key: Fingerprint, bytes: Bytes) {
        let (entries, used) = &mut *self.entries.lock();
        *used += bytes.len() as u64;
        if let Some(replaced) = entries.put(key, bytes) {
            *used -= replaced.len() as u64;
        }
        while *used > self.capacity_bytes {
            let (_, bytes) = entries.pop_lru().expect("nothing takes no room");
            *used -= bytes.len() as u64;
        }
    }
}

type Moka = moka::sync::Cache<Fingerprint, Bytes>;

fn moka(capacity_bytes: u64) -> Moka {
    let weigher = |_: &_, bytes: &Bytes| bytes.len() as u32;
    moka::sync::Cache::builder().max_capacity(capacity_bytes).weigher(weigher).build()
}

impl Candidate for Moka {
    fn get(&self, key: &Fingerprint) -> Option<Bytes> {
        self.get(key)
    }

    fn put(&self, key: Fingerprint, bytes: Bytes) {
        self.insert(key, bytes);
    }
}

type Foyer = foyer_memory::Cache<Fingerprint, Bytes>;

fn foyer(capacity_bytes: u64, shards: usize, policy: EvictionConfig) -> Foyer {
    CacheBuilder::new(capacity_bytes as usize)
        .with_shards(shards)
        .with_eviction_config(policy)
        .with_weighter(|_, bytes: &Bytes| bytes.len())
        .build()
}

impl Candidate for Foyer {
    fn get(&self, key: &Fingerprint) -> Option<Bytes> {
        self.get(key).map(|entry| entry.value().clone())
    }

    fn put(&self, key: Fingerprint, bytes: Bytes) {
        self.insert(key, bytes);
    }
}

#[derive(Clone)]
struct Length;

impl Weighter<Fingerprint, Bytes> for Length {
    fn weight(&self, _: &Fingerprint, bytes: &Bytes) -> u64 {
        bytes.len() as u64
    }
}

type Quick = quick_cache::sync::Cache<Fingerprint, Bytes, Length>;

fn quick(capacity_bytes: u64, shards: usize) -> Quick {
    let options = OptionsBuilder::new()
        .weight_capacity(capacity_bytes)
        .estimated_items_capacity((capacity_bytes / 4096).max(shards as u64 * 32) as usize)
        .shards(shards)
        .build()
        .expect("capacities are set");
    Quick::with_options(options, Length, DefaultHashBuilder::default(), DefaultLifecycle::default())
}

impl Candidate for Quick {
    fn get(&self, key: &Fingerprint) -> Option<Bytes> {
        self.get(key)
    }

    fn put(&self, key: Fingerprint, bytes: Bytes) {
        self.insert(key, bytes);
    }
}

impl Candidate for MemoryStore {
    fn get(&self, key: &Fingerprint) -> Option<Bytes> {
        let found = Store::get(self, key).now_or_never().expect("memory does not wait");
        found.expect("memory does not fail").map(|found| found.bytes)
    }

    fn put(&self, key: Fingerprint, bytes: Bytes) {
        // A refusal is an answer like any other: the entry is asked for again and counts as not found.
        let put = Store::put(self, &key, bytes, PutOptions::new()).now_or_never();
        put.expect("memory does not wait").expect("memory does not fail");
    }
}

/// Finds the same bytes under every key: what the machine does without a cache.
struct Nothing;

impl Candidate for Nothing {
    fn get(&self, _: &Fingerprint) -> Option<Bytes> {
        Some(Bytes::from_static(&[1; 2048]))
    }

    fn put(&self, _: Fingerprint, _: Bytes) {}
}
