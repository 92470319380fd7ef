//! Breakers, limits, cancelling and accounts, in paused time.

use std::num::NonZeroU32;
use std::time::Duration;

use aic_router::testing::{FakeProvider, Step, provider_contract};
use aic_router::{
    BreakerState, ChatRequest, Error, ErrorKind, Health, ModelInfo, ModelStats, NanoUsd, Price, ProviderKind,
    RateLimit, Router, Scope,
};

const SECOND: Duration = Duration::from_secs(1);

fn hi() -> ChatRequest {
    ChatRequest::user("hi")
}

/// One provider whose breaker opens at the second failure, and no retries.
fn brittle(provider: &FakeProvider) -> Router {
    Router::builder()
        .provider(provider.clone())
        .retries(0)
        .breaker_failures(NonZeroU32::new(2).unwrap())
        .breaker_cooldown(10 * SECOND)
        .build()
        .unwrap()
}

fn stats(router: &Router) -> ModelStats {
    router.stats().models.remove(0)
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_fails_fast_and_lets_one_probe_close_it() {
    let fake =
        FakeProvider::new("a").model("m").fail(ErrorKind::Transient).fail(ErrorKind::Transient).reply("back");
    let router = brittle(&fake);
    for _ in 0..2 {
        router.chat(hi()).await.unwrap_err();
    }

    let error = router.chat(hi()).await.unwrap_err();
    assert!(matches!(error, Error::NoCandidate(_)) && error.is_retryable(), "{error}");
    assert_eq!((fake.calls(), stats(&router).breaker), (2, BreakerState::Open));
    assert!(
        matches!(router.health()[0].health, Health::Down { probe_in: Some(wait) } if wait == 10 * SECOND)
    );

    tokio::time::advance(10 * SECOND).await;
    assert_eq!(router.chat(hi()).await.unwrap().collect().await.unwrap().text(), "back");
    assert_eq!(
        (stats(&router).breaker, router.health()[0].health.clone()),
        (BreakerState::Closed, Health::Ready)
    );
}

#[tokio::test(start_paused = true)]
async fn cancelled_probe_does_not_keep_the_breaker_shut() {
    let fake = FakeProvider::new("a")
        .model("m")
        .fail(ErrorKind::Transient)
        .fail(ErrorKind::Transient)
        .then(Step::Hang)
        .reply("back");
    let router = brittle(&fake);
    for _ in 0..2 {
        router.chat(hi()).await.unwrap_err();
    }
    tokio::time::advance(10 * SECOND).await;

    let probe = tokio::time::timeout(SECOND, router.chat(hi())).await;

    assert!(probe.is_err() && fake.open_calls() == 0);
    assert_eq!(router.chat(hi()).await.unwrap().collect().await.unwrap().text(), "back");
}

#[tokio::test(start_paused = true)]
async fn wrong_requests_do_not_open_the_breaker() {
    let router = brittle(&FakeProvider::new("a").model("m").fail(ErrorKind::BadRequest));

    for _ in 0..5 {
        router.chat(hi()).await.unwrap_err();
    }

    assert_eq!((stats(&router).breaker, stats(&router).failures), (BreakerState::Closed, 5));
}

#[tokio::test(start_paused = true)]
async fn dropped_stream_ends_the_call_and_is_booked_as_cancelled() {
    let fake = FakeProvider::new("a").model("m").then(Step::Stall("some words".into()));
    let router = brittle(&fake);
    let mut stream = router.chat(hi()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    assert_eq!(fake.open_calls(), 1);

    drop(stream);

    assert_eq!(fake.open_calls(), 0);
    assert_eq!((stats(&router).cancelled, stats(&router).failures), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn answers_are_booked_with_tokens_cost_and_latency() {
    let model = ModelInfo::chat("m").price(Price::per_million(1.0, 10.0));
    let fake = FakeProvider::new("a").model(model).delay(2 * SECOND).reply("one two three");
    let router = brittle(&fake);

    let answer = router.chat(hi()).await.unwrap().collect().await.unwrap();

    let cost = NanoUsd(5 * 1_000 + 3 * 10_000);
    assert_eq!(answer.cost, Some(cost));
    let stats = stats(&router);
    assert_eq!((stats.calls, stats.successes, stats.cost, stats.unpriced), (1, 1, cost, 0));
    assert_eq!((stats.input_tokens, stats.output_tokens), (5, 3));
    let first_content = stats.first_content.unwrap().as_secs_f64();
    assert!((1.9..=2.1).contains(&first_content), "{first_content}");
}

#[tokio::test]
async fn unknown_price_is_counted_as_unknown_and_local_is_free() {
    let cloud = brittle(&FakeProvider::new("a").model("m"));
    let local = brittle(&FakeProvider::new("a").model("m").kind(ProviderKind::Local));

    let costs = [&cloud, &local]
        .map(|router| async { router.chat(hi()).await.unwrap().collect().await.unwrap().cost });

    let [unknown, free] = costs;
    assert_eq!((unknown.await, free.await), (None, Some(NanoUsd(0))));
    assert_eq!((stats(&cloud).unpriced, stats(&local).unpriced), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn requests_over_the_limit_go_to_the_next_provider() {
    let (a, b) = (FakeProvider::new("a").model("m"), FakeProvider::new("b").model("m"));
    let builder = Router::builder().provider(a.clone()).provider(b.clone()).chain(["a", "b"]);
    let router = builder
        .rate_limit(Scope::Provider("a".into()), RateLimit::new().requests_per_minute(1))
        .build()
        .unwrap();

    for _ in 0..2 {
        router.chat(hi()).await.unwrap().collect().await.unwrap();
    }

    assert_eq!((a.calls(), b.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn calls_that_took_long_raise_the_expected_latency() {
    let slow = FakeProvider::new("slow").model("m").delay(20 * SECOND);
    let router = brittle(&slow);
    let before = router.explain(&hi()).candidates[0].latency;

    for _ in 0..10 {
        router.chat(hi()).await.unwrap().collect().await.unwrap();
    }

    let after = router.explain(&hi()).candidates[0].latency;
    assert!(!before.measured && after.measured);
    assert!(before.p95 < 10 * SECOND && after.p50 > 10 * SECOND, "{before:?} {after:?}");
}

#[tokio::test(start_paused = true)]
async fn timeouts_are_charged_to_the_expected_latency_and_every_failure_to_its_chance() {
    let (stuck, broken) = (FakeProvider::new("stuck"), FakeProvider::new("broken"));
    let router = Router::builder()
        .provider(stuck.model("m").then(Step::Hang))
        .provider(broken.model("m").fail(ErrorKind::Transient))
        .retries(0)
        .first_content_timeout(30 * SECOND)
        .build()
        .unwrap();
    let before = router.explain(&hi()).candidates[0].clone();

    for _ in 0..4 {
        router.chat(hi()).await.unwrap_err();
    }

    for after in router.explain(&hi()).candidates {
        assert!(after.failing > 2.0 * before.failing, "{after:?}");
        assert!(after.latency.p95 > before.latency.p95, "{after:?}");
        assert_eq!(after.latency.measured, after.provider == "stuck");
    }
}

#[tokio::test]
async fn fake_provider_keeps_the_contract() {
    provider_contract(&FakeProvider::new("a").model("m").model(ModelInfo::embedding("e"))).await;
}
