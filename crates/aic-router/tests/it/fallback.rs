//! What happens when providers fail, in paused time.

use std::time::Duration;

use aic_router::testing::{FakeProvider, Step};
use aic_router::{ChatRequest, Error, ErrorKind, Event, FinishReason, Router};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn fake(name: &str) -> FakeProvider {
    FakeProvider::new(name).model("m")
}

fn chain(providers: &[&FakeProvider]) -> Router {
    let names: Vec<String> = providers.iter().map(|p| aic_router::Provider::info(*p).name.clone()).collect();
    let add = |builder: aic_router::RouterBuilder, p: &&FakeProvider| builder.provider((*p).clone());
    providers.iter().fold(Router::builder(), add).chain(names).build().unwrap()
}

fn hi() -> ChatRequest {
    ChatRequest::user("hi")
}

async fn ask(router: &Router) -> aic_router::Result<(String, String)> {
    let answer = router.chat(hi()).await?.collect().await?;
    Ok((answer.provider.clone(), answer.text().into_owned()))
}

#[tokio::test(start_paused = true)]
async fn one_passing_fault_is_retried_at_the_same_provider() {
    let (a, b) = (fake("a").fail(ErrorKind::Transient).reply("from a"), fake("b"));

    let answer = ask(&chain(&[&a, &b])).await.unwrap();

    assert_eq!(answer, ("a".into(), "from a".into()));
    assert_eq!((a.calls(), b.calls()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn lone_provider_is_tried_three_times_and_every_attempt_is_listed() {
    let a = fake("a").fail(ErrorKind::Transient);

    let error = ask(&chain(&[&a])).await.unwrap_err();

    assert_eq!(a.calls(), 3);
    assert!(matches!(&error, Error::Failed { attempts } if attempts.len() == 3), "{error:?}");
    assert!(error.is_retryable() && error.to_string().contains("`a/m` passing fault"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn failures_before_the_first_content_fall_back_unseen() {
    let kinds = [
        ErrorKind::Auth,
        ErrorKind::QuotaExhausted,
        ErrorKind::Timeout,
        ErrorKind::Unreachable,
        ErrorKind::ModelNotFound,
        ErrorKind::ContextTooLong,
        ErrorKind::Overloaded { retry_after: Some(60 * SECOND) },
        ErrorKind::RateLimited { retry_after: Some(60 * SECOND) },
    ];
    for kind in kinds {
        let (a, b) = (fake("a").fail(kind.clone()), fake("b").reply("from b"));

        let answer = ask(&chain(&[&a, &b])).await.unwrap();

        assert_eq!((answer.1.as_str(), a.calls()), ("from b", 1), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn cut_before_any_content_falls_back_and_after_it_is_a_typed_error() {
    let (a, b) = (fake("a").then(Step::Cut(String::new())), fake("b").reply("from b"));
    assert_eq!(ask(&chain(&[&a, &b])).await.unwrap().0, "b");

    let (a, b) = (fake("a").then(Step::Cut("half an".into())), fake("b"));
    let error = ask(&chain(&[&a, &b])).await.unwrap_err();

    assert!(matches!(&error, Error::Interrupted { provider, .. } if provider == "a"), "{error:?}");
    assert_eq!(error.kind(), Some(&ErrorKind::Truncated));
    assert_eq!(b.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn refused_content_and_wrong_requests_are_not_tried_elsewhere() {
    for kind in [ErrorKind::ContentPolicy, ErrorKind::BadRequest] {
        let (a, b) = (fake("a").fail(kind.clone()), fake("b"));

        let error = ask(&chain(&[&a, &b])).await.unwrap_err();

        assert_eq!((error.kind(), b.calls()), (Some(&kind), 0));
        assert!(!error.is_retryable());
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_when_there_is_nobody_else() {
    let wait = ErrorKind::RateLimited { retry_after: Some(20 * SECOND) };
    let a = fake("a").fail(wait).reply("at last");
    let router = chain(&[&a]);
    let began = Instant::now();

    let answer = ask(&router).await.unwrap();

    assert_eq!(answer.1, "at last");
    assert!(began.elapsed() >= 20 * SECOND && began.elapsed() < 21 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn retry_after_beyond_the_deadline_is_not_waited_for() {
    let a = fake("a").fail(ErrorKind::RateLimited { retry_after: Some(20 * SECOND) });
    let began = Instant::now();

    let error = chain(&[&a]).chat(hi().deadline(10 * SECOND)).await.unwrap_err();

    assert!(matches!(error, Error::Failed { .. }));
    assert!(began.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn resting_provider_is_tried_after_the_others() {
    let a = fake("a").fail(ErrorKind::RateLimited { retry_after: Some(60 * SECOND) }).reply("from a");
    let b = fake("b");
    let router = chain(&[&a, &b]);
    ask(&router).await.unwrap();

    let second = ask(&router).await.unwrap();
    assert_eq!((second.0.as_str(), a.calls()), ("b", 1));

    tokio::time::advance(61 * SECOND).await;
    assert_eq!(ask(&router).await.unwrap().1, "from a");
}

#[tokio::test(start_paused = true)]
async fn silent_provider_is_left_after_the_first_content_timeout() {
    let (a, b) = (fake("a").then(Step::Hang), fake("b").reply("from b"));
    let began = Instant::now();

    let answer = ask(&chain(&[&a, &b])).await.unwrap();

    assert_eq!(answer.1, "from b");
    assert_eq!(began.elapsed().as_secs(), 60);
    assert_eq!(a.open_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn deadline_bounds_everything_together() {
    let (a, b) = (fake("a").then(Step::Hang), fake("b").then(Step::Hang));
    let began = Instant::now();

    let error = chain(&[&a, &b]).chat(hi().deadline(70 * SECOND)).await.unwrap_err();

    assert!(matches!(&error, Error::DeadlineExceeded { attempts, .. } if attempts.len() == 2), "{error:?}");
    assert_eq!(began.elapsed().as_secs(), 70);
}

#[tokio::test(start_paused = true)]
async fn stalled_answer_ends_with_an_error_after_the_idle_timeout() {
    let a = fake("a").then(Step::Stall("one two ".into()));
    let mut stream = chain(&[&a]).chat(hi()).await.unwrap();
    let began = Instant::now();

    let mut events = vec![];
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(event) => events.push(event),
            Err(error) => break error,
        }
    };

    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!((error.kind(), began.elapsed().as_secs()), (Some(&ErrorKind::Timeout), 60));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn events_come_in_the_promised_order() {
    let a = fake("a").reply("hello world");

    let mut stream = chain(&[&a]).chat(hi()).await.unwrap();

    let mut events = vec![];
    while let Some(event) = stream.next().await {
        events.push(event.unwrap());
    }
    assert_eq!(events[0], Event::Start { provider: "a".into(), model: "m".into() });
    assert_eq!(events[1..3], ["hello ", "world"].map(|word| Event::Text(word.into())));
    assert!(matches!(events[3], Event::Usage(_)), "{events:?}");
    assert_eq!(events[4], Event::End(FinishReason::Stop));
}
