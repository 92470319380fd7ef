//! For implementors and users of the doors: a contract for each, a store that fails, a clock set by hand.

mod epoch_log;
mod leases;

use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

pub use self::{epoch_log::epoch_log_contract, leases::lease_contract};
use crate::{Clock, Error, Fingerprint, Found, Put, PutOptions, Result, Shared, Store, Tenant, TierStats};

/// Checks what every [`Store`] promises. Takes a fraction of a second of real time, because entries expire.
///
/// The store must take entries of 100 kB. Keys are chosen afresh in each run and removed at the end.
///
/// # Panics
/// If the store breaks a promise or is unavailable.
pub async fn store_contract(store: &dyn Store) {
    let [first, second, brief] = ["first", "second", "brief"].map(fresh_key);
    absent_entry_is_not_found(store, &first).await;
    entry_is_found_as_it_was_put(store, &first).await;
    later_put_replaces(store, &first).await;
    keys_do_not_mix(store, &first, &second).await;
    removed_entry_is_gone(store, &first).await;
    entry_is_gone_after_its_time(store, &brief).await;
    store.remove(&second).await.expect("store is available");
}

fn fresh_key(name: &str) -> Fingerprint {
    let unique = (name, std::process::id(), SystemTime::now());
    Fingerprint::of("store contract", &Tenant::default(), &unique).expect("a tuple has a fingerprint")
}

async fn get(store: &dyn Store, key: &Fingerprint) -> Option<Found> {
    store.get(key).await.expect("store is available")
}

async fn put(store: &dyn Store, key: &Fingerprint, bytes: &Bytes, ttl: Option<Duration>) {
    let options = PutOptions::new().ttl(ttl);
    let put = store.put(key, bytes.clone(), options).await.expect("store is available");
    assert!(put.is_stored(), "{} bytes were not stored: {put:?}", bytes.len());
}

async fn absent_entry_is_not_found(store: &dyn Store, key: &Fingerprint) {
    assert_eq!(get(store, key).await, None);
    store.remove(key).await.expect("removing nothing is no error");
}

async fn entry_is_found_as_it_was_put(store: &dyn Store, key: &Fingerprint) {
    let every_byte = (0..=u8::MAX).cycle().take(100_000).collect();
    for bytes in [Bytes::new(), Bytes::from_static(b"\0\xff"), every_byte] {
        put(store, key, &bytes, None).await;
        assert_eq!(get(store, key).await.expect("entry was put").bytes, bytes);
    }
}

async fn later_put_replaces(store: &dyn Store, key: &Fingerprint) {
    let (later, hour) = (Bytes::from_static(b"later"), Duration::from_secs(3600));
    put(store, key, &later, Some(hour)).await;
    let found = get(store, key).await.expect("entry was put");
    assert_eq!(found.bytes, later);
    assert!(found.ttl.is_none_or(|ttl| ttl <= hour), "lives longer than asked: {:?}", found.ttl);
}

async fn keys_do_not_mix(store: &dyn Store, key: &Fingerprint, other: &Fingerprint) {
    assert_eq!(get(store, other).await, None);
    put(store, other, &Bytes::from_static(b"other"), None).await;
    assert_eq!(get(store, key).await.expect("entry is kept").bytes, "later");
    assert_eq!(get(store, other).await.expect("entry was put").bytes, "other");
}

async fn removed_entry_is_gone(store: &dyn Store, key: &Fingerprint) {
    store.remove(key).await.expect("store is available");
    assert_eq!(get(store, key).await, None);
}

async fn entry_is_gone_after_its_time(store: &dyn Store, key: &Fingerprint) {
    put(store, key, &Bytes::from_static(b"brief"), Some(Duration::from_millis(100))).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(get(store, key).await, None);
}

/// A store that is never available.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrokenStore;

#[async_trait]
impl Store for BrokenStore {
    async fn get(&self, _: &Fingerprint) -> Result<Option<Found>> {
        Err(broken())
    }

    async fn put(&self, _: &Fingerprint, _: Bytes, _: PutOptions) -> Result<Put> {
        Err(broken())
    }

    async fn remove(&self, _: &Fingerprint) -> Result<()> {
        Err(broken())
    }

    fn shared(&self) -> Shared {
        Shared::default()
    }

    fn tiers(&self) -> Vec<TierStats> {
        vec![TierStats::new("broken")]
    }
}

fn broken() -> Error {
    Error::Unavailable { store: "broken".to_owned(), source: "it always is".into() }
}

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    start: Instant,
    elapsed: std::sync::Arc<Mutex<Duration>>,
}

impl ManualClock {
    /// A clock that stands on 1 January 2026, 00:00 UTC.
    pub fn new() -> Self {
        Self { start: Instant::now(), elapsed: Default::default() }
    }

    /// Moves the clock on by `step`.
    pub fn advance(&self, step: Duration) {
        *self.elapsed.lock() += step;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.start + *self.elapsed.lock()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600) + *self.elapsed.lock()
    }
}
