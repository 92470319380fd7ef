//! Where answers are kept: in memory, behind it on disk where a folder is named, and behind that in Redis where one is.
use std::path::Path;
use std::time::Duration;

use aic_cache::semantic::{NgramEmbedder, Similarity};
use aic_cache::{Cache, DiskStore, MemoryStore, Store, Tiered};
use tokio::task::spawn_blocking;

use super::chain;
use crate::config::CacheConfig;
use crate::keeping::{Answers, same, tags, worth};
use crate::{Finding, Result};

/// The cache the configuration asks for, `None` where it is turned off, and what was found on the way.
pub(crate) async fn cache(config: &CacheConfig) -> Result<(Option<Answers>, Vec<Finding>)> {
    if !config.enabled {
        return Ok((None, vec![Finding::absent("Cache", "turned off in the configuration")]));
    }
    let (disk, on_disk) = match &config.folder {
        Some(folder) => disk(folder, config.disk_bytes).await,
        None => (None, None),
    };
    let (redis, shared) = match &config.redis_url {
        Some(url) => redis(url).await,
        None => (None, Finding::absent("Redis", "REDIS_URL is not set; answers are not shared")),
    };
    let far = match (disk, redis) {
        (Some(disk), Some(redis)) => {
            Some(Box::new(Tiered::new(disk, redis).near_ttl(ON_DISK)) as Box<dyn Store>)
        }
        (Some(disk), None) => Some(Box::new(disk) as Box<dyn Store>),
        (None, redis) => redis,
    };
    let memory = MemoryStore::new(config.memory_bytes);
    let cache = match far {
        Some(far) => over(Tiered::new(memory, far), config),
        None => over(memory, config),
    };
    Ok((Some(cache), on_disk.into_iter().chain([shared]).collect()))
}

/// How long an answer from Redis stays on this machine's disk.
const ON_DISK: Duration = Duration::from_secs(24 * 60 * 60);

fn over(store: impl Store, config: &CacheConfig) -> Answers {
    let builder = Cache::builder(store);
    let builder = match config.similar_error {
        Some(bound) => builder.similarity(Similarity::new(NgramEmbedder::new(384), same).error_bound(bound)),
        None => builder,
    };
    builder
        .ttl(config.ttl)
        .stale_while_revalidate(config.stale_while_revalidate)
        .stale_if_error(config.stale_if_error)
        .worth(worth)
        .tags(tags)
        .streamed()
        .build()
}

/// The store in `folder`. One that cannot be used is told, and the rest goes on without it.
async fn disk(folder: &Path, bytes: u64) -> (Option<DiskStore>, Option<Finding>) {
    const NAME: &str = "Cache folder";
    let path = folder.to_owned();
    let opened = spawn_blocking(move || DiskStore::builder(path).capacity_bytes(bytes).build()).await;
    let (store, finding) = match opened {
        Ok(Ok(store)) => {
            (Some(store), Finding::used(NAME, format!("answers are kept in {}", folder.display())))
        }
        Ok(Err(error)) => (None, Finding::broken(NAME, chain(&error))),
        Err(panicked) => (None, Finding::broken(NAME, panicked.to_string())),
    };
    (store, Some(finding))
}

#[cfg(feature = "redis")]
async fn redis(url: &str) -> (Option<Box<dyn Store>>, Finding) {
    // Redis that is down now may come back: it stays behind the other stores, and is a miss until then.
    let redis = match aic_cache::RedisStore::lazy(url) {
        Ok(redis) => redis,
        Err(error) => return (None, Finding::broken("Redis", chain(&error))),
    };
    let finding = match redis.ping().await {
        Ok(()) => Finding::used("Redis", format!("answers are shared through {}", redis.address())),
        Err(error) => {
            Finding::broken("Redis", format!("{}; answers are not shared until it is back", chain(&error)))
        }
    };
    (Some(Box::new(redis)), finding)
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &str) -> (Option<Box<dyn Store>>, Finding) {
    let note =
        "REDIS_URL is set, but this program was built without Redis: turn on the feature `redis` of `aic`";
    (None, Finding::broken("Redis", note))
}
