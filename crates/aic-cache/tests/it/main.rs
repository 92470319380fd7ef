//! The public behaviour of the stores and of a cache over them.

#[cfg(feature = "redis")]
mod chaos;
#[cfg(feature = "disk")]
mod disk;
mod model;
#[cfg(feature = "redis")]
mod processes;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod servers;
#[cfg(feature = "redis")]
mod shared;
#[cfg(feature = "semantic")]
mod silence;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aic_cache::{
    Cache, CacheControl, Computed, Fingerprint, MemoryStore, Tenant, Tiered, testing::store_contract,
};
use tokio::task::{JoinHandle, yield_now};

#[tokio::test]
async fn memory_store_keeps_the_contract() {
    store_contract(&MemoryStore::new(1 << 20)).await;
}

#[tokio::test]
async fn two_tiers_of_memory_keep_the_contract() {
    store_contract(&Tiered::new(MemoryStore::new(1 << 20), MemoryStore::new(1 << 20))).await;
}

#[tokio::test]
async fn tiers_whose_near_store_is_too_small_keep_the_contract() {
    store_contract(&Tiered::new(MemoryStore::new(1 << 10), MemoryStore::new(1 << 20))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_many_threads_all_get_their_answer_though_a_third_is_cancelled() {
    let cache = Cache::<usize>::builder(MemoryStore::new(1 << 20)).build();
    let computing = Arc::new([const { AtomicUsize::new(0) }; 8]);

    let tasks: Vec<_> =
        (0..600).map(|i| tokio::spawn(ask(cache.clone(), computing.clone(), i % 8))).collect();
    yield_now().await;
    tasks.iter().skip(1).step_by(3).for_each(JoinHandle::abort);

    for (i, task) in tasks.into_iter().enumerate() {
        match task.await {
            Ok(answer) => assert_eq!(answer, i % 8),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
    let stats = cache.stats();
    assert_eq!(stats.stores, 8, "each answer is stored once: {stats:?}");
}

/// Asks for `number` and computes it slowly if need be, alone.
async fn ask(cache: Cache<usize>, computing: Arc<[AtomicUsize; 8]>, number: usize) -> usize {
    let key = Fingerprint::of("number", &Tenant::default(), &number).expect("a number has a fingerprint");
    let compute = || async {
        let alone = Alone::enter(&computing[number]);
        for _ in 0..20 {
            yield_now().await;
        }
        drop(alone);
        Ok::<_, Infallible>(Computed::Store(number))
    };
    let answer = cache.get_or_try_compute(&key, &CacheControl::new(), compute).await;
    answer.expect("computing cannot fail").into_value()
}

/// Panics if two are in the same place at once.
struct Alone<'a>(&'a AtomicUsize);

impl<'a> Alone<'a> {
    fn enter(place: &'a AtomicUsize) -> Self {
        assert_eq!(place.fetch_add(1, Ordering::SeqCst), 0, "two compute the same answer");
        Self(place)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
