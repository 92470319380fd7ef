//! What processes agree on through a real Redis server: leases and the log of cleared tags.

use std::{collections::HashMap, time::Duration};

use ::redis::{AsyncCommands, FromRedisValue, aio::MultiplexedConnection};
use aic_cache::{
    EpochLog, Epochs, Error, Fence, Fingerprint, Leases, Put, PutOptions, RedisStore, Result, Store, Tag,
    Tenant,
    testing::{epoch_log_contract, lease_contract},
};
use proptest::prelude::*;

use super::{
    redis::{patient, url},
    servers::{Cluster, Server, program, until},
};

const MINUTE: Duration = Duration::from_secs(60);
const OLD: Fence = Fence(1);

/// The keys of one test on the server, seen by two processes and from outside.
struct Bench {
    ours: RedisStore,
    theirs: RedisStore,
    outside: MultiplexedConnection,
    prefix: String,
}

impl Bench {
    async fn new(test: &str) -> Option<Self> {
        let url = url()?;
        let prefix = format!("aic:test:{test}:{}:", std::process::id());
        let store = || patient(&url).prefix(&prefix).build().expect("AIC_TEST_REDIS_URL is an address");
        let client = ::redis::Client::open(&url[..]).expect("AIC_TEST_REDIS_URL is an address");
        let outside = client.get_multiplexed_async_connection().await.expect("server is there");
        Some(Self { ours: store(), theirs: store(), outside, prefix })
    }

    /// Carries out a command as somebody who is not this crate.
    async fn outside<T: FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut call = ::redis::cmd(words.next().expect("a command has a name"));
        call.arg(words.collect::<Vec<_>>());
        call.query_async(&mut self.outside.clone()).await.expect("server carries it out")
    }

    fn log(&self) -> String {
        format!("{}epochs", self.prefix)
    }

    fn name(&self, key: &Fingerprint, of: &str) -> String {
        format!("{}{{{key}}}{of}", self.prefix)
    }

    async fn end(mut self) {
        let keys: Vec<String> = self.outside.keys(format!("{}*", self.prefix)).await.expect("server answers");
        for key in keys {
            self.outside.del::<_, ()>(key).await.expect("server answers");
        }
    }
}

fn key(name: &str) -> Fingerprint {
    Fingerprint::of("lease test", &Tenant::default(), &name).expect("a text has a fingerprint")
}

fn tag(number: u64) -> Tag {
    Tag::from_bits(number)
}

async fn whole(log: &impl EpochLog) -> Epochs {
    log.read(None).await.expect("server answers").expect("log is told to those who know nothing")
}

async fn put(store: &RedisStore, key: &Fingerprint, bytes: &'static str, fence: Fence) -> Put {
    let options = PutOptions::new().ttl(Some(MINUTE)).fence(Some(fence));
    store.put(key, bytes.into(), options).await.expect("server answers")
}

async fn found(store: &RedisStore, key: &Fingerprint) -> Option<String> {
    let found = store.get(key).await.expect("server answers");
    found.map(|found| String::from_utf8(found.bytes.to_vec()).expect("a text was put"))
}

#[tokio::test]
async fn redis_leases_keep_the_contract() {
    let Some(bench) = Bench::new("lease-contract").await else { return };

    lease_contract(&*bench.ours.shared().leases.unwrap()).await;
    bench.end().await;
}

#[tokio::test]
async fn redis_epoch_log_keeps_the_contract() {
    let Some(bench) = Bench::new("log-contract").await else { return };

    epoch_log_contract(&*bench.ours.shared().epochs.unwrap()).await;
    bench.end().await;
}

