//! A slow, made-up model behind the cache: what a miss, a hit, expiry, fifty callers at once and another
//! tenant look like, and the same over Redis if `REDIS_URL` is set.
//!
//! `cache demo` shows one case per line; `cache stats` replays a thousand questions and sums them up.
use std::{
    env,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use aic::cache::{
    Begin, BoxError, Cache, CacheControl, Fingerprint, MemoryStore, RedisStore, Store, Tenant, Tiered, Worth,
};
use clap::Parser;
use tokio::{task::JoinSet, time::sleep};

/// What the answer cache does, shown with a model that needs 300 ms.
#[derive(Parser)]
enum Command {
    /// One case per line: miss, hit, refresh, expiry, another tenant, fifty at once, Redis
    Demo,
    /// A thousand questions, some asked often, and the statistics afterwards
    Stats,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    sigpipe::reset();
    match Command::parse() {
        Command::Demo => demo().await,
        Command::Stats => stats().await,
    }
}

const SLOW: Duration = Duration::from_millis(300);

async fn demo() -> Result<(), BoxError> {
    let cache = cache(MemoryStore::new(16 << 20));
    let (ours, theirs) = (key("acme", "Why is the sky blue?")?, key("globex", "Why is the sky blue?")?);
    let (any, brief) = (CacheControl::new(), CacheControl::new().ttl(Duration::from_millis(100)));

    show("first call", ask(&cache, &ours, &any, SLOW)).await?;
    show("second call", ask(&cache, &ours, &any, SLOW)).await?;
    show("refresh, to live 100 ms", ask(&cache, &ours, &brief.no_cache(), SLOW)).await?;
    sleep(Duration::from_millis(150)).await;
    show("150 ms later", ask(&cache, &ours, &any, SLOW)).await?;
    show("another tenant", ask(&cache, &theirs, &any, SLOW)).await?;
    show("fifty at once", fifty(&cache)).await?;
    show("over Redis", over_redis()).await
}

/// Fifty tasks ask the same new question at the same moment.
async fn fifty(cache: &Cache<String>) -> Result<String, BoxError> {
    let (key, before) = (key("acme", "What is new?")?, cache.stats());
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let cache = cache.clone();
        tasks.spawn(async move { ask(&cache, &key, &CacheControl::new(), SLOW).await });
    }
    tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let (computed, shared) = (cache.stats().stores - before.stores, cache.stats().reused() - before.reused());
    Ok(format!("{computed} computed, {shared} shared"))
}

/// Two caches with memories of their own share what one of them computed.
async fn over_redis() -> Result<String, BoxError> {
    let Ok(url) = env::var("REDIS_URL") else { return Ok("skipped: REDIS_URL is not set".to_owned()) };
    let redis = match RedisStore::connect(url).await {
        Ok(redis) => Arc::new(redis),
        Err(e) => {
            return Ok(format!("broken: {e}: {}", e.source().map(ToString::to_string).unwrap_or_default()));
        }
    };
    let [ours, theirs] =
        [redis.clone(), redis].map(|redis| cache(Tiered::new(MemoryStore::new(1 << 20), redis)));
    let (key, brief) = (key("acme", "Shared?")?, CacheControl::new().ttl(Duration::from_secs(1)));
    let mut steps = Vec::new();
    for cache in [&ours, &theirs, &theirs] {
        steps.push(ask(cache, &key, &brief, SLOW).await?);
    }
    Ok(steps.join("; "))
}

async fn stats() -> Result<(), BoxError> {
    let cache = cache(MemoryStore::new(16 << 20));
    for i in 0..1000u32 {
        let question = format!("question {}", (i * i + 7 * i) % 97);
        ask(&cache, &key("acme", &question)?, &CacheControl::new(), Duration::from_millis(1)).await?;
    }
    let stats = cache.stats();
    println!("hit ratio   {:.1} %", stats.hit_ratio().unwrap_or(f64::NAN) * 100.0);
    println!("hits        {:?}, {} taken over from other callers", stats.hits, stats.coalesced);
    println!("misses      {} absent, {} expired", stats.misses.absent, stats.misses.expired);
    println!("stored      {} answers, {} bytes", stats.stores, stats.stored_bytes);
    println!("saved       {} tokens, {:.4} USD", stats.saved.tokens, stats.saved.nano_usd as f64 / 1e9);
    Ok(())
}

/// A cache whose answers have a made-up worth: 4 characters a token, 600 nano-dollars a token.
fn cache(store: impl Store) -> Cache<String> {
    let tokens = |answer: &String| answer.len() as u64 / 4;
    let worth =
        move |answer: &String| Worth { tokens: Some(tokens(answer)), nano_usd: Some(tokens(answer) * 600) };
    Cache::builder(store).worth(worth).build()
}

fn key(tenant: &str, question: &str) -> aic::cache::Result<Fingerprint> {
    Fingerprint::of("example 1", &Tenant::new(tenant), &("made-up model", question))
}

/// Runs one case and prints its name, its time and its outcome on a line.
async fn show(name: &str, case: impl Future<Output = Result<String, BoxError>>) -> Result<(), BoxError> {
    let begun = Instant::now();
    let outcome = case.await?;
    println!("{name:<25}{:>9.2} ms   {outcome}", begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Answers from the cache or computes for as long as `pause`, and says which and why.
async fn ask(
    cache: &Cache<String>,
    key: &Fingerprint,
    call: &CacheControl,
    pause: Duration,
) -> Result<String, BoxError> {
    let guard = match cache.begin(key, call).await {
        Begin::Hit(hit) => return Ok(format!("hit ({}, {} ms old)", hit.tier, hit.age.as_millis())),
        Begin::Lead(guard) => guard,
    };
    let reason = guard.reason();
    sleep(pause).await;
    guard.finish(&"Because of Rayleigh scattering.".to_owned()).await?;
    Ok(format!("miss ({reason}), computed"))
}
