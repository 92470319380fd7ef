//! What a hit costs from the request to the answer, at the median and in the tail, beside what it cannot do without.
//!
//! `cargo bench --bench cache_hits`; the Redis part runs if `AIC_TEST_REDIS_URL` or `REDIS_URL` is set. With `--quick`
//! a tenth of it.
use std::{env, hint::black_box, sync::Arc, time::Instant};

use aic_cache::{Cache, CacheControl, Fingerprint, MemoryStore, RedisStore, Store, Tenant};
use deadpool_redis::Runtime::Tokio1;
use redis::AsyncCommands;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

const KB: usize = 1024;
/// Entries beside the one that is asked for, so that a look-up meets a table of some size.
const OTHERS: u32 = 10_000;

fn main() {
    // Under `cargo test --benches` one short pass shows that it works.
    let is = |word| env::args().any(|argument| argument == word);
    let rounds = match (is("--bench"), is("--quick")) {
        (true, false) => 200_000,
        (true, true) => 20_000,
        (false, _) => 1000,
    };
    memory(rounds);
    tasks(rounds);
    match env::var("AIC_TEST_REDIS_URL").or_else(|_| env::var("REDIS_URL")) {
        Ok(url) => over_redis(&url, rounds / 10),
        Err(_) => println!("\nover Redis: skipped, neither AIC_TEST_REDIS_URL nor REDIS_URL is set"),
    }
}

/// A hit in memory: from the request to the answer, and its parts alone, in turn.
fn memory(rounds: usize) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("a hit in memory (one thread, {OTHERS} entries, {rounds} rounds)");
    println!("{:<44}{:>10}{:>10}{:>10}", "", "p50", "p99", "p99.9");
    for (prompt, answer) in [(2 * KB, 2 * KB), (2 * KB, 64 * KB), (64 * KB, 2 * KB)] {
        let chat = Chat::of(prompt);
        let text = chat.messages.iter().map(|message| message.content.as_str()).collect::<String>();
        let (store, tenant) = (Arc::new(MemoryStore::new(256 << 20)), Tenant::new("acme"));
        let key = chat.key(&tenant);
        let cache = runtime.block_on(filled(store.clone(), &key, answer));
        let mut times: [Vec<u64>; 4] = Default::default();
        runtime.block_on(async {
            for _ in 0..rounds {
                let begun = Instant::now();
                let key = black_box(&chat).key(&tenant);
                black_box(cache.get(&key).await.expect("the answer is there").value);
                times[0].push(nanos(begun));
                let begun = Instant::now();
                black_box(chat.key(&tenant));
                times[1].push(nanos(begun));
                let begun = Instant::now();
                black_box(blake3::hash(black_box(text.as_bytes())));
                times[2].push(nanos(begun));
                let begun = Instant::now();
                black_box(store.get(&key).await.expect("memory is there"));
                times[3].push(nanos(begun));
            }
        });
        let whole = format!("prompt of {} KB, answer of {} KB", prompt / KB, answer / KB);
        let names = [&*whole, "  its fingerprint", "  bare BLAKE3 of the text", "  the store's bare get"];
        names.into_iter().zip(&mut times).for_each(|(name, times)| row(name, times));
    }
}