#[tokio::test]
async fn cluster_keeps_both_contracts_and_takes_puts_under_a_lease() {
    let Some(program) = program() else { return };
    let cluster = Cluster::start(&program, false).await;
    let store = patient(&cluster.url()).build().unwrap();

    lease_contract(&store).await;
    epoch_log_contract(&store).await;
    for number in 0..30 {
        let key = key(&format!("clustered {number}"));
        let fence = store.acquire(&key, MINUTE).await.unwrap().unwrap();
        assert!(put(&store, &key, "ours", fence).await.is_stored());
        assert!(store.acquire(&key, MINUTE).await.unwrap() > Some(fence));
        assert_eq!(found(&store, &key).await.as_deref(), Some("ours"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_tasks_in_two_processes_one_gets_the_lease() {
    let Some(bench) = Bench::new("race").await else { return };

    let mut last = OLD;
    for _ in 0..200 {
        let stores = [&bench.ours, &bench.theirs].into_iter().cycle().take(8).cloned();
        let tasks: Vec<_> = stores
            .map(|store| tokio::spawn(async move { store.acquire(&key("race"), MINUTE).await }))
            .collect();
        let mut fences = Vec::new();
        for task in tasks {
            fences.extend(task.await.unwrap().unwrap());
        }

        assert!(matches!(fences[..], [fence] if fence > last), "{fences:?} after {last:?}");
        last = fences[0];
        bench.theirs.release(&key("race"), last).await.unwrap();
    }
    bench.end().await;
}

#[tokio::test]
async fn answer_of_a_lapsed_holder_is_refused_and_the_later_one_stays() {
    let Some(bench) = Bench::new("lapsed").await else { return };
    let key = key("lapsed");

    let late = bench.ours.acquire(&key, MINUTE).await.unwrap().unwrap();
    bench.outside::<()>(&format!("DEL {}", bench.name(&key, ":lease"))).await;
    let holder = bench.theirs.acquire(&key, MINUTE).await.unwrap().unwrap();

    assert_eq!(put(&bench.ours, &key, "early and late", late).await, Put::Superseded);
    assert_eq!(found(&bench.ours, &key).await, None);
    assert!(put(&bench.theirs, &key, "theirs", holder).await.is_stored());
    assert_eq!(put(&bench.ours, &key, "late", late).await, Put::Superseded);
    assert_eq!(found(&bench.ours, &key).await.as_deref(), Some("theirs"));
    bench.end().await;
}

#[tokio::test]
async fn answer_too_large_to_be_kept_removes_what_was_there_only_under_the_last_lease() {
    let Some(bench) = Bench::new("too-large").await else { return };
    let (small, key) = (
        patient(&url().unwrap()).prefix(&bench.prefix).entry_bytes_max(5).build().unwrap(),
        key("too-large"),
    );
    let holder = bench.ours.acquire(&key, MINUTE).await.unwrap().unwrap();
    assert!(put(&bench.ours, &key, "theirs", holder).await.is_stored());

    assert_eq!(put(&small, &key, "too large", OLD).await, Put::Superseded);
    assert_eq!(found(&bench.ours, &key).await.as_deref(), Some("theirs"));
    assert_eq!(put(&small, &key, "too large", holder).await, Put::TooLarge { bytes: 9, limit: 5 });
    assert_eq!(found(&bench.ours, &key).await, None);
    bench.end().await;
}

#[tokio::test]
async fn put_under_a_lease_keeps_every_byte_and_the_time_to_live_and_gives_the_lease_back() {
    let Some(bench) = Bench::new("put").await else { return };
    let every_byte: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();

    for (name, ttl) in [("brief", Some(MINUTE)), ("forever", None)] {
        let key = key(name);
        let fence = bench.ours.acquire(&key, MINUTE).await.unwrap().unwrap();
        let options = PutOptions::new().ttl(ttl).fence(Some(fence));
        assert!(bench.ours.put(&key, every_byte.clone().into(), options).await.unwrap().is_stored());

        let found = bench.theirs.get(&key).await.unwrap().unwrap();
        assert_eq!(found.bytes, every_byte);
        assert_eq!(found.ttl.is_some_and(|ttl| ttl > MINUTE / 2), ttl.is_some(), "{:?}", found.ttl);
        assert!(bench.theirs.acquire(&key, MINUTE).await.unwrap() > Some(fence));
    }
    bench.end().await;
}

#[tokio::test]
async fn fences_grow_though_the_server_forgot_the_last() {
    let Some(bench) = Bench::new("forgotten").await else { return };
    let key = key("forgotten");
    let first = bench.ours.acquire(&key, MINUTE).await.unwrap().unwrap();
    let names = [bench.name(&key, ":lease"), bench.name(&key, ":fence")].join(" ");

    bench.outside::<()>(&format!("DEL {names}")).await;
    assert!(put(&bench.ours, &key, "under a lease of which nothing is known", first).await.is_stored());
    assert_eq!(put(&bench.ours, &key, "under one of hours ago", OLD).await, Put::Superseded);
    assert!(bench.ours.acquire(&key, MINUTE).await.unwrap() > Some(first));
    bench.end().await;
}

#[tokio::test]
async fn fences_grow_though_the_servers_clock_stood_earlier() {
    let Some(bench) = Bench::new("clock").await else { return };
    let key = key("clock");

    bench.outside::<()>(&format!("SET {} 8000000000000000", bench.name(&key, ":fence"))).await;

    assert_eq!(bench.ours.acquire(&key, MINUTE).await.unwrap(), Some(Fence(8_000_000_000_000_001)));
    bench.end().await;
}

#[tokio::test]
async fn foreign_contents_under_the_names_of_a_lease_are_written_over() {
    let Some(bench) = Bench::new("foreign-lease").await else { return };

    for (i, command) in
        ["SET {} text", "SET {} inf", "SET {} 9007199254740992", "LPUSH {} 1"].iter().enumerate()
    {
        let key = key(&format!("foreign {i}"));
        for of in [":lease", ":fence"] {
            bench.outside::<()>(&command.replace("{}", &bench.name(&key, of))).await;
        }

        assert!(!bench.ours.renew(&key, OLD, MINUTE).await.unwrap(), "{command}");
        bench.ours.release(&key, OLD).await.unwrap();
        let fence = bench.ours.acquire(&key, MINUTE).await.unwrap().expect("a lease without end is nobody's");
        assert!(put(&bench.ours, &key, "ours", fence).await.is_stored(), "{command}");
        assert!(bench.ours.acquire(&key, MINUTE).await.unwrap() > Some(fence), "{command}");
    }
    bench.end().await;
}

#[tokio::test]
async fn nobody_can_tell_who_holds_a_lease_or_what_was_cleared_where_no_server_is() {
    let store = RedisStore::lazy("redis://127.0.0.1:1").unwrap();

    let errors = [
        store.acquire(&key("none"), MINUTE).await.map(drop),
        store.renew(&key("none"), OLD, MINUTE).await.map(drop),
        store.release(&key("none"), OLD).await,
        store.read(None).await.map(drop),
        store.clear(&[tag(1)]).await,
    ];

    assert!(errors.iter().all(|error| matches!(error, Err(Error::Unavailable { .. }))), "{errors:?}");
}

#[tokio::test]
async fn scripts_the_server_forgot_are_sent_again_and_nobody_leaves_it_alone() {
    let Some(bench) = Bench::new("scripts").await else { return };

    bench.outside::<()>("SCRIPT FLUSH").await;
    let tasks = (0..16).map(|i| {
        let store = bench.ours.clone();
        tokio::spawn(async move { store.acquire(&key(&format!("script {i}")), MINUTE).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert!(task.await.unwrap().unwrap().is_some());
    }
    bench.end().await;
}

#[tokio::test]
async fn log_that_was_lost_begins_a_new_era() {
    let Some(bench) = Bench::new("lost").await else { return };
    bench.ours.clear(&[tag(1)]).await.unwrap();
    let known = whole(&bench.ours).await;

    bench.outside::<()>(&format!("DEL {}", bench.log())).await;

    let begun = bench.ours.read(Some((known.era, known.now))).await.unwrap().expect("log has changed");
    assert_eq!(begun, Epochs::new(begun.era));
    assert_ne!(begun.era, known.era);
    assert_eq!(whole(&bench.theirs).await, begun);
    bench.end().await;
}

#[tokio::test]
async fn server_that_forgot_all_begins_a_new_era_and_gives_leases_with_greater_fences() {
    let Some(program) = program() else { return };
    let mut server = Server::start(&program).await;
    let store = patient(&server.url()).build().unwrap();
    store.clear(&[tag(1)]).await.unwrap();
    let known = whole(&store).await;
    let fence = store.acquire(&key("forgotten"), MINUTE).await.unwrap();

    server.restart().await;

    let begun = store.read(Some((known.era, known.now))).await.unwrap().expect("log has changed");
    assert_ne!(begun.era, known.era);
    assert!(store.acquire(&key("forgotten"), MINUTE).await.unwrap() > fence);
}

#[tokio::test]
async fn replica_that_never_heard_of_the_last_clearing_begins_a_new_era_as_master() {
    let Some(program) = program() else { return };
    let master = Server::start(&program).await;
    let host = master.host();
    let (address, port) = host.split_once(':').unwrap();
    let replica = Server::start_with(&program, &["--replicaof", address, port]).await;
    let [old, new] = [&master, &replica].map(|server| patient(&server.url()).build().unwrap());
    old.clear(&[tag(1)]).await.unwrap();
    until("the replica has heard of it", async || replica.ask(&::redis::cmd("DBSIZE")).await == Ok(1)).await;

    replica.tell(&["REPLICAOF", "NO", "ONE"]).await;
    old.clear(&[tag(2)]).await.unwrap();
    let known = whole(&old).await;
    master.kill().await;

    assert_eq!(
        whole(&new).await.cleared,
        HashMap::from([(tag(1), 1)]),
        "nobody who knows more has asked yet"
    );
    let begun = new.read(Some((known.era, known.now))).await.unwrap().expect("log has changed");
    assert_ne!(begun.era, known.era);
    assert_eq!(begun, Epochs::new(begun.era));
}

#[tokio::test]
async fn clearing_in_a_log_that_was_lost_begins_a_new_era_too() {
    let Some(bench) = Bench::new("lost-clear").await else { return };
    let known = whole(&bench.ours).await;

    bench.outside::<()>(&format!("DEL {}", bench.log())).await;
    bench.theirs.clear(&[tag(1)]).await.unwrap();

    let begun = bench.ours.read(Some((known.era, known.now))).await.unwrap().expect("log has changed");
    assert_ne!(begun.era, known.era);
    assert_eq!((begun.now, begun.cleared), (1, HashMap::from([(tag(1), 1)])));
    bench.end().await;
}

#[tokio::test]
async fn log_that_forgot_the_last_clearing_begins_a_new_era_once() {
    let Some(bench) = Bench::new("backwards").await else { return };
    for number in 1..=3 {
        bench.ours.clear(&[tag(number)]).await.unwrap();
    }
    let known = whole(&bench.ours).await;

    bench.outside::<()>(&format!("HSET {} now 2", bench.log())).await;
    bench.outside::<()>(&format!("HDEL {} 0000000000000003", bench.log())).await;

    let begun = bench.ours.read(Some((known.era, known.now))).await.unwrap().expect("log has changed");
    assert_eq!(begun, Epochs::new(begun.era));
    assert_ne!(begun.era, known.era);
    let theirs = bench.theirs.read(Some((known.era, known.now))).await.unwrap();
    assert_eq!(theirs, Some(begun), "who knew the same finds the era that was begun");
    bench.end().await;
}

#[tokio::test]
async fn something_else_under_the_name_of_the_log_is_an_error_and_stays() -> Result<()> {
    let Some(bench) = Bench::new("foreign-log").await else { return Ok(()) };
    bench.outside::<()>(&format!("SET {} mine", bench.log())).await;

    for _ in 0..5 {
        assert!(matches!(bench.ours.read(None).await, Err(Error::Unavailable { .. })));
        assert!(matches!(bench.ours.clear(&[tag(1)]).await, Err(Error::Unavailable { .. })));
    }

    assert_eq!(bench.outside::<String>(&format!("GET {}", bench.log())).await, "mine");
    bench.ours.ping().await?;
    bench.end().await;
    Ok(())
}

#[tokio::test]
async fn hash_that_is_no_log_gives_way_to_a_new_era() {
    let Some(bench) = Bench::new("damaged").await else { return };

    for damage in [
        "HDEL {} era",
        "HDEL {} floor",
        "HSET {} era short",
        "HSET {} now many",
        "HSET {} now -1",
        "HSET {} now 12345678901234567890",
        "HSET {} floor 99",
        "HSET {} note to-self",
        "HSET {} 0000000000000001 x",
        "HSET {} 0000000000000001 99",
    ] {
        bench.ours.clear(&[tag(1), tag(2)]).await.unwrap();
        let known = whole(&bench.ours).await;

        bench.outside::<()>(&damage.replace("{}", &bench.log())).await;

        let begun = whole(&bench.theirs).await;
        assert_ne!(begun.era, known.era, "{damage}");
        assert_eq!(begun, Epochs::new(begun.era), "{damage}");
    }
    bench.end().await;
}

#[tokio::test]
async fn hash_larger_than_any_log_gives_way_to_a_new_era() {
    let Some(bench) = Bench::new("huge").await else { return };
    let known = whole(&bench.ours).await;
    let fields: Vec<(String, u64)> = (0..20_000).map(|i| (format!("{i:016x}"), 0)).collect();

    bench.outside.clone().hset_multiple::<_, _, _, ()>(bench.log(), &fields).await.unwrap();

    let begun = whole(&bench.ours).await;
    assert_ne!(begun.era, known.era);
    assert_eq!(begun, Epochs::new(begun.era));
    bench.end().await;
}

#[tokio::test]
async fn log_of_ten_thousand_tags_forgets_the_older_half_behind_its_floor() {
    let Some(bench) = Bench::new("prune").await else { return };
    let begun = whole(&bench.ours).await;

    for hundred in 0..100 {
        let tags: Vec<_> = (0..100).map(|i| tag(hundred * 100 + i)).collect();
        bench.ours.clear(&tags).await.unwrap();
    }
    let full = whole(&bench.ours).await;
    assert_eq!((full.now, full.floor, full.cleared.len()), (100, 0, 10_000));
    bench.ours.clear(&[tag(u64::MAX)]).await.unwrap();

    let pruned = whole(&bench.ours).await;
    let newer = full.cleared.into_iter().filter(|(_, epoch)| *epoch > 51).chain([(tag(u64::MAX), 101)]);
    assert_eq!((pruned.era, pruned.now, pruned.floor), (begun.era, 101, 51));
    assert_eq!(pruned.cleared, newer.collect());
    bench.end().await;
}

#[derive(Clone, Debug)]
enum Step {
    Clear { by: usize, tags: Vec<u64> },
    Read { by: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..2usize, prop::collection::vec(0..6u64, 0..4)).prop_map(|(by, tags)| Step::Clear { by, tags }),
        (0..2usize).prop_map(|by| Step::Read { by }),
    ]
}

/// What two processes know of a log, and what it should be.
struct Model {
    log: Epochs,
    known: [Option<Epochs>; 2],
}

impl Model {
    fn clear(&mut self, tags: &[u64]) {
        self.log.now += u64::from(!tags.is_empty());
        self.log.cleared.extend(tags.iter().map(|number| (tag(*number), self.log.now)));
    }

    async fn read(&mut self, by: usize, store: &RedisStore) {
        let known = self.known[by].as_ref().map(|known| (known.era, known.now));
        let read = store.read(known).await.expect("server answers");
        assert_eq!(read.is_none(), self.known[by].as_ref() == Some(&self.log), "told exactly what is new");
        self.known[by] = read.or(self.known[by].take());
        assert_eq!(self.known[by].as_ref(), Some(&self.log));
    }
}

async fn take_steps(bench: &Bench, steps: Vec<Step>) {
    bench.outside::<()>(&format!("DEL {}", bench.log())).await;
    let mut model = Model { log: whole(&bench.ours).await, known: [None, None] };
    let stores = [&bench.ours, &bench.theirs];
    for step in steps {
        match step {
            Step::Read { by } => model.read(by, stores[by]).await,
            Step::Clear { by, tags } => {
                let marks: Vec<_> = tags.iter().copied().map(tag).collect();
                stores[by].clear(&marks).await.expect("server answers");
                model.clear(&tags);
            }
        }
    }
}

#[test]
fn two_processes_agree_on_what_was_cleared_whatever_they_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Some(bench) = runtime.block_on(Bench::new("model")) else { return };

    proptest!(ProptestConfig::with_cases(64), |(steps in prop::collection::vec(step(), 1..30))| {
        runtime.block_on(take_steps(&bench, steps));
    });
    runtime.block_on(bench.end());
}
