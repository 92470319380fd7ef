//! Where answers are kept: in memory, and in Redis behind it where one is configured.
use aic_cache::{Cache, MemoryStore, Store};

use crate::config::CacheConfig;
use crate::keeping::{Answers, tags, worth};
use crate::{Finding, Result};

/// The cache the configuration asks for; `None` where it is turned off.
pub(crate) async fn cache(config: &CacheConfig) -> Result<(Option<Answers>, Finding)> {
    if !config.enabled {
        return Ok((None, Finding::absent("Cache", "turned off in the configuration")));
    }
    let memory = MemoryStore::new(config.memory_bytes);
    let Some(url) = &config.redis_url else {
        return Ok((
            Some(over(memory, config)),
            Finding::absent("Redis", "REDIS_URL is not set; answers are kept in memory"),
        ));
    };
    Ok(with_redis(memory, url, config).await)
}

fn over(store: impl Store, config: &CacheConfig) -> Answers {
    Cache::builder(store)
        .ttl(config.ttl)
        .stale_while_revalidate(config.stale_while_revalidate)
        .stale_if_error(config.stale_if_error)
        .worth(worth)
        .tags(tags)
        .streamed()
        .build()
}

#[cfg(feature = "redis")]
async fn with_redis(memory: MemoryStore, url: &str, config: &CacheConfig) -> (Option<Answers>, Finding) {
    use aic_cache::{RedisStore, Tiered};

    use super::chain;

    // Redis that is down now may come back: it stays behind the memory store, and a miss until then.
    let redis = match RedisStore::lazy(url) {
        Ok(redis) => redis,
        Err(error) => return (Some(over(memory, config)), Finding::broken("Redis", chain(&error))),
    };
    let finding = match redis.ping().await {
        Ok(()) => Finding::used("Redis", format!("answers are shared through {}", redis.address())),
        Err(error) => Finding::broken(
            "Redis",
            format!("{}; answers are kept in memory until it is back", chain(&error)),
        ),
    };
    (Some(over(Tiered::new(memory, redis), config)), finding)
}

#[cfg(not(feature = "redis"))]
async fn with_redis(memory: MemoryStore, _: &str, config: &CacheConfig) -> (Option<Answers>, Finding) {
    let note =
        "REDIS_URL is set, but this program was built without Redis: turn on the feature `redis` of `aic`";
    (Some(over(memory, config)), Finding::broken("Redis", note))
}
