//! A second call beside a slow first one, in paused time.

use std::time::Duration;

use aic_router::testing::{FakeProvider, Step};
use aic_router::{ChatRequest, ErrorKind, Hedge, Router, Tool};
use serde_json::json;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn router(first: &FakeProvider, second: &FakeProvider) -> Router {
    let builder =
        Router::builder().provider(first.clone()).provider(second.clone()).chain(["first", "second"]);
    builder.hedge(Hedge::new().ratio(1.0).observations_min(5)).build().unwrap()
}

/// A provider that has answered ten times within a second, and then does `step`.
fn quick_until(name: &str, step: Step) -> FakeProvider {
    let provider = FakeProvider::new(name).model("m").delay(SECOND);
    (0..10).fold(provider, |provider, _| provider.reply("ok")).then(step)
}

fn hi() -> ChatRequest {
    ChatRequest::user("hi")
}

async fn warm_up(router: &Router) {
    for _ in 0..10 {
        router.chat(hi()).await.unwrap().collect().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn slow_call_is_joined_by_another_and_dropped_when_that_answers() {
    let first = quick_until("first", Step::Hang);
    let second = FakeProvider::new("second").model("m").reply("from second");
    let router = router(&first, &second);
    warm_up(&router).await;
    let began = Instant::now();

    let answer = router.chat(hi()).await.unwrap().collect().await.unwrap();

    assert_eq!(answer.text(), "from second");
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
    assert_eq!(first.open_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn first_that_begins_to_answer_is_taken_even_if_it_was_slow() {
    let first = quick_until("first", Step::Hang);
    let second = FakeProvider::new("second").model("m").fail(ErrorKind::Transient);
    let router = router(&first, &second);
    warm_up(&router).await;

    let error = router.chat(hi().deadline(10 * SECOND)).await.unwrap_err();

    assert!(error.to_string().contains("second"), "the hedge's failure is told: {error}");
    assert_eq!(second.calls(), 1);
    assert_eq!((first.open_calls(), second.open_calls()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_hedged_before_enough_was_seen_or_with_tools() {
    let first = FakeProvider::new("first").model("m").delay(5 * SECOND);
    let second = FakeProvider::new("second").model("m");
    let untried = router(&first, &second);
    assert_eq!(untried.chat(hi()).await.unwrap().collect().await.unwrap().provider, "first");

    let first = quick_until("first", Step::Hang);
    let tried = router(&first, &second);
    warm_up(&tried).await;
    let with_tool = hi().tool(Tool::new("t", "", json!({"type": "object"}))).deadline(30 * SECOND);

    tried.chat(with_tool).await.unwrap_err();
    assert_eq!(second.calls(), 0);
}
