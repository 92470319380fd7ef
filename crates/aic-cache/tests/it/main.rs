//! The public behaviour of the stores and of a cache over them.

#[cfg(feature = "redis")]
mod redis;

use aic_cache::{MemoryStore, Tiered, testing::store_contract};

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
