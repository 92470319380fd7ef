//! Two caches over one store, as in two processes.
use std::collections::HashMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{clearings::tests::Log, *};
use crate::{Found, PutOptions, Shared, TierStats};

const LEASE: Duration = Duration::from_secs(5);

/// A store in memory that several caches share, with leases on tokio's clock.
#[derive(Clone, Debug)]
struct Common {
    entries: Arc<MemoryStore>,
    leases: Arc<Mutex<HashMap<Fingerprint, Held>>>,
    log: Log,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    last: u64,
    until: Option<Instant>,
}

impl Common {
    fn new() -> Self {
        Self { entries: Arc::new(MemoryStore::new(1 << 20)), leases: Arc::default(), log: Log::new() }
    }

    fn cache(&self) -> Cache<String> {
        Cache::builder(self.clone()).lease_ttl(LEASE).build()
    }

    fn is_held(&self) -> bool {
        self.leases.lock().values().any(|held| held.until.is_some_and(|until| until > Instant::now()))
    }
}

#[async_trait]
impl Store for Common {
    async fn get(&self, key: &Fingerprint) -> Result<Option<Found>> {
        self.entries.get(key).await
    }

    async fn put(&self, key: &Fingerprint, bytes: Bytes, options: PutOptions) -> Result<Put> {
        if let Some(fence) = options.fence {
            if self.leases.lock()[key].last > fence.0 {
                return Ok(Put::Superseded);
            }
            self.release(key, fence).await?;
        }
        self.entries.put(key, bytes, options).await
    }

    async fn remove(&self, key: &Fingerprint) -> Result<()> {
        self.entries.remove(key).await
    }

    fn shared(&self) -> Shared {
        Shared::default().leases(self.clone()).epochs(self.log.clone())
    }

    fn tiers(&self) -> Vec<TierStats> {
        self.entries.tiers()
    }
}

#[async_trait]
impl Leases for Common {
    async fn acquire(&self, key: &Fingerprint, ttl: Duration) -> Result<Option<Fence>> {
        let mut leases = self.leases.lock();
        let held = leases.entry(*key).or_insert(Held { last: 0, until: None });
        if held.until.is_some_and(|until| until > Instant::now()) {
            return Ok(None);
        }
        *held = Held { last: held.last + 1, until: Some(Instant::now() + ttl) };
        Ok(Some(Fence(held.last)))
    }

    async fn renew(&self, key: &Fingerprint, fence: Fence, ttl: Duration) -> Result<bool> {
        let mut leases = self.leases.lock();
        let held = leases.get_mut(key).filter(|held| held.last == fence.0);
        Ok(held.is_some_and(|held| held.until.replace(Instant::now() + ttl).is_some()))
    }

    async fn release(&self, key: &Fingerprint, fence: Fence) -> Result<()> {
        if let Some(held) = self.leases.lock().get_mut(key).filter(|held| held.last == fence.0) {
            held.until = None;
        }
        Ok(())
    }
}

fn pending(cache: &Cache<String>) -> tokio::task::JoinHandle<Begin<String>> {
    let cache = cache.clone();
    tokio::spawn(async move { cache.begin(&KEY, &control()).await })
}

#[tokio::test(start_paused = true)]
async fn answer_another_process_is_computing_is_awaited_for_as_long_as_it_takes() {
    let common = Common::new();
    let (ours, theirs) = (common.cache(), common.cache());
    let guard = leader(&theirs).await;
    let waiting = pending(&ours);

    tokio::time::sleep(LEASE * 10).await;
    assert!(!waiting.is_finished(), "the lease was not renewed");
    guard.finish(&"hello".to_owned()).await.unwrap();

    let Begin::Hit(hit) = waiting.await.unwrap() else { panic!("computed twice") };
    assert_eq!((hit.value.as_str(), hit.tier), ("hello", "memory"));
    assert_eq!(ours.stats().misses, Default::default());
    assert!(!common.is_held());
}

#[tokio::test(start_paused = true)]
async fn lease_of_a_cancelled_computation_is_given_back_at_once() {
    let common = Common::new();
    let (ours, theirs) = (common.cache(), common.cache());
    let guard = leader(&theirs).await;
    let waiting = pending(&ours);
    tokio::time::sleep(LEASE).await;

    let dropped = Instant::now();
    drop(guard);

    assert!(matches!(waiting.await.unwrap(), Begin::Lead(_)));
    assert!(dropped.elapsed() < LEASE / 10, "{:?}", dropped.elapsed());
}

#[tokio::test(start_paused = true)]
async fn answer_of_a_holder_that_slept_past_its_lease_is_refused() {
    let common = Common::new();
    let (ours, theirs) = (common.cache(), common.cache());
    let slow = leader(&theirs).await;
    common.leases.lock().get_mut(&KEY).unwrap().until = None; // as if it had been stopped for longer than its lease

    leader(&ours).await.finish(&"later".to_owned()).await.unwrap();

    assert_eq!(slow.finish(&"older".to_owned()).await.unwrap(), Put::Superseded);
    assert_eq!(ours.get(&KEY).await.unwrap().value, "later");
    assert_eq!(theirs.stats().not_stored.superseded, 1);
}

#[tokio::test(start_paused = true)]
async fn stale_answer_is_renewed_by_one_process_only() {
    let common = Common::new();
    let clock = ManualClock::new();
    let [ours, theirs] = [(); 2].map(|()| {
        let cache = Cache::<String>::builder(common.clone()).clock(clock.clone());
        cache.stale_while_revalidate(HOUR).build()
    });
    ours.put(&KEY, &"old".to_owned(), &control().ttl(Duration::from_secs(1))).await.unwrap();
    clock.advance(Duration::from_secs(2));

    let renewing = theirs.begin(&KEY, &control()).await;

    assert!(matches!(renewing, Begin::Renew(..)));
    assert!(matches!(ours.begin(&KEY, &control()).await, Begin::Hit(Hit { stale: true, .. })));
}

#[tokio::test]
async fn refresh_as_the_first_call_of_a_process_is_found_by_the_others() {
    let common = Common::new();
    let Begin::Lead(guard) = common.cache().begin(&KEY, &control().no_cache()).await else {
        panic!("no lead")
    };
    guard.finish(&"new".to_owned()).await.unwrap();

    let found = common.cache().get(&KEY).await;

    assert_eq!(found.map(|hit| hit.value).as_deref(), Some("new"));
}
