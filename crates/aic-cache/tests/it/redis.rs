//! Against a real server whose address is in `AIC_TEST_REDIS_URL`, against servers started for one test, and
//! against ports where none answers.

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use ::redis::RedisResult;
use aic_cache::{
    Cache, CacheControl, Error, Fingerprint, Lookup, MemoryStore, MissReason, Put, PutOptions, RedisStore,
    RedisStoreBuilder, Store, Tenant, Tiered, testing::store_contract,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
    time::timeout,
};

use crate::servers::{Cluster, Server, Watched, program, until};

/// Longer deadlines than usual, for machines that are busy testing.
pub(crate) fn patient(url: &str) -> RedisStoreBuilder {
    let second = Duration::from_secs(1);
    RedisStore::builder(url).connect_timeout(second).response_timeout(second).prefix("aic:test:")
}

pub(crate) fn url() -> Option<String> {
    match env::var("AIC_TEST_REDIS_URL") {
        Ok(url) => Some(url),
        Err(_) if env::var("AIC_TEST_REQUIRE").is_ok_and(|value| value == "1") => {
            panic!("AIC_TEST_REDIS_URL is not set")
        }
        Err(_) => {
            println!("skipped: AIC_TEST_REDIS_URL is not set; run `cargo xtask test`");
            None
        }
    }
}

fn server() -> Option<RedisStore> {
    url().map(|url| patient(&url).build().expect("AIC_TEST_REDIS_URL is an address"))
}

fn key(name: &str) -> Fingerprint {
    let ours = (name, std::process::id());
    Fingerprint::of("redis test", &Tenant::default(), &ours).expect("a tuple has a fingerprint")
}

#[tokio::test]
async fn redis_store_keeps_the_contract() {
    let Some(store) = server() else { return };

    store_contract(&store).await;
}

#[tokio::test]
async fn memory_over_redis_keeps_the_contract() {
    let Some(store) = server() else { return };

    store_contract(&Tiered::new(MemoryStore::new(1 << 20), store)).await;
}

#[tokio::test]
async fn answer_stored_by_one_process_is_found_by_another() {
    let (Some(ours), Some(theirs)) = (server(), server()) else { return };
    let ours = Cache::<String>::builder(Tiered::new(MemoryStore::new(1 << 20), ours)).build();
    let theirs = Cache::<String>::builder(Tiered::new(MemoryStore::new(1 << 20), theirs)).build();
    let key = key("shared");

    ours.put(&key, &"hello".to_owned(), &CacheControl::new()).await.unwrap();

    let tiers = [theirs.get(&key).await.unwrap().tier, theirs.get(&key).await.unwrap().tier];
    assert_eq!(tiers, ["redis", "memory"]);
    ours.remove(&key).await.unwrap();
}

#[tokio::test]
async fn found_entry_tells_the_time_it_has_left() {
    let Some(store) = server() else { return };
    let (key, minute) = (key("ttl"), Duration::from_secs(60));

    store.put(&key, "x".into(), PutOptions::new().ttl(Some(minute))).await.unwrap();

    let ttl = store.get(&key).await.unwrap().unwrap().ttl.unwrap();
    assert!(ttl <= minute && ttl > minute / 2, "{ttl:?}");
    store.remove(&key).await.unwrap();
}

#[tokio::test]
async fn time_to_live_beyond_the_servers_clock_is_accepted() {
    let Some(store) = server() else { return };
    let key = key("forever");

    let put = store.put(&key, "x".into(), PutOptions::new().ttl(Some(Duration::MAX))).await.unwrap();

    assert!(put.is_stored());
    store.remove(&key).await.unwrap();
}

#[tokio::test]
async fn entry_larger_than_allowed_is_refused_by_name() {
    let Some(url) = url() else { return };
    let store = patient(&url).entry_bytes_max(10).build().unwrap();

    let put = store.put(&key("large"), vec![0; 11].into(), PutOptions::new()).await.unwrap();

    assert_eq!(put, Put::TooLarge { bytes: 11, limit: 10 });
}

#[tokio::test]
async fn connecting_where_nothing_listens_is_a_typed_error_without_the_password() {
    let error = RedisStore::connect("redis://me:hunter2@127.0.0.1:1").await.unwrap_err();

    assert!(matches!(error, Error::Unavailable { .. }));
    assert_eq!(error.to_string(), "store `redis at 127.0.0.1:1` is unavailable");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn silent_server_costs_a_few_deadlines_and_then_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let store = RedisStore::builder(url).pause(Duration::from_secs(60)).build().unwrap();
    let cache = Cache::<String>::builder(store).build();
    let begun = Instant::now();

    for _ in 0..1000 {
        let lookup = cache.lookup(&key("silent"), &CacheControl::new()).await;
        assert_eq!(lookup, Lookup::Miss(MissReason::Unavailable));
    }

    // Three deadlines of 60 ms, then the server is left alone; the rest is room for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(cache.stats().misses.unavailable, 1000);
}

