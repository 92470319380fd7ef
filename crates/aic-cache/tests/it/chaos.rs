//! Redis breaks in every way it can while many tasks ask: no request may fail, wait long or get a wrong answer,
//! and what Redis has is found again soon after it is back.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ::redis::cmd;
use aic_cache::{Cache, CacheControl, Computed, Fingerprint, MemoryStore, RedisStore, Tenant, Tiered};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    redis::patient,
    servers::{Cluster, Server, Watched, program, until},
};

/// How many answers there are to ask for. Memory holds a small part of them.
const KEYS: usize = 2000;

/// Tasks that ask, half of them with memory in front.
const TASKS: usize = 32;

/// The longest a look-up and a put may take by the store's own deadlines, 20 times over: this machine is busy. And a
/// second more, for which a lease is waited for that a failover has kept, but not the answer made under it.
const ADDED_MAX: Duration = Duration::from_millis(20 * 60 + 1000);

/// How long things are left as they are.
const WHILE: Duration = Duration::from_millis(1200);

fn key(number: usize) -> Fingerprint {
    Fingerprint::of("chaos", &Tenant::default(), &number).expect("a number has a fingerprint")
}

fn answer(number: usize) -> String {
    format!("{number} ").repeat(100)
}

/// Tasks that ask for answers all the time, and what became of it.
struct Load {
    far: Cache<String>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<(Instant, Duration)>>>,
    /// When something was done to Redis, and what.
    marks: Vec<(Instant, &'static str)>,
}

impl Load {
    /// Begins to ask once the store at `url` is in use.
    async fn begin(url: &str) -> Self {
        let far = Cache::builder(RedisStore::lazy(url).expect("the URL is an address")).build();
        let near =
            Tiered::new(MemoryStore::new(100_000), RedisStore::lazy(url).expect("the URL is an address"));
        let near = Cache::builder(near).build();
        let stop = Arc::new(AtomicBool::new(false));
        let ask = |task| {
            tokio::spawn(ask(if task % 2 == 0 { far.clone() } else { near.clone() }, task, stop.clone()))
        };
        let tasks = (0..TASKS).map(ask).collect();
        let mut load = Self { far, stop, tasks, marks: Vec::new() };
        load.mark("before");
        load.until_hits().await;
        sleep(WHILE).await;
        load
    }

    fn mark(&mut self, what: &'static str) {
        self.marks.push((Instant::now(), what));
    }

    fn hits(&self) -> u64 {
        self.far.stats().hits.get("redis").copied().unwrap_or(0)
    }

    /// How long it takes until answers come from Redis again. One that was on its way does not count.
    async fn until_hits(&self) -> Duration {
        let before = self.hits();
        until("answers come from Redis", async || self.hits() > before + TASKS as u64).await
    }

    /// How long it takes until answers are kept in Redis again.
    async fn until_stores(&self) -> Duration {
        let before = self.far.stats().stores;
        until("answers are kept in Redis", async || self.far.stats().stores > before + 10).await
    }

    /// Ends the asking and tells how long it took.
    async fn end(mut self, scenario: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let mut asked = Vec::new();
        for task in self.tasks.drain(..) {
            asked.extend(task.await.expect("every answer is right"));
        }
        let ends = self.marks.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
        for ((begin, what), end) in self.marks.iter().zip(ends) {
            let during = |at: Instant| at >= *begin && end.is_none_or(|end| at < end);
            let took = asked.iter().filter(|(at, _)| during(*at)).map(|(_, took)| *took).collect();
            println!("{scenario}, {what}: {}", Spread::of(took));
        }
        let longest = asked.iter().map(|(_, took)| *took).max().expect("somebody asked");
        assert!(longest < ADDED_MAX, "{scenario}: one request took {longest:?}");
    }
}

/// Asks for one answer after the other. Computing takes no time, so what is measured is what the cache adds.
async fn ask(cache: Cache<String>, task: usize, stop: Arc<AtomicBool>) -> Vec<(Instant, Duration)> {
    let mut dice = Dice(task as u64 + 1);
    let mut asked = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = dice.popular(KEYS);
        let (key, begun) = (key(number), Instant::now());
        let compute = async || Ok::<_, Infallible>(Computed::Store(answer(number)));
        let found = cache.get_or_try_compute(&key, &CacheControl::new(), compute).await;
        asked.push((begun, begun.elapsed()));
        let Ok(found) = found;
        assert_eq!(found.into_value(), answer(number));
        sleep(Duration::from_millis(2)).await;
    }
    asked
}

