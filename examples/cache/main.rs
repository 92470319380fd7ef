//! A slow, made-up model behind the cache: what a miss, a hit, expiry, fifty callers at once and another
//! tenant look like, and the same over Redis if `REDIS_URL` is set.
//!
//! `cache demo` shows one case per line; `cache stats` replays a made-up day of questions and sums it up.
use std::{
    env,
    error::Error,
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use aic::cache::{
    Answer, BoxError, Cache, CacheControl, Computed, Fingerprint, MemoryStore, RedisStore, Store, Tenant,
    Tiered, Worth,
};
use clap::Parser;
use tokio::{task::JoinSet, time::sleep};

/// What the answer cache does, shown with a model that needs 300 ms.
#[derive(Parser)]
enum Command {
    /// One case per line: miss, hit, refresh, expiry, fifty at once, tenants, Redis
    Demo,
    /// A thousand questions, some asked often, and the statistics afterwards
    Stats,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match Command::parse() {
        Command::Demo => demo().await,
        Command::Stats => stats().await,
    }
}

async fn demo() -> Result<(), Box<dyn Error>> {
    let (cache, model) = (cache(MemoryStore::new(16 << 20)), Model::new(Duration::from_millis(300)));
    let key = key("acme", "Why is the sky blue?")?;
    let any = CacheControl::new();

    show("first call", model.ask(&cache, &key, &any)).await?;
    show("second call", model.ask(&cache, &key, &any)).await?;
    show("refresh", model.ask(&cache, &key, &any.no_cache().ttl(Duration::from_millis(100)))).await?;
    sleep(Duration::from_millis(150)).await;
    show("after 100 ms of life", model.ask(&cache, &key, &any)).await?;
    show("another tenant", model.ask(&cache, &self::key("globex", "Why is the sky blue?")?, &any)).await?;
    show("fifty at once", fifty(&cache, &model)).await?;
    show("over Redis", over_redis(&model)).await
}

/// Fifty tasks ask the same new question at the same moment.
async fn fifty(cache: &Cache<String>, model: &Model) -> Result<String, BoxError> {
    let (key, before) = (key("acme", "What is new?")?, model.calls());
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (cache, model) = (cache.clone(), model.clone());
        tasks.spawn(async move { model.ask(&cache, &key, &CacheControl::new()).await });
    }
    let answers = tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{} answers, model called {} time(s)", answers.len(), model.calls() - before))
}

/// Two caches with memories of their own share what one of them computed.
async fn over_redis(model: &Model) -> Result<String, BoxError> {
    let Ok(url) = env::var("REDIS_URL") else { return Ok("skipped: REDIS_URL is not set".to_owned()) };
    let (ours, theirs) = match (RedisStore::connect(&url).await, RedisStore::connect(&url).await) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(error), _) | (_, Err(error)) => return Ok(format!("broken: {}", chain(&error))),
    };
    let [ours, theirs] = [ours, theirs].map(|redis| cache(Tiered::new(MemoryStore::new(16 << 20), redis)));
    let (key, brief) = (key("acme", "Shared?")?, CacheControl::new().ttl(Duration::from_secs(1)));
    model.ask(&ours, &key, &brief).await?;
    let [first, second] = [model.ask(&theirs, &key, &brief).await?, model.ask(&theirs, &key, &brief).await?];
    Ok(format!("computed by one cache; the other: {first}, then {second}"))
}

async fn stats() -> Result<(), Box<dyn Error>> {
    let (cache, model) = (cache(MemoryStore::new(16 << 20)), Model::new(Duration::from_millis(1)));
    for i in 0..1000u32 {
        let question = format!("question {}", (i * i + 7 * i) % 97);
        model.ask(&cache, &key("acme", &question)?, &CacheControl::new()).await?;
    }
    println!("{}", serde_json::to_string_pretty(&cache.stats())?);
    let ratio = cache.stats().hit_ratio().ok_or("nothing was asked")?;
    println!("1000 questions, {} computed: hit ratio {:.1} %", model.calls(), ratio * 100.0);
    Ok(())
}

fn cache(store: impl Store) -> Cache<String> {
    // A made-up price: 4 characters a token, 600 nano-dollars a token.
    let worth = |answer: &String| answer.len() as u64 / 4;
    Cache::builder(store)
        .worth(move |a| Worth { tokens: Some(worth(a)), nano_usd: Some(worth(a) * 600) })
        .build()
}

fn key(tenant: &str, question: &str) -> Result<Fingerprint, aic::cache::Error> {
    Fingerprint::of("example 1", &Tenant::new(tenant), &("made-up model", question))
}

/// Runs one case and prints its name, its time and its outcome on a line.
async fn show<T: Display>(
    name: &str,
    case: impl Future<Output = Result<T, BoxError>>,
) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let outcome = case.await?;
    println!("{name:<22} {:>9.2} ms   {outcome}", begun.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn chain(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
}

/// Answers everything, slowly, and counts how often it was asked.
#[derive(Clone)]
struct Model {
    calls: Arc<AtomicU32>,
    pause: Duration,
}

impl Model {
    fn new(pause: Duration) -> Self {
        Self { calls: Arc::default(), pause }
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Answers from the cache or from the model, and says which.
    async fn ask(
        &self,
        cache: &Cache<String>,
        key: &Fingerprint,
        control: &CacheControl,
    ) -> Result<String, BoxError> {
        let compute = || async {
            self.calls.fetch_add(1, Ordering::Relaxed);
            sleep(self.pause).await;
            Ok::<_, BoxError>(Computed::Store("Because of Rayleigh scattering.".to_owned()))
        };
        Ok(match cache.get_or_try_compute(key, control, compute).await? {
            Answer::Hit(hit) => format!("{} ({} ms old)", hit.tier, hit.age.as_millis()),
            Answer::Computed(_) => "computed".to_owned(),
        })
    }
}