/// Many tasks on two threads, each asking for a popular entry again and again.
fn tasks(rounds: usize) {
    let runtime = Runtime::new().expect("threads can be started");
    let threads = runtime.metrics().num_workers();
    println!("\nhits a second with many tasks on {threads} threads (2 KB prompt and answer)");
    let (store, tenant) = (MemoryStore::new(256 << 20), Tenant::new("acme"));
    let chat = Arc::new(Chat::of(2 * KB));
    let cache = runtime.block_on(filled(store, &chat.key(&tenant), 2 * KB));
    for tasks in [1, 2, 8, 64] {
        let begun = Instant::now();
        let work = (0..tasks).map(|_| {
            let (cache, chat, tenant) = (cache.clone(), chat.clone(), tenant.clone());
            runtime.spawn(async move {
                for round in 0..rounds / tasks {
                    black_box(cache.get(&chat.key(&tenant)).await.expect("the answer is there"));
                    if round % 16 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        });
        let work: Vec<_> = work.collect();
        runtime.block_on(async {
            for task in work {
                task.await.expect("no task panics");
            }
        });
        let done = (rounds / tasks * tasks) as f64 / begun.elapsed().as_secs_f64();
        println!("{:<44}{:>10.0}", format!("{tasks} task{}", if tasks == 1 { "" } else { "s" }), done);
    }
}

/// A hit in Redis, beside one `GET` on a connection from a pool and on one that is held.
fn over_redis(url: &str, rounds: usize) {
    const PREFIX: &str = "aic:bench-hits:";
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("\na hit in Redis (one thread, {rounds} rounds)");
    println!("{:<44}{:>10}{:>10}{:>10}", "", "p50", "p99", "p99.9");
    runtime.block_on(async {
        let (chat, tenant) = (Chat::of(2 * KB), Tenant::new("acme"));
        let store = RedisStore::builder(url).prefix(PREFIX).build().expect("the URL is an address");
        let key = chat.key(&tenant);
        let cache = Cache::<String>::builder(store).build();
        cache.put(&key, &"x".repeat(2 * KB), &CacheControl::new()).await.expect("a text can be encoded");
        let client = redis::Client::open(url).expect("the URL is an address");
        let mut held = client.get_multiplexed_async_connection().await.expect("Redis is there");
        let names = held.keys::<_, Vec<String>>(format!("{PREFIX}*{key}*"));
        let name = names.await.expect("Redis is there").pop().expect("the entry is there");
        let pool = deadpool_redis::Config::from_url(url).create_pool(Some(Tokio1)).expect("an address");
        let mut times: [Vec<u64>; 3] = Default::default();
        for _ in 0..rounds {
            let begun = Instant::now();
            black_box(cache.get(&chat.key(&tenant)).await.expect("the answer is there"));
            times[0].push(nanos(begun));
            let begun = Instant::now();
            black_box(
                pool.get()
                    .await
                    .expect("Redis is there")
                    .get::<_, Vec<u8>>(&name)
                    .await
                    .expect("the entry is there"),
            );
            times[1].push(nanos(begun));
            let begun = Instant::now();
            black_box(held.get::<_, Vec<u8>>(&name).await.expect("the entry is there"));
            times[2].push(nanos(begun));
        }
        let names =
            ["prompt and answer of 2 KB", "  bare GET, pooled", "  bare GET on a connection that is held"];
        names.into_iter().zip(&mut times).for_each(|(name, times)| row(name, times));
        cache.remove(&key).await.expect("Redis is there");
    });
}

/// A cache over `store` with one answer of `bytes`, and many others.
async fn filled(store: impl Store, key: &Fingerprint, bytes: usize) -> Cache<String> {
    let cache = Cache::builder(store).build();
    for other in 0..OTHERS {
        let key = Fingerprint::of("bench 1", &Tenant::default(), &other).expect("a number has a fingerprint");
        cache.put(&key, &"y".repeat(100), &CacheControl::new()).await.expect("a text can be encoded");
    }
    let put = cache.put(key, &answer(bytes), &CacheControl::new()).await.expect("a text can be encoded");
    assert!(put.is_stored(), "the store keeps nothing");
    cache
}

#[derive(Serialize)]
struct Chat {
    model: &'static str,
    messages: Vec<Message>,
    temperature: f32,
    max_tokens: Option<u32>,
    stop: Vec<String>,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

impl Chat {
    /// A conversation of two turns with `bytes` of text.
    fn of(bytes: usize) -> Self {
        let message = |role, bytes| Message { role, content: answer(bytes) };
        let messages = vec![message("system", bytes / 4), message("user", bytes - bytes / 4)];
        Self { model: "gpt-4o-mini", messages, temperature: 0.0, max_tokens: Some(500), stop: Vec::new() }
    }

    fn key(&self, tenant: &Tenant) -> Fingerprint {
        Fingerprint::of("bench 1", tenant, self).expect("a chat has a fingerprint")
    }
}

/// `bytes` of text that is neither random nor repeated within the first kilobytes.
fn answer(bytes: usize) -> String {
    let words = (0u32..).flat_map(|i| format!("word{} ", i.wrapping_mul(2_654_435_761) % 9973).into_bytes());
    String::from_utf8(words.take(bytes).collect()).expect("words are text")
}

fn nanos(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn row(name: &str, times: &mut [u64]) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    println!("{name:<44}{:>7.2} µs{:>7.2} µs{:>7.2} µs", at(0.5), at(0.99), at(0.999));
}
