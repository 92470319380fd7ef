mod freshness;
mod leases;
#[cfg(feature = "semantic")]
mod similar;
mod streams;

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all, poll};

use super::*;
use crate::{
    MemoryStore, Worth,
    testing::{BrokenStore, ManualClock},
};

const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);
const HOUR: Duration = Duration::from_secs(3600);

fn cache() -> (ManualClock, Arc<MemoryStore>, Cache<String>) {
    let (clock, store) = (ManualClock::new(), Arc::new(MemoryStore::new(1 << 20)));
    let cache = Cache::builder(store.clone()).ttl(HOUR).clock(clock.clone()).build();
    (clock, store, cache)
}

fn control() -> CacheControl {
    CacheControl::new()
}

async fn leader(cache: &Cache<String>) -> LeadGuard<String> {
    match cache.begin(&KEY, &control()).await {
        Begin::Lead(guard) => guard,
        other => panic!("not the leader: {other:?}"),
    }
}

#[tokio::test]
async fn answer_that_was_put_is_found_with_its_age_and_tier() {
    let (clock, _, cache) = cache();
    assert_eq!(cache.lookup(&KEY, &control()).await, Lookup::Miss(MissReason::Absent));

    cache.put(&KEY, &"hello".to_owned(), &control()).await.unwrap();
    clock.advance(Duration::from_secs(90));

    let hit = Hit {
        value: "hello".to_owned(),
        age: Duration::from_secs(90),
        tier: "memory",
        stale: false,
        similarity: None,
    };
    assert_eq!(cache.lookup(&KEY, &control()).await, Lookup::Hit(hit));
}

#[tokio::test]
async fn answer_past_its_time_to_live_is_expired() {
    let (clock, _, cache) = cache();
    cache.put(&KEY, &"hello".to_owned(), &control()).await.unwrap();

    clock.advance(HOUR * 12 / 10);

    assert_eq!(cache.lookup(&KEY, &control()).await, Lookup::Miss(MissReason::Expired));
}

#[tokio::test]
async fn time_to_live_of_the_call_is_kept_exactly() {
    let (clock, _, cache) = cache();
    cache.put(&KEY, &"hello".to_owned(), &control().ttl(Duration::from_secs(10))).await.unwrap();

    clock.advance(Duration::from_millis(9_999));
    assert!(cache.get(&KEY).await.is_some());
    clock.advance(Duration::from_millis(1));
    assert!(cache.get(&KEY).await.is_none());
}

#[tokio::test]
async fn max_age_refuses_an_older_answer_to_this_caller_only() {
    let (clock, _, cache) = cache();
    cache.put(&KEY, &"hello".to_owned(), &control()).await.unwrap();

    clock.advance(Duration::from_secs(61));

    let minute = control().max_age(Duration::from_secs(60));
    assert_eq!(cache.lookup(&KEY, &minute).await, Lookup::Miss(MissReason::Expired));
    assert!(cache.get(&KEY).await.is_some());
}

#[tokio::test]
async fn no_cache_computes_again_and_replaces() {
    let (_, _, cache) = cache();
    cache.put(&KEY, &"old".to_owned(), &control()).await.unwrap();

    let compute = || async { Ok::<_, Infallible>(Computed::Store("new".to_owned())) };
    let answer = cache.get_or_try_compute(&KEY, &control().no_cache(), compute).await.unwrap();

    assert_eq!(answer, Answer::Computed("new".to_owned()));
    assert_eq!(cache.get(&KEY).await.unwrap().value, "new");
    assert_eq!(cache.stats().misses.bypassed, 1);
}

#[tokio::test]
async fn no_store_and_discarded_answers_are_not_kept() {
    let (_, _, cache) = cache();

    let keep = || async { Ok::<_, Infallible>(Computed::Store("a".to_owned())) };
    let discard = || async { Ok::<_, Infallible>(Computed::Discard("b".to_owned())) };
    cache.get_or_try_compute(&KEY, &control().no_store(), keep).await.unwrap();
    cache.get_or_try_compute(&KEY, &control(), discard).await.unwrap();

    assert!(cache.get(&KEY).await.is_none());
    assert_eq!(cache.stats().not_stored.declined, 2);
    assert_eq!(cache.stats().stores, 0);
}

#[tokio::test]
async fn damaged_entry_is_a_counted_miss() {
    let (_, store, cache) = cache();
    store
        .put(&KEY, Bytes::from_static(b"\x01 no entry at all, though long enough"), PutOptions::new())
        .await
        .unwrap();

    assert_eq!(cache.lookup(&KEY, &control()).await, Lookup::Miss(MissReason::Damaged));
    assert_eq!(cache.stats().misses.damaged, 1);
}

#[tokio::test]
async fn broken_store_is_a_miss_and_callers_still_share_one_computation() {
    let cache = Cache::<String>::builder(BrokenStore).build();
    let guard = leader(&cache).await;
    assert_eq!(guard.reason(), MissReason::Unavailable);
    let missed = control();
    let mut follower = Box::pin(cache.begin(&KEY, &missed));
    assert!(poll!(&mut follower).is_pending());

    assert_eq!(guard.finish(&"hello".to_owned()).await.unwrap(), Put::Unavailable);

    let Begin::Hit(hit) = follower.await else { panic!("follower computes again") };
    assert_eq!((hit.value.as_str(), hit.tier), ("hello", "coalesced"));
    let stats = cache.stats();
    assert_eq!((stats.misses.unavailable, stats.not_stored.unavailable, stats.coalesced), (1, 1, 1));
}

