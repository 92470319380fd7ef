//! Several processes with one cache in a real Redis server: the test binary runs itself again as workers.

use std::{
    env,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ::redis::{Commands, FromRedisValue, aio::MultiplexedConnection, cmd};
use aic_cache::{Cache, CacheControl, Computed, Fingerprint, MemoryStore, Tenant, Tiered};

use super::redis::{patient, url};

/// In the environment of a worker: what its keys begin with.
const PREFIX: &str = "AIC_TEST_WORKER_PREFIX";

/// In the environment of a worker: whether its computation goes on until the test says otherwise.
const STALLS: &str = "AIC_TEST_WORKER_STALLS";

const TASKS: usize = 250;

/// How long the test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn four_processes_pay_once_for_one_answer() {
    let Some(mut run) = Run::new("four_processes_pay_once_for_one_answer") else { return };
    let workers = [(); 4].map(|()| run.worker(false));

    run.start_when_ready(4);
    workers.into_iter().for_each(Worker::succeeds);

    assert_eq!(run.number("calls"), 1);
    assert_eq!(run.number("answered"), 4 * TASKS);
    assert_eq!(run.answers(), ["answer 1"]);
}

#[test]
fn another_process_takes_over_from_one_that_was_killed() {
    let Some(mut run) = Run::new("another_process_takes_over_from_one_that_was_killed") else { return };
    let holder = run.worker(true);
    run.start_when_ready(1);
    run.wait_until("calls", 1);
    let workers = [(); 3].map(|()| run.worker(false));
    run.wait_until("ready", 4);

    drop(holder);
    workers.into_iter().for_each(Worker::succeeds);

    assert_eq!(run.number("calls"), 2);
    assert_eq!(run.number("answered"), 3 * TASKS);
    assert_eq!(run.answers(), ["answer 2"]);
}

#[cfg(unix)]
#[test]
fn answer_of_a_process_that_slept_through_its_lease_is_refused() {
    let Some(mut run) = Run::new("answer_of_a_process_that_slept_through_its_lease_is_refused") else {
        return;
    };
    let holder = run.worker(true);
    run.start_when_ready(1);
    run.wait_until("calls", 1);

    holder.signal("STOP");
    let workers = [(); 3].map(|()| run.worker(false));
    workers.into_iter().for_each(Worker::succeeds);
    assert_eq!(run.answers(), ["answer 2"]);
    run.set("finish");
    holder.signal("CONT");
    holder.succeeds();

    assert_eq!(run.number("calls"), 2);
    assert_eq!(run.number("answered"), 4 * TASKS);
    assert_eq!(run.stored().as_deref(), Some("answer 2"));
}

/// One run of a test, seen by the process that runs it.
struct Run {
    test: &'static str,
    url: String,
    prefix: String,
    server: ::redis::Connection,
}

impl Run {
    /// Begins a run, or takes part in one and then returns `None`.
    fn new(test: &'static str) -> Option<Self> {
        let url = url()?;
        if let Ok(prefix) = env::var(PREFIX) {
            runtime().block_on(work(&url, &prefix));
            return None;
        }
        let client = ::redis::Client::open(&url[..]).expect("AIC_TEST_REDIS_URL is an address");
        let server = client.get_connection().expect("server is there");
        Some(Self { test, url, prefix: format!("aic:test:{test}:{}:", std::process::id()), server })
    }

    fn worker(&self, stalls: bool) -> Worker {
        let mut command = Command::new(env::current_exe().expect("a test has a file"));
        command.args([&format!("processes::{}", self.test), "--exact", "--nocapture"]);
        command.env(PREFIX, &self.prefix).stdout(Stdio::null());
        if stalls {
            command.env(STALLS, "1");
        }
        Worker(command.spawn().expect("a test can be run again"))
    }

    fn start_when_ready(&mut self, workers: usize) {
        self.wait_until("ready", workers);
        self.set("go");
    }