#[tokio::test]
async fn lazy_store_is_in_use_once_the_server_is_there() {
    let Some(url) = url() else { return };
    let server = url.trim_start_matches("redis://").split('/').next().unwrap().to_owned();
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let store = patient(&format!("redis://{address}")).pause(Duration::from_millis(50)).build().unwrap();
    assert!(store.ping().await.unwrap_err().is_retryable());

    let relay = TcpListener::bind(address).await.unwrap();
    tokio::spawn(pass_on(relay, server, Arc::default()));

    for _ in 0..100 {
        if store.ping().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("store never came back");
}

#[tokio::test]
async fn master_named_by_sentinels_keeps_the_contract() {
    let Some(program) = program() else { return };
    let watched = Watched::start(&program).await;

    let store = patient(&watched.url()).build().unwrap();

    store_contract(&store).await;
    assert_eq!(store.address(), watched.url().trim_start_matches("redis+sentinel://"));
}

#[tokio::test]
async fn credentials_and_database_behind_sentinels_are_the_masters() {
    let Some(program) = program() else { return };
    let watched = Watched::start(&program).await;
    // This user may not even ask for the role.
    watched.master.tell(&["ACL", "SETUSER", "me", "on", ">secret", "allkeys", "allcommands", "-role"]).await;
    let url = watched.url().replace("://", "://me:secret@") + "/3";

    let store = patient(&url).build().unwrap();

    store_contract(&store).await;
    store.put(&key("third database"), "x".into(), PutOptions::new()).await.unwrap();
    let keyspace: String = watched.master.ask(::redis::cmd("INFO").arg("keyspace")).await.unwrap();
    assert!(keyspace.contains("db3:") && !keyspace.contains("db0:"), "{keyspace}");
}

#[tokio::test]
async fn service_that_no_sentinel_knows_is_unavailable() {
    let Some(program) = program() else { return };
    let watched = Watched::start(&program).await;

    let error = RedisStore::connect(watched.url().replace("/main", "/other")).await.unwrap_err();

    assert!(error.is_retryable());
    assert!(error.to_string().ends_with("/other` is unavailable"), "{error}");
}

#[tokio::test]
async fn cluster_keeps_the_contract() {
    let Some(program) = program() else { return };
    let cluster = Cluster::start(&program, false).await;
    let store = patient(&cluster.url()).build().unwrap();

    store_contract(&store).await;
    store_contract(&Tiered::new(MemoryStore::new(1 << 20), store)).await;
}

#[tokio::test]
async fn entries_are_found_while_their_slot_moves_to_another_master_and_afterwards() {
    let Some(program) = program() else { return };
    let cluster = Cluster::start(&program, false).await;
    let store = patient(&cluster.url()).build().unwrap();
    let key = key("moving");
    let name = format!("aic:test:{{{key}}}");
    store.put(&key, "x".into(), PutOptions::new().ttl(Some(Duration::from_secs(60)))).await.unwrap();

    let moving = cluster.begin_to_move(&name).await;
    for _ in 0..5 {
        let found = store.get(&key).await.unwrap().unwrap();
        assert!(found.bytes == "x" && found.ttl.is_some(), "{found:?}");
    }
    cluster.finish_moving(&moving).await;

    for _ in 0..5 {
        let found = store.get(&key).await.unwrap().unwrap();
        assert!(found.bytes == "x" && found.ttl.is_some(), "{found:?}");
    }
    assert!(store.put(&key, "y".into(), PutOptions::new()).await.unwrap().is_stored());
}

#[tokio::test]
async fn cluster_without_one_master_keeps_the_entries_of_the_others() {
    let Some(program) = program() else { return };
    let cluster = Cluster::start(&program, false).await;
    for master in &cluster.masters {
        master.tell(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    let store = patient(&cluster.url()).build().unwrap();
    let keys: Vec<_> = (0..60).map(|i| key(&format!("shard {i}"))).collect();
    for key in &keys {
        store.put(key, "x".into(), PutOptions::new()).await.unwrap();
    }

    cluster.masters[1].kill().await;

    for _ in 0..5 {
        let mut found = 0;
        for key in &keys {
            found += usize::from(store.get(key).await.is_ok_and(|found| found.is_some()));
        }
        // Two thirds, less some whose slots are next to those of the dead master.
        assert!((20..50).contains(&found), "{found} of 60 are there");
    }
}

#[tokio::test]
async fn socket_in_the_file_system_keeps_the_contract() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock").display().to_string();
    let _server = Server::start_with(&program, &["--unixsocket", &socket]).await;

    store_contract(&patient(&format!("unix://{socket}")).build().unwrap()).await;
}

#[cfg(unix)]
#[tokio::test]
async fn address_that_leads_to_a_new_master_is_followed_once_the_old_one_takes_no_writes() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let old = Server::start_with(&program, &["--unixsocket", &path("old")]).await;
    let new = Server::start_with(&program, &["--unixsocket", &path("new")]).await;
    std::os::unix::fs::symlink(path("old"), path("master")).unwrap();
    let store = patient(&format!("unix://{}", path("master"))).build().unwrap();
    let (first, second) = (key("before"), key("after"));
    store.put(&first, "x".into(), PutOptions::new()).await.unwrap();

    std::os::unix::fs::symlink(path("new"), path("next")).unwrap();
    std::fs::rename(path("next"), path("master")).unwrap();
    old.tell(&["REPLICAOF", "127.0.0.1", "1"]).await;

    let refused = store.put(&second, "y".into(), PutOptions::new()).await.unwrap_err();
    assert!(refused.is_retryable());
    assert!(store.put(&second, "y".into(), PutOptions::new()).await.unwrap().is_stored());
    let kept: usize = new.ask(&::redis::cmd("DBSIZE")).await.unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn wrong_password_is_unavailable_and_never_printed() {
    let Some(program) = program() else { return };
    let server = Server::start(&program).await;
    server.tell(&["ACL", "SETUSER", "me", "on", ">secret", "allkeys", "allcommands"]).await;
    let at = |password: &str| format!("redis://me:{password}@{}", server.host());

    store_contract(&patient(&at("secret")).build().unwrap()).await;
    let error = RedisStore::connect(at("hunter2")).await.unwrap_err();

    assert!(error.is_retryable());
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

/// A server that speaks TLS at another port, too, and a certificate of its own.
#[cfg(feature = "rustls")]
async fn server_with_tls(program: &std::path::Path, options: &[&str]) -> (Server, String, String) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("an address has a certificate");
    std::fs::write(file("cert"), cert.pem()).expect("there is room for a file");
    std::fs::write(file("key"), signing_key.serialize_pem()).expect("there is room for a file");
    let port = crate::servers::free_port().to_string();
    let files = ["--tls-cert-file", &file("cert"), "--tls-key-file", &file("key")];
    let tls = ["--tls-port", &port, "--tls-auth-clients", "no", "--tls-ca-cert-file", &file("cert")];
    let server = Server::start_with(program, &[&files[..], &tls, options].concat()).await;
    (server, format!("127.0.0.1:{port}"), cert.pem())
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn server_with_a_certificate_of_its_own_is_believed_if_told_so() {
    let Some(program) = program() else { return };
    let (server, host, pem) = server_with_tls(&program, &[]).await;
    let secure = patient(&format!("rediss://{host}"));

    assert!(secure.clone().build().unwrap().ping().await.unwrap_err().is_retryable());
    store_contract(&secure.ca_certificates(pem.clone()).build().unwrap()).await;
    store_contract(&patient(&server.url()).ca_certificates(pem).build().unwrap()).await;
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn cluster_over_tls_keeps_the_contract() {
    let Some(program) = program() else { return };
    let (server, host, pem) =
        server_with_tls(&program, &["--cluster-enabled", "yes", "--tls-cluster", "yes"]).await;
    server.tell(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let secure = patient(&format!("rediss+cluster://{host}")).ca_certificates(pem.clone()).build().unwrap();
    let plain = format!("redis+cluster://{}", server.host());
    let plain = patient(&plain).ca_certificates(pem).build().unwrap();

    until("the cluster is well", async || plain.get(&key("any")).await.is_ok()).await;

    store_contract(&secure).await;
    store_contract(&plain).await;
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn certificate_that_is_none_is_refused_when_the_store_is_set_up() {
    let store = RedisStore::builder("rediss://127.0.0.1:1");

    let error = store.ca_certificates("-----BEGIN CERTIFICATE-----\nnone\n").build().unwrap_err();

    assert!(matches!(error, Error::Setup { .. }));
}

#[tokio::test]
async fn connections_that_the_server_ended_cost_no_miss() {
    let Some(program) = program() else { return };
    let server = Server::start(&program).await;
    let store = patient(&server.url()).build().unwrap();
    let key = key("killed connections");
    store.put(&key, "x".into(), PutOptions::new()).await.unwrap();

    for _ in 0..20 {
        let gets: JoinSet<_> = (0..8).map(|_| get(store.clone(), key)).collect();
        for found in gets.join_all().await {
            assert_eq!(found.unwrap().unwrap().bytes, "x");
        }
        let _: RedisResult<()> =
            server.ask(::redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal")).await;
    }
}

#[tokio::test]
async fn connections_that_went_silent_while_idle_cost_no_miss() {
    let Some(program) = program() else { return };
    let server = Server::start(&program).await;
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", relay.local_addr().unwrap());
    let passed_on = Arc::new(Mutex::new(JoinSet::new()));
    tokio::spawn(pass_on(relay, server.host(), passed_on.clone()));
    let store = patient(&url).response_timeout(Duration::from_millis(200)).build().unwrap();
    let key = key("silent connections");
    store.put(&key, "x".into(), PutOptions::new()).await.unwrap();
    (0..8).map(|_| get(store.clone(), key)).collect::<JoinSet<_>>().join_all().await;

    passed_on.lock().await.abort_all();
    tokio::time::sleep(Duration::from_millis(1100)).await;

    for _ in 0..20 {
        assert_eq!(store.get(&key).await.unwrap().unwrap().bytes, "x");
    }
}

#[tokio::test]
async fn handshake_longer_than_a_call_may_take_costs_the_first_call_only() {
    let Some(program) = program() else { return };
    let server = Server::start(&program).await;
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", relay.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut near, _) = relay.accept().await.expect("the relay listens");
            let mut far = TcpStream::connect(server.host()).await.expect("the server listens");
            tokio::time::sleep(Duration::from_millis(200)).await;
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let store = patient(&url).connect_timeout(Duration::from_millis(50)).build().unwrap();

    assert!(store.ping().await.unwrap_err().is_retryable());
    tokio::time::sleep(Duration::from_millis(600)).await;

    store.ping().await.unwrap();
}

/// Passes on what arrives at `relay`. A connection whose task in `tasks` is aborted stays open and is silent.
async fn pass_on(relay: TcpListener, server: String, tasks: Arc<Mutex<JoinSet<()>>>) {
    let mut open = Vec::new();
    loop {
        let (near, _) = relay.accept().await.expect("the relay listens");
        let (near, far) =
            (Arc::new(near), Arc::new(TcpStream::connect(&server).await.expect("the server listens")));
        open.push((near.clone(), far.clone()));
        let mut tasks = tasks.lock().await;
        tasks.spawn(copy(near.clone(), far.clone()));
        tasks.spawn(copy(far, near));
    }
}

async fn copy(from: Arc<TcpStream>, to: Arc<TcpStream>) {
    let mut buffer = [0; 1 << 16];
    while from.readable().await.is_ok() {
        let Ok(count) = from.try_read(&mut buffer) else { continue };
        let mut rest = &buffer[..count];
        while !rest.is_empty() && to.writable().await.is_ok() {
            rest = &rest[to.try_write(rest).unwrap_or(0)..];
        }
        if count == 0 {
            break;
        }
    }
}

async fn get(store: RedisStore, key: Fingerprint) -> aic_cache::Result<Option<aic_cache::Found>> {
    store.get(&key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_give_up_never_leave_their_reply_to_another() {
    let Some(program) = program() else { return };
    let server = Server::start(&program).await;
    let store = patient(&server.url()).connections(2).build().unwrap();
    for number in 0..50 {
        store.put(&key(&number.to_string()), text(number).into(), PutOptions::new()).await.unwrap();
    }

    let tasks: JoinSet<_> = (0..32).map(|task| give_up_often(store.clone(), task)).collect();
    let (answered, given_up) = tasks.join_all().await.into_iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));

    println!("{answered} answered, {given_up} given up");
    assert!(answered > 100 && given_up > 100, "{answered} answered, {given_up} given up");
    // A connection with replies nobody waits for is not left in a state that harms later callers either.
    for number in 0..50 {
        let found = store.get(&key(&number.to_string())).await.unwrap().unwrap();
        assert_eq!(found.bytes, text(number));
    }
}

/// Values of different lengths: replies arrive in parts.
fn text(number: usize) -> String {
    format!("{number} ").repeat(1 + number * number * 3)
}

/// Asks for one entry after the other, each time for as long as this task's turn allows.
async fn give_up_often(store: RedisStore, task: usize) -> (usize, usize) {
    let (mut answered, mut given_up) = (0, 0);
    for turn in 0..200 {
        let number = (task * 7 + turn * 13) % 50;
        let patience = Duration::from_micros(((task + turn) % 40 * 100) as u64);
        match timeout(patience, store.get(&key(&number.to_string()))).await {
            Ok(Ok(found)) => {
                assert_eq!(found.expect("it was put").bytes, text(number));
                answered += 1;
            }
            // The pool is small on purpose, so some find no connection.
            Ok(Err(error)) => assert!(error.is_retryable(), "{error}"),
            Err(_) => given_up += 1,
        }
    }
    (answered, given_up)
}
