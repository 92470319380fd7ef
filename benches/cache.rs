//! What a look into the cache costs, beside the bare operation it is built on.
//!
//! `cargo bench --bench cache`; the Redis group runs if `AIC_TEST_REDIS_URL` or `REDIS_URL` is set.
use std::{env, time::Duration};

use aic_cache::{Cache, CacheControl, Fingerprint, MemoryStore, RedisStore, Store, Tenant};
use criterion::{Criterion, criterion_group, criterion_main};
use deadpool_redis::{Pool, Runtime::Tokio1};
use redis::AsyncCommands;
use tokio::runtime::Runtime;

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = memory, over_redis
}
criterion_main!(benches);

const PREFIX: &str = "aic:bench:";

/// A hit in memory, read and checked, beside the bytes alone.
fn memory(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let store = std::sync::Arc::new(MemoryStore::new(16 << 20));
    let (cache, key) = runtime.block_on(filled(store.clone()));
    c.bench_function("cache/memory_hit/2KB", |b| b.to_async(&runtime).iter(|| cache.get(&key)));
    c.bench_function("cache/bare_memory_get/2KB", |b| b.to_async(&runtime).iter(|| store.get(&key)));
}

/// A hit in Redis, beside one `GET` on a connection from a pool and on one that is held.
fn over_redis(c: &mut Criterion) {
    let Some(url) = env::var("AIC_TEST_REDIS_URL").or_else(|_| env::var("REDIS_URL")).ok() else {
        return println!("cache/redis_hit: skipped, neither AIC_TEST_REDIS_URL nor REDIS_URL is set");
    };
    let runtime = Runtime::new().expect("threads can be started");
    let second = Duration::from_secs(1);
    let store = RedisStore::builder(&url).prefix(PREFIX).response_timeout(second).build();
    let (cache, key) = runtime.block_on(filled(store.expect("the URL is an address")));
    let name = format!("{PREFIX}{{{key}}}");
    let (pool, held) = runtime.block_on(connections(&url));

    c.bench_function("cache/redis_hit/2KB", |b| {
        b.to_async(&runtime).iter(async || cache.get(&key).await.expect("the answer is there"));
    });
    c.bench_function("cache/bare_pooled_get/2KB", |b| {
        b.to_async(&runtime)
            .iter(async || pool.get().await.expect("Redis is there").get::<_, Vec<u8>>(&name).await);
    });
    c.bench_function("cache/bare_get/2KB", |b| {
        b.to_async(&runtime).iter(async || held.clone().get::<_, Vec<u8>>(&name).await);
    });
    runtime.block_on(cache.remove(&key)).expect("Redis is there");
}

/// A pool as `RedisStore` uses it, and one connection without a pool.
async fn connections(url: &str) -> (Pool, redis::aio::MultiplexedConnection) {
    let pool =
        deadpool_redis::Config::from_url(url).create_pool(Some(Tokio1)).expect("the URL is an address");
    let client = redis::Client::open(url).expect("the URL is an address");
    (pool, client.get_multiplexed_async_connection().await.expect("Redis is there"))
}

/// A cache over `store` with one answer of 2 KB, and its key.
async fn filled(store: impl Store) -> (Cache<String>, Fingerprint) {
    let cache = Cache::builder(store).build();
    let key = Fingerprint::of("bench 1", &Tenant::default(), "question").expect("a text has a fingerprint");
    let put = cache.put(&key, &conversation(2 << 10).concat(), &CacheControl::new()).await;
    assert!(put.expect("a text can be encoded").is_stored(), "the store keeps nothing");
    (cache, key)
}

/// About `size` bytes in messages of 512.
fn conversation(size: usize) -> Vec<String> {
    let message = "All work and no play makes Jack a dull boy. ".repeat(12);
    vec![message[..512].to_owned(); size / 512]
}