    fn wait_until(&mut self, name: &str, at_least: usize) {
        let begun = Instant::now();
        while self.number(name) < at_least {
            assert!(begun.elapsed() < PATIENCE, "{name} is still {}", self.number(name));
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn set(&mut self, name: &str) {
        self.server.set::<_, _, ()>(format!("{}{name}", self.prefix), 1).expect("server answers");
    }

    fn number(&mut self, name: &str) -> usize {
        self.server
            .get::<_, Option<usize>>(format!("{}{name}", self.prefix))
            .expect("server answers")
            .unwrap_or(0)
    }

    fn answers(&mut self) -> Vec<String> {
        self.server.smembers(format!("{}answers", self.prefix)).expect("server answers")
    }

    /// The answer that is kept in the end.
    #[cfg(unix)]
    fn stored(&self) -> Option<String> {
        let store =
            patient(&self.url).prefix(&self.prefix).build().expect("AIC_TEST_REDIS_URL is an address");
        let cache = Cache::<String>::builder(store).build();
        runtime().block_on(cache.get(&key(&self.prefix))).map(|hit| hit.value)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let keys: Vec<String> = self.server.keys(format!("{}*", self.prefix)).unwrap_or_default();
        for key in keys {
            self.server.del::<_, ()>(key).unwrap_or_default();
        }
    }
}

/// A process that takes part in a run. Dropping it kills it, as `kill -9` does.
struct Worker(Child);

impl Worker {
    fn succeeds(mut self) {
        let begun = Instant::now();
        let status = loop {
            match self.0.try_wait().expect("it is our child") {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(5)),
            }
            assert!(begun.elapsed() < PATIENCE, "worker never ends");
        };
        assert!(status.success(), "worker: {status}");
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.0.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("a Unix has a shell");
        assert!(status.success(), "{kill}: {status}");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("threads can be started")
}

fn key(prefix: &str) -> Fingerprint {
    Fingerprint::of("processes", &Tenant::default(), prefix).expect("a text has a fingerprint")
}

/// What a worker does: many tasks at once ask for one answer.
async fn work(url: &str, prefix: &str) {
    let store = patient(url).prefix(prefix).build().expect("AIC_TEST_REDIS_URL is an address");
    let store = Tiered::new(MemoryStore::new(1 << 20), store);
    let cache = Cache::<String>::builder(store).lease_ttl(Duration::from_secs(1)).build();
    let upstream = Upstream::new(url, prefix).await;
    upstream.ask::<usize>("INCR", "ready", &[]).await;
    upstream.wait_for("go").await;

    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (cache, upstream, key) = (cache.clone(), upstream.clone(), key(prefix));
            tokio::spawn(async move {
                let answer =
                    cache.get_or_try_compute(&key, &CacheControl::new(), || upstream.compute()).await;
                answer.expect("computing cannot fail").into_value()
            })
        })
        .collect();
    for task in tasks {
        let answer = task.await.expect("no task panics");
        upstream.ask::<usize>("SADD", "answers", &[&answer]).await;
        upstream.ask::<usize>("INCR", "answered", &[]).await;
    }
}

/// What costs money, and is counted in the server therefore.
#[derive(Clone)]
struct Upstream {
    server: MultiplexedConnection,
    prefix: String,
}

impl Upstream {
    async fn new(url: &str, prefix: &str) -> Self {
        let client = ::redis::Client::open(url).expect("AIC_TEST_REDIS_URL is an address");
        let settings = ::redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let server = client.get_multiplexed_async_connection_with_config(&settings).await;
        Self { server: server.expect("server is there"), prefix: prefix.to_owned() }
    }

    /// The answer bears the number of the call.
    async fn compute(&self) -> Result<Computed<String>, std::convert::Infallible> {
        let call: usize = self.ask("INCR", "calls", &[]).await;
        if env::var(STALLS).is_ok() {
            self.wait_for("finish").await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(Computed::Store(format!("answer {call}")))
    }

    async fn wait_for(&self, name: &str) {
        while !self.ask::<bool>("EXISTS", name, &[]).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: &str, name: &str, args: &[&str]) -> T {
        let call = cmd(command).arg(format!("{}{name}", self.prefix)).arg(args).to_owned();
        call.query_async(&mut self.server.clone()).await.expect("server answers")
    }
}
