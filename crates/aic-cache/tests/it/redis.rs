//! Against a real server whose address is in `AIC_TEST_REDIS_URL`, and against ports where none answers.

use std::{
    env,
    time::{Duration, Instant},
};

use aic_cache::{
    Cache, CacheControl, Error, Fingerprint, Lookup, MemoryStore, MissReason, Put, PutOptions, RedisStore,
    RedisStoreBuilder, Store, Tenant, Tiered, testing::store_contract,
};
use tokio::net::TcpListener;

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
    tokio::spawn(async move {
        loop {
            let (mut near, _) = relay.accept().await.unwrap();
            let mut far = tokio::net::TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });

    for _ in 0..100 {
        if store.ping().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("store never came back");
}