#[tokio::test]
async fn answer_too_large_for_the_store_is_returned_and_counted() {
    let cache = Cache::<String>::builder(MemoryStore::new(1000)).build();

    let put = cache.put(&KEY, &"x".repeat(2000), &control()).await.unwrap();

    assert!(matches!(put, Put::TooLarge { limit: 758, .. }), "{put:?}");
    assert_eq!(cache.stats().not_stored.too_large, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousand_callers_on_four_threads_compute_once() {
    let (_, _, cache) = cache();
    let computed = Arc::new(AtomicUsize::new(0));
    let ask = || {
        let (cache, computed) = (cache.clone(), computed.clone());
        tokio::spawn(async move {
            let compute = async || {
                computed.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(Computed::Store("hello".to_owned()))
            };
            cache.get_or_try_compute(&KEY, &control(), compute).await.unwrap().into_value()
        })
    };

    let answers = join_all((0..1000).map(|_| ask()).collect::<Vec<_>>()).await;

    assert!(answers.into_iter().all(|answer| answer.unwrap() == "hello"));
    assert_eq!(computed.load(Ordering::Relaxed), 1);
    assert_eq!((cache.stats().reused(), cache.stats().misses.absent), (999, 1));
}

#[tokio::test]
async fn failed_computation_errs_for_its_caller_and_the_next_computes() {
    let (_, _, cache) = cache();
    let turn = AtomicUsize::new(0);
    let compute = || async {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        if turn == 0 { Err("provider is down") } else { Ok(Computed::Store("hello".to_owned())) }
    };

    let control = control();
    let answers = join_all((0..3).map(|_| cache.get_or_try_compute(&KEY, &control, compute))).await;

    assert_eq!(answers[0], Err("provider is down"));
    assert_eq!(answers[1], Ok(Answer::Computed("hello".to_owned())));
    assert!(answers[2].as_ref().unwrap().is_hit());
}

#[tokio::test]
async fn cancelled_leader_is_followed_by_a_waiting_caller() {
    let (_, _, cache) = cache();
    let guard = leader(&cache).await;
    let control = control();
    let mut follower = Box::pin(cache.begin(&KEY, &control));
    assert!(poll!(&mut follower).is_pending());

    drop(guard);

    let Begin::Lead(guard) = follower.await else { panic!("follower does not lead") };
    assert!(guard.finish(&"hello".to_owned()).await.unwrap().is_stored());
}

#[tokio::test]
async fn discarded_answer_lets_all_who_wait_compute_at_once() {
    let (_, _, cache) = cache();
    let guard = leader(&cache).await;
    let control = control();
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(cache.begin(&KEY, &control))).collect();
    for follower in &mut waiting {
        assert!(poll!(follower).is_pending());
    }

    guard.discard();

    let turns = join_all(waiting).now_or_never().expect("nobody waits");
    assert!(turns.iter().all(|turn| matches!(turn, Begin::Lead(_))));
}

#[tokio::test]
async fn follower_of_a_landed_flight_is_told_the_age_even_if_it_looks_late() {
    let (clock, _, cache) = cache();
    let guard = leader(&cache).await;
    let control = control();
    let mut follower = Box::pin(cache.begin(&KEY, &control));
    assert!(poll!(&mut follower).is_pending());

    guard.finish(&"hello".to_owned()).await.unwrap();
    clock.advance(Duration::from_secs(5));

    let Begin::Hit(hit) = follower.await else { panic!("follower computes again") };
    assert_eq!(hit.age, Duration::from_secs(5));
}

#[tokio::test]
async fn hits_add_up_what_the_caller_says_they_are_worth() {
    let worth = |value: &String| Worth { tokens: Some(value.len() as u64), nano_usd: Some(100) };
    let cache = Cache::builder(MemoryStore::new(1 << 20)).worth(worth).build();
    cache.put(&KEY, &"hello".to_owned(), &control()).await.unwrap();

    cache.get(&KEY).await.unwrap();
    cache.get(&KEY).await.unwrap();

    let stats = cache.stats();
    assert_eq!((stats.saved.tokens, stats.saved.nano_usd, stats.saved.unpriced), (10, 200, 0));
    assert_eq!(serde_json::to_value(&stats).unwrap()["hits"]["memory"], 2);
}

#[tokio::test]
async fn removed_answer_is_absent() {
    let (_, _, cache) = cache();
    cache.put(&KEY, &"hello".to_owned(), &control()).await.unwrap();

    cache.remove(&KEY).await.unwrap();

    assert_eq!(cache.lookup(&KEY, &control()).await, Lookup::Miss(MissReason::Absent));
}

proptest::proptest! {
    #[test]
    fn spread_time_to_live_stays_within_a_tenth(bytes: [u8; 32], seconds in 1u64..1 << 30) {
        let ttl = Duration::from_secs(seconds);

        let ratio = spread(ttl, &Fingerprint::from_bytes(bytes)).as_secs_f64() / seconds as f64;

        proptest::prop_assert!((0.8999..=1.1001).contains(&ratio), "{}", ratio);
    }
}

#[test]
fn spread_reaches_both_ends() {
    let [low, high] = [0, 255].map(|byte| spread(HOUR, &Fingerprint::from_bytes([byte; 32])));

    assert_eq!(low, HOUR * 9 / 10);
    assert!(high > HOUR * 1099 / 1000, "{high:?}");
}
