//! Limits shared through a real Redis whose address is in `AIC_TEST_REDIS_URL`, and through ones that are silent.

use std::env;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aic_router::testing::FakeProvider;
use aic_router::tower::{LimitLayer, LimitLayerBuilder, ProviderService};
use aic_router::{ChatRequest, Error, RateLimit, Scope, SharedLimits};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};
use tracing_subscriber::fmt::MakeWriter;

fn url() -> Option<String> {
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

/// A name that no other test and no other run uses.
fn prefix(test: &str) -> String {
    format!("aic:test:{test}:{}", std::process::id())
}

/// A longer deadline than usual, for machines that are busy testing.
fn patient(url: &str, test: &str) -> SharedLimits {
    SharedLimits::new(url).prefix(prefix(test)).deadline(Duration::from_secs(5))
}

fn five_for_all() -> LimitLayerBuilder {
    LimitLayer::builder().limit(Scope::All, RateLimit::new().requests_per_minute(5))
}

/// Sends a request through the layer; whether it was let through.
async fn goes(layer: &LimitLayer, tenant: &str) -> bool {
    let model = ProviderService::new(FakeProvider::new("a").model("m"), "m");
    match layer.layer(model).oneshot(ChatRequest::user("hi").tenant(tenant)).await {
        Ok(_) => true,
        Err(Error::HeldBack { .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}

async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// The keys a test left in Redis, with the time each has left.
async fn keys(url: &str, test: &str) -> Vec<(String, i64)> {
    let mut connection = connect(url).await;
    let pattern = format!("{{{}}}:*", prefix(test));
    let names: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap();
    let mut keys = Vec::new();
    for name in names {
        let ttl_ms = redis::cmd("PTTL").arg(&name).query_async(&mut connection).await.unwrap();
        keys.push((name, ttl_ms));
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_share_one_limit() {
    let Some(url) = url() else { return };
    let layers = [(); 2].map(|()| five_for_all().shared(patient(&url, "share")).build().unwrap());

    let asks = (0..40).map(|number| {
        let layer = layers[number % 2].clone();
        tokio::spawn(async move { goes(&layer, "t").await })
    });
    let mut passed = 0;
    for ask in asks.collect::<Vec<_>>() {
        passed += usize::from(ask.await.unwrap());
    }

    assert_eq!(passed, 5);
}

#[tokio::test]
async fn call_denied_by_one_shared_bucket_takes_nothing_from_the_others() {
    let Some(url) = url() else { return };
    let one_each = RateLimit::new().requests_per_minute(1);
    let layer =
        five_for_all().limit(Scope::EachTenant, one_each).shared(patient(&url, "all")).build().unwrap();

    let mut passed = Vec::new();
    for tenant in ["a", "a", "a", "a", "a", "a", "b", "c", "d", "e", "f"] {
        passed.push(goes(&layer, tenant).await);
    }

    let expected = [true, false, false, false, false, false, true, true, true, true, false];
    assert_eq!(passed, expected);
}

#[tokio::test]
async fn buckets_lie_in_redis_under_one_hash_tag_and_go_when_they_are_full() {
    let Some(url) = url() else { return };
    let tokens = RateLimit::new().tokens_per_minute(1_000_000);
    let layer =
        five_for_all().limit(Scope::EachTenant, tokens).shared(patient(&url, "keys")).build().unwrap();

    assert!(goes(&layer, "ada").await);

    let (mut names, ttls): (Vec<_>, Vec<_>) = keys(&url, "keys").await.into_iter().unzip();
    names.sort();
    let expected = ["requests:all", "tokens:tenant:ada"];
    assert_eq!(names, expected.map(|name| format!("{{{}}}:{name}", prefix("keys"))));
    // One of five requests comes back in 12 s.
    assert!(ttls.iter().all(|ttl_ms| (1..=12_000).contains(ttl_ms)), "{ttls:?}");
}

#[tokio::test(start_paused = true)]
async fn silent_redis_costs_a_few_deadlines_and_leaves_the_limit_in_force() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let deadline = Duration::from_millis(20);
    let layer = five_for_all().shared(SharedLimits::new(url).deadline(deadline)).build().unwrap();
    let (began, mut passed, mut slowest) = (Instant::now(), 0, Duration::ZERO);

    for _ in 0..50 {
        let asked = Instant::now();
        passed += usize::from(goes(&layer, "t").await);
        slowest = slowest.max(asked.elapsed());
    }

    // In paused time: a timer is due by the next millisecond, and nothing else takes any.
    assert!(slowest <= deadline + Duration::from_millis(1), "{slowest:?}");
    assert!(began.elapsed() <= 3 * (deadline + Duration::from_millis(1)), "{:?}", began.elapsed());
    assert_eq!(passed, 5);
}

#[tokio::test(start_paused = true)]
async fn redis_out_of_reach_is_told_of_once_and_without_its_password() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _heard = tracing::subscriber::set_default(subscriber);
    let nobody = SharedLimits::new("redis://me:hunter2@127.0.0.1:1");
    let layer = five_for_all().shared(nobody).build().unwrap();

    for _ in 0..20 {
        goes(&layer, "t").await;
        tokio::time::advance(Duration::from_millis(500)).await;
    }

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("WARN") && log.contains("out of reach") && !log.contains("hunter2"), "{log}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn redis_that_comes_back_is_used_again_by_itself() {
    let Some(url) = url() else { return };
    let server = url.trim_start_matches("redis://").split('/').next().unwrap().to_owned();
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let many = RateLimit::new().requests_per_minute(1_000);
    let layer = LimitLayer::builder().limit(Scope::All, many);
    let layer = layer.shared(patient(&format!("redis://{address}"), "back")).build().unwrap();
    for _ in 0..5 {
        assert!(goes(&layer, "t").await);
    }
    assert_eq!(keys(&url, "back").await, []);

    let relay = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = relay.accept().await {
            let mut far = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });

    for _ in 0..200 {
        assert!(goes(&layer, "t").await);
        // The key is there for the 60 ms in which the bucket fills up again.
        if !keys(&url, "back").await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the shared limits never came back");
}
