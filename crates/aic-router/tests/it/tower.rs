//! The router and its layers as tower services, in paused time.

use std::num::NonZeroU32;
use std::time::Duration;

use aic_router::testing::{FakeProvider, Step};
use aic_router::tower::{BreakerLayer, DeadlineLayer, LimitLayer, ProviderService, RetryLayer};
use aic_router::{
    ChatRequest, ChatStream, Error, ErrorKind, ModelInfo, Price, RateLimit, Router, Scope, SharedLimits,
};
use tokio::time::Instant;
use tower::{Service, ServiceBuilder, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

fn hi() -> ChatRequest {
    ChatRequest::user("hi")
}

fn fake() -> FakeProvider {
    FakeProvider::new("a").model(ModelInfo::chat("m").price(Price::per_million(1.0, 10.0)))
}

fn service(fake: &FakeProvider) -> ProviderService {
    ProviderService::new(fake.clone(), "m")
}

/// Sends a request and waits for the whole answer's text.
async fn ask<S>(service: &S, request: ChatRequest) -> Result<String, Error>
where
    S: Service<ChatRequest, Response = ChatStream, Error = Error> + Clone,
{
    let answer = service.clone().oneshot(request).await?.collect().await?;
    Ok(answer.text().into_owned())
}

fn attempts(error: &Error) -> usize {
    match error {
        Error::Failed { attempts } | Error::DeadlineExceeded { attempts, .. } => attempts.len(),
        error => panic!("no attempts in {error:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_model_answers_as_it_does_behind_a_router() {
    let fake = fake().reply("one two three");
    let router = Router::builder().provider(fake.clone()).build().unwrap();

    let routed = router.oneshot(hi()).await.unwrap().collect().await.unwrap();
    let direct = service(&fake).oneshot(hi()).await.unwrap().collect().await.unwrap();

    assert_eq!(direct, routed);
    assert!(direct.cost.is_some() && direct.usage.is_some());
}

#[tokio::test(start_paused = true)]
async fn failure_of_one_model_is_told_before_the_first_content_and_after_it() {
    let script = [
        Step::Fail(ErrorKind::Transient),
        Step::FailAfter("some words".into(), ErrorKind::Overloaded { retry_after: None }),
        Step::Cut("some words".into()),
        Step::Cut(String::new()),
    ];
    let fake = script.into_iter().fold(fake(), FakeProvider::then);

    let refused = ask(&service(&fake), hi()).await.unwrap_err();
    let [failed, cut] =
        [ask(&service(&fake), hi()).await, ask(&service(&fake), hi()).await].map(Result::unwrap_err);
    let empty = ask(&service(&fake), hi()).await.unwrap_err();

    assert!(matches!(&refused, Error::Failed { attempts } if attempts[0].model == "m"), "{refused:?}");
    assert!(matches!(&failed, Error::Interrupted { provider, .. } if provider == "a"), "{failed:?}");
    assert!(matches!(cut, Error::Interrupted { .. }) && cut.kind() == Some(&ErrorKind::Truncated));
    assert!(matches!(empty, Error::Failed { .. }) && empty.kind() == Some(&ErrorKind::Truncated));
}

#[tokio::test(start_paused = true)]
async fn deadline_bounds_the_silence_before_an_answer_and_within_it() {
    let fake = fake().then(Step::Hang).then(Step::Stall("some words".into()));
    let model = ServiceBuilder::new().layer(DeadlineLayer::new(10 * SECOND)).service(service(&fake));
    let began = Instant::now();

    let silent = ask(&model, hi()).await.unwrap_err();
    assert!(matches!(silent, Error::DeadlineExceeded { limit, .. } if limit == 10 * SECOND), "{silent:?}");
    assert_eq!(began.elapsed().as_secs(), 10);

    let stalled = ask(&model, hi().deadline(3 * SECOND)).await.unwrap_err();
    assert!(matches!(&stalled, Error::Interrupted { model, .. } if model == "m"), "{stalled:?}");
    assert_eq!((stalled.kind(), began.elapsed().as_secs()), (Some(&ErrorKind::Timeout), 13));
    assert_eq!(fake.open_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn service_under_a_deadline_is_told_the_one_that_holds() {
    let deadlines = |own: Option<Duration>| async move {
        let seen = tower::service_fn(async |request: ChatRequest| {
            let limit = request.deadline.expect("a request under a deadline has one");
            Err::<ChatStream, _>(Error::DeadlineExceeded { limit, attempts: vec![] })
        });
        let model = ServiceBuilder::new().layer(DeadlineLayer::new(10 * SECOND)).service(seen);
        match model.oneshot(ChatRequest { deadline: own, ..hi() }).await.unwrap_err() {
            Error::DeadlineExceeded { limit, .. } => limit.as_secs(),
            error => panic!("{error:?}"),
        }
    };

    let told =
        [deadlines(None).await, deadlines(Some(3 * SECOND)).await, deadlines(Some(Duration::MAX)).await];

    assert_eq!(told, [10, 3, 10]);
}

#[tokio::test(start_paused = true)]
async fn passing_faults_are_retried_until_the_answer_has_begun() {
    let fake = fake()
        .fail(ErrorKind::Transient)
        .then(Step::Cut(String::new()))
        .reply("at last")
        .then(Step::FailAfter("some words".into(), ErrorKind::Transient));
    let model = ServiceBuilder::new().layer(RetryLayer::new()).service(service(&fake));

    assert_eq!(ask(&model, hi()).await.unwrap(), "at last");
    assert_eq!(fake.calls(), 3);

    assert!(matches!(ask(&model, hi()).await, Err(Error::Interrupted { .. })));
    assert_eq!(fake.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn every_try_is_told_of_and_wrong_requests_are_tried_once() {
    let down = fake().fail(ErrorKind::Transient);
    let wrong = fake().fail(ErrorKind::BadRequest);
    let layer = RetryLayer::new().retries(3);
    let [down_model, wrong_model] =
        [&down, &wrong].map(|fake| ServiceBuilder::new().layer(layer).service(service(fake)));

    let error = ask(&down_model, hi()).await.unwrap_err();
    ask(&wrong_model, hi()).await.unwrap_err();

    assert_eq!((attempts(&error), down.calls(), wrong.calls()), (4, 4, 1));
}

#[tokio::test(start_paused = true)]
async fn pause_is_the_providers_unless_it_is_longer_than_the_patience_or_the_deadline() {
    let busy = |seconds| ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(seconds)) };
    let fake = fake().fail(busy(7)).reply("ok").fail(busy(31)).fail(busy(7)).reply("never");
    let model = ServiceBuilder::new().layer(RetryLayer::new()).service(service(&fake));
    let began = Instant::now();

    ask(&model, hi()).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 7);

    ask(&model, hi()).await.unwrap_err();
    ask(&model, hi().deadline(7 * SECOND)).await.unwrap_err();
    assert_eq!((began.elapsed().as_secs(), fake.calls()), (7, 4));
}

#[tokio::test(start_paused = true)]
async fn breaker_counts_answers_when_they_end_and_gives_a_dropped_probe_back() {
    let broken = || Step::FailAfter("some words".into(), ErrorKind::Transient);
    let stalled = Step::Stall("some words".into());
    let fake = fake().then(broken()).then(broken()).then(stalled).reply("back");
    let layer = BreakerLayer::new().failures(NonZeroU32::new(2).unwrap()).cooldown(10 * SECOND);
    let model = ServiceBuilder::new().layer(layer).service(service(&fake));
    for _ in 0..2 {
        ask(&model, hi()).await.unwrap_err();
    }

    let held_back = ask(&model, hi()).await.unwrap_err();
    assert!(matches!(held_back, Error::HeldBack { .. }) && held_back.is_retryable(), "{held_back:?}");
    assert_eq!(held_back.kind(), Some(&ErrorKind::Overloaded { retry_after: Some(10 * SECOND) }));

    tokio::time::advance(10 * SECOND).await;
    let probe = model.clone().oneshot(hi()).await.unwrap();
    assert!(matches!(ask(&model, hi()).await, Err(Error::HeldBack { .. })));
    drop(probe);
    assert_eq!(ask(&model, hi()).await.unwrap(), "back");
    assert_eq!(fake.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn breaker_sees_a_hanging_call_through_a_deadline_inside() {
    let fake = fake().then(Step::Hang);
    let model = ServiceBuilder::new()
        .layer(BreakerLayer::new().failures(NonZeroU32::MIN))
        .layer(DeadlineLayer::new(SECOND))
        .service(service(&fake));

    ask(&model, hi()).await.unwrap_err();

    assert!(matches!(ask(&model, hi()).await, Err(Error::HeldBack { .. })));
}

#[tokio::test(start_paused = true)]
async fn request_over_the_limit_is_held_back_and_goes_after_the_pause_it_is_told() {
    let fake = fake();
    let limit = RateLimit::new().requests_per_minute(2).tokens_per_minute(10_000);
    let layer =
        LimitLayer::builder().provider("a").limit(Scope::Provider("a".into()), limit).build().unwrap();
    let model = ServiceBuilder::new().layer(layer).service(service(&fake));
    let patient = ServiceBuilder::new().layer(RetryLayer::new()).service(model.clone());
    for _ in 0..2 {
        ask(&model, hi()).await.unwrap();
    }

    let held_back = ask(&model, hi()).await.unwrap_err();
    let wait = ErrorKind::RateLimited { retry_after: Some(30 * SECOND) };
    assert_eq!((held_back.kind(), fake.calls()), (Some(&wait), 2));
    ask(&patient, hi()).await.unwrap();

    let too_long = ask(&patient, hi().max_tokens(10_000)).await.unwrap_err();
    assert!(!too_long.is_retryable(), "{too_long:?}");
}

#[test]
fn limit_for_a_provider_that_is_not_behind_the_layer_is_refused() {
    let each = RateLimit::new().requests_per_minute(1);
    let other = LimitLayer::builder().provider("a").limit(Scope::Provider("b".into()), each).build();
    let nowhere = LimitLayer::builder().shared(SharedLimits::new("http://me:hunter2@host")).build();

    let [other, nowhere] = [other, nowhere].map(|built| built.unwrap_err().to_string());
    assert!(other.contains("provider `b`") && other.contains("is `a`"), "{other}");
    assert!(!nowhere.contains("hunter2"), "{nowhere}");
}

#[tokio::test(start_paused = true)]
async fn all_layers_together_answer_through_faults() {
    let fake = fake().fail(ErrorKind::Transient).then(Step::Hang).reply("at last");
    let each = RateLimit::new().requests_per_minute(60);
    let model = ServiceBuilder::new()
        .layer(DeadlineLayer::new(60 * SECOND))
        .layer(RetryLayer::new())
        .layer(LimitLayer::builder().limit(Scope::EachTenant, each).build().unwrap())
        .layer(BreakerLayer::new())
        .layer(DeadlineLayer::new(10 * SECOND))
        .service(service(&fake));

    assert_eq!(ask(&model, hi().tenant("ada")).await.unwrap(), "at last");
    assert_eq!((fake.calls(), fake.open_calls()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn towers_own_layers_go_over_the_router() {
    let fake = fake().then(Step::Hang).reply("back");
    let router = Router::builder().provider(fake.clone()).build().unwrap();
    let mut service = ServiceBuilder::new().concurrency_limit(1).timeout(5 * SECOND).service(router);

    let hung = service.ready().await.unwrap().call(hi()).await.unwrap_err();
    assert!(hung.is::<tower::timeout::error::Elapsed>(), "{hung:?}");
    assert_eq!(fake.open_calls(), 0);

    let answer = service.ready().await.unwrap().call(hi()).await.unwrap();
    assert_eq!(answer.collect().await.unwrap().text(), "back");
}

#[tokio::test(start_paused = true)]
async fn layers_go_over_towers_own_and_wait_for_their_turn() {
    let fake = fake().delay(2 * SECOND);
    let layers =
        ServiceBuilder::new().layer(RetryLayer::new()).layer(BreakerLayer::new()).concurrency_limit(1);
    let model = layers.service(service(&fake));
    let began = Instant::now();

    let answers = tokio::join!(ask(&model, hi()), ask(&model, hi()), ask(&model, hi()));

    assert!(answers.0.is_ok() && answers.1.is_ok() && answers.2.is_ok());
    assert_eq!(began.elapsed().as_secs(), 6);
}
