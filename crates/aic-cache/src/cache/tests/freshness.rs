//! Answers past their time, refusals and cleared tags.
use super::*;
use crate::{Refusal, Tag};

const MINUTE: Duration = Duration::from_secs(60);

fn lenient(stale_while_revalidate: Duration, stale_if_error: Duration) -> (ManualClock, Cache<String>) {
    let clock = ManualClock::new();
    let cache = Cache::builder(MemoryStore::new(1 << 20))
        .clock(clock.clone())
        .stale_while_revalidate(stale_while_revalidate)
        .stale_if_error(stale_if_error)
        .build();
    (clock, cache)
}

async fn old(cache: &Cache<String>, clock: &ManualClock) {
    cache.put(&KEY, &"old".to_owned(), &control().ttl(MINUTE)).await.unwrap();
    clock.advance(MINUTE * 2);
}

#[tokio::test]
async fn stale_answer_is_given_to_all_while_one_caller_renews_it() {
    let (clock, cache) = lenient(HOUR, Duration::ZERO);
    old(&cache, &clock).await;

    let Begin::Renew(stale, guard) = cache.begin(&KEY, &control()).await else { panic!("nothing to renew") };
    let Begin::Hit(second) = cache.begin(&KEY, &control()).await else { panic!("renewed twice") };
    guard.finish(&"new".to_owned()).await.unwrap();
    let Begin::Hit(third) = cache.begin(&KEY, &control()).await else { panic!("not renewed") };

    assert_eq!((stale.value.as_str(), stale.stale, stale.age), ("old", true, MINUTE * 2));
    assert_eq!((second.value.as_str(), second.stale), ("old", true));
    assert_eq!((third.value.as_str(), third.stale), ("new", false));
    assert_eq!(cache.stats().stale, 2);
}

#[tokio::test]
async fn renewal_that_is_given_up_falls_to_the_next_caller() {
    let (clock, cache) = lenient(HOUR, Duration::ZERO);
    old(&cache, &clock).await;

    drop(cache.begin(&KEY, &control()).await);

    assert!(matches!(cache.begin(&KEY, &control()).await, Begin::Renew(..)));
}

#[tokio::test]
async fn answer_past_its_window_is_expired() {
    let (clock, cache) = lenient(MINUTE, MINUTE);
    old(&cache, &clock).await;

    let guard = leader(&cache).await;

    assert_eq!(guard.reason(), MissReason::Expired);
    assert_eq!(guard.stale(), None);
}

#[tokio::test]
async fn failed_computation_gives_the_stale_answer_if_that_is_allowed() {
    let (clock, cache) = lenient(Duration::ZERO, HOUR);
    old(&cache, &clock).await;

    let fail = || async { Err::<Computed<String>, _>("provider is down") };
    let answer = cache.get_or_try_compute(&KEY, &control(), fail).await.unwrap();

    let Answer::Hit(hit) = answer else { panic!("computed") };
    assert_eq!((hit.value.as_str(), hit.stale), ("old", true));
    assert_eq!(cache.stats().stale_if_error, 1);
}

#[tokio::test]
async fn caller_with_a_limit_of_age_gets_nothing_stale() {
    let (clock, cache) = lenient(HOUR, HOUR);
    old(&cache, &clock).await;

    let begin = cache.begin(&KEY, &control().max_age(HOUR)).await;

    let Begin::Lead(guard) = begin else { panic!("{begin:?}") };
    assert_eq!(guard.stale(), None);
}

#[tokio::test]
async fn refused_request_is_refused_at_once_until_the_refusal_ends() {
    let (clock, _, cache) = cache();
    let refusal = Refusal::new("context_length", "too long");
    let guard = leader(&cache).await;
    let call = control();
    let mut follower = Box::pin(cache.begin(&KEY, &call));
    assert!(poll!(&mut follower).is_pending());

    guard.refuse(&refusal).await.unwrap();

    let Begin::Refused(told) = follower.await else { panic!("follower is not told") };
    assert_eq!((&told.value, told.tier), (&refusal, "coalesced"));
    let Lookup::Refused(known) = cache.lookup(&KEY, &control()).await else { panic!("not remembered") };
    assert_eq!((known.value, known.tier), (refusal, "memory"));
    clock.advance(MINUTE);
    assert_eq!(cache.lookup(&KEY, &control()).await, Lookup::Miss(MissReason::Expired));
}

#[tokio::test]
async fn cleared_tag_takes_its_answers_with_it_even_one_still_being_computed() {
    let (_, _, cache) = cache();
    let (document, other) = (Tag::new("document", "a"), Tag::new("document", "b"));
    cache.put(&KEY, &"kept".to_owned(), &control().tag(other)).await.unwrap();
    let late = Fingerprint::from_bytes([8; 32]);
    let Begin::Lead(guard) = cache.begin(&late, &control().tag(document)).await else { panic!("found") };

    cache.clear(&[document]).await.unwrap();
    guard.finish(&"outdated".to_owned()).await.unwrap();

    assert_eq!(cache.lookup(&late, &control()).await, Lookup::Miss(MissReason::Cleared));
    assert!(cache.get(&KEY).await.is_some());
    assert_eq!(cache.stats().misses.cleared, 1);
}

#[tokio::test]
async fn answer_is_cleared_by_a_tag_that_is_read_off_it() {
    let cache = Cache::builder(MemoryStore::new(1 << 20))
        .tags(|answer: &String| vec![Tag::new("model", answer.split(':').next().unwrap_or_default())])
        .build();
    cache.put(&KEY, &"small: 4".to_owned(), &control()).await.unwrap();

    cache.clear(&[Tag::new("model", "large")]).await.unwrap();
    assert!(cache.get(&KEY).await.is_some());
    cache.clear(&[Tag::new("model", "small")]).await.unwrap();
    assert!(cache.get(&KEY).await.is_none());
}

#[tokio::test]
async fn explanation_says_what_a_call_would_come_to_and_counts_nothing() {
    let (clock, cache) = lenient(HOUR, Duration::ZERO);
    let explain = async |control: CacheControl| cache.explain(&KEY, &control).await.to_string();
    let tag = Tag::new("document", "a");

    assert_eq!(explain(control()).await, "miss: no answer to this request is stored");
    cache.put(&KEY, &"x".to_owned(), &control().ttl(MINUTE).tag(tag)).await.unwrap();
    clock.advance(Duration::from_secs(30));
    assert!(explain(control()).await.starts_with("hit: in memory, stored 30"));
    assert_eq!(explain(control().no_cache()).await, "miss: the call wants a new answer");
    assert_eq!(
        explain(control().max_age(Duration::from_secs(1))).await,
        "miss: the stored answer is older than this call allows"
    );
    clock.advance(MINUTE);
    let stale = explain(control()).await;
    assert!(
        stale.starts_with("stale: in memory, 30") && stale.ends_with("while it is computed anew"),
        "{stale}"
    );
    cache.clear(&[tag]).await.unwrap();
    assert_eq!(explain(control()).await, "miss: the stored answer was cleared by one of its tags");

    assert_eq!(cache.stats().hits.len() as u64 + cache.stats().misses.absent, 0);
}