/// Numbers without a pattern (xorshift, Marsaglia 2003), the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `count`; small ones are popular as in Zipf's law with exponent 1.
    fn popular(&mut self, count: usize) -> usize {
        let unit = self.roll() as f64 / u64::MAX as f64;
        ((count as f64).powf(unit) as usize).min(count) - 1
    }
}

/// How long requests took.
struct Spread {
    count: usize,
    quantiles: [Duration; 3],
}

impl Spread {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |share: f64| took.get((took.len() as f64 * share) as usize).or(took.last()).copied();
        let quantiles = [0.5, 0.99, 1.0].map(|share| at(share).unwrap_or_default());
        Self { count: took.len(), quantiles }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [half, most, all] = self.quantiles;
        write!(f, "{} requests, p50 {half:.2?}, p99 {most:.2?}, max {all:.2?}", self.count)
    }
}

/// What a broken Redis is to be like again within a second; on a busy machine ten will do.
fn soon(scenario: &str, what: &str, took: Duration) {
    println!("{scenario}: {what} after {took:.0?}");
    assert!(took < Duration::from_secs(10), "{scenario}: {what} took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_is_killed_and_comes_back_costs_misses_only() {
    let Some(program) = program() else { return };
    let mut server = Server::start(&program).await;
    let mut load = Load::begin(&server.url()).await;

    load.mark("killed");
    server.kill().await;
    sleep(WHILE).await;
    load.mark("restarted");
    server.restart().await;

    soon("killed", "hits", load.until_hits().await);
    load.end("killed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_stands_still_costs_misses_only() {
    let Some(program) = program() else { return };
    let server = Server::start(&program).await;
    let mut load = Load::begin(&server.url()).await;

    load.mark("paused");
    server.pause().await;
    sleep(WHILE).await;
    load.mark("resumed");
    server.resume().await;

    soon("paused", "hits", load.until_hits().await);
    load.end("paused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_becomes_read_only_still_finds_what_it_has() {
    let Some(program) = program() else { return };
    let server = Server::start(&program).await;
    let mut load = Load::begin(&server.url()).await;

    load.mark("read-only");
    server.tell(&["REPLICAOF", "127.0.0.1", "1"]).await;
    sleep(WHILE).await;
    soon("read-only", "hits without a master", load.until_hits().await);
    assert!(load.far.stats().not_stored.unavailable > 0, "puts were refused: {:?}", load.far.stats());
    load.mark("master");
    server.tell(&["REPLICAOF", "NO", "ONE"]).await;

    soon("read-only", "stores", load.until_stores().await);
    load.end("read-only").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_server_still_finds_what_it_has_and_one_that_evicts_takes_more() {
    let Some(program) = program() else { return };
    let server = Server::start(&program).await;
    let mut load = Load::begin(&server.url()).await;

    load.mark("full");
    server.tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    server.tell(&["CONFIG", "SET", "maxmemory", "1mb"]).await;
    sleep(WHILE).await;
    soon("full", "hits without room", load.until_hits().await);
    assert!(load.far.stats().not_stored.unavailable > 0, "puts were refused: {:?}", load.far.stats());
    load.mark("evicting");
    server.tell(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    server.tell(&["CONFIG", "SET", "maxmemory", "2mb"]).await;

    soon("full", "stores", load.until_stores().await);
    load.end("full").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_new_master_is_found_after_the_old_one_died() {
    let Some(program) = program() else { return };
    let watched = Watched::start(&program).await;
    let mut load = Load::begin(&watched.url()).await;

    load.mark("master killed");
    watched.master.kill().await;
    let promoted = watched.until_failed_over().await;
    load.mark("promoted");

    println!("sentinel: promoted after {promoted:.0?}");
    soon("sentinel", "hits", load.until_hits().await);
    soon("sentinel", "stores", load.until_stores().await);
    load.end("sentinel").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_new_master_is_found_while_the_old_one_stands_still() {
    let Some(program) = program() else { return };
    let watched = Watched::start(&program).await;
    let mut load = Load::begin(&watched.url()).await;

    load.mark("master and a Sentinel paused");
    watched.sentinel().pause().await;
    watched.master.pause().await;
    watched.until_failed_over().await;
    load.mark("promoted");
    soon("sentinel, paused", "stores", load.until_stores().await);
    load.mark("resumed");
    watched.master.resume().await;

    soon("sentinel, paused", "hits", load.until_hits().await);
    load.end("sentinel, paused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_replica_takes_over_and_the_other_masters_stay_in_use() {
    let Some(program) = program() else { return };
    let cluster = Cluster::start(&program, true).await;
    let mut load = Load::begin(&cluster.url()).await;

    load.mark("a master killed");
    cluster.masters[0].kill().await;
    let promoted = cluster.until_failed_over(&[0]).await;
    load.mark("promoted");

    println!("cluster: promoted after {promoted:.0?}");
    soon("cluster", "all slots", until_all_shards(&load.far).await);
    load.mark("another one paused");
    cluster.masters[1].pause().await;
    cluster.until_failed_over(&[0, 1]).await;
    load.mark("promoted, too");

    soon("cluster, paused", "all slots", until_all_shards(&load.far).await);
    load.end("cluster").await;
}

/// How long it takes until answers from all over the hash slots have been found once more.
async fn until_all_shards(cache: &Cache<String>) -> Duration {
    let (begun, control) = (Instant::now(), CacheControl::new());
    for number in 0..50 {
        until("the slot is served", async || {
            let compute = async || Ok::<_, Infallible>(Computed::Store(answer(number)));
            let Ok(_) = cache.get_or_try_compute(&key(number), &control, compute).await;
            cache.get(&key(number)).await.is_some()
        })
        .await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn damaged_entries_in_redis_are_counted_misses() {
    let Some(program) = program() else { return };
    let server = Server::start(&program).await;
    let cache = Cache::<String>::builder(patient(&server.url()).build().unwrap()).build();
    let name = format!("aic:test:{{{}}}", key(1));
    cache.put(&key(1), &answer(1), &CacheControl::new()).await.unwrap();
    let good: Vec<u8> = server.ask(cmd("GET").arg(&name)).await.unwrap();
    let flipped = (0..good.len()).step_by(7).map(|i| {
        let mut bytes = good.clone();
        bytes[i] ^= 1 << (i % 8);
        bytes
    });
    let cut = (0..good.len()).step_by(29).map(|length| good[..length].to_vec());
    let foreign = [b"{\"answer\":1}".to_vec(), vec![255; 100]];

    let mut count = 0;
    for damaged in flipped.chain(cut).chain(foreign) {
        server.tell_bytes("SET", &[name.as_bytes(), &damaged]).await;
        assert_eq!(cache.get(&key(1)).await, None, "{damaged:?}");
        count += 1;
    }

    assert_eq!(cache.stats().misses.damaged, count);
}

#[tokio::test]
async fn answers_of_another_type_are_misses_and_the_server_stays_in_use() {
    let Some(program) = program() else { return };
    let server = Server::start(&program).await;
    let numbers = Cache::<Vec<u64>>::builder(patient(&server.url()).build().unwrap()).build();
    let texts = Cache::<String>::builder(patient(&server.url()).build().unwrap()).build();
    numbers.put(&key(2), &vec![1, 2, 3], &CacheControl::new()).await.unwrap();
    server.tell(&["RPUSH", &format!("aic:test:{{{}}}", key(3)), "x"]).await;

    assert_eq!(texts.get(&key(2)).await, None);
    assert_eq!(texts.get(&key(3)).await, None);

    let misses = texts.stats().misses;
    assert_eq!((misses.damaged, misses.unavailable), (1, 1));
    assert_eq!(numbers.get(&key(2)).await.unwrap().value, [1, 2, 3], "the server is still in use");
}
