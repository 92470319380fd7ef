//! Answers that break off and are gone on with, in paused time.

use aic_router::testing::{FakeProvider, Step};
use aic_router::{
    Ability, ChatRequest, Error, ErrorKind, Event, Message, ModelInfo, NanoUsd, Price, Router, Tool, Usage,
};
use serde_json::json;

fn model() -> ModelInfo {
    ModelInfo::chat("m").price(Price::per_million(1.0, 10.0))
}

fn router(first: &FakeProvider, second: &FakeProvider) -> Router {
    let builder = Router::builder().provider(first.clone()).provider(second.clone());
    builder.chain(["first", "second"]).build().unwrap()
}

fn cut(model: ModelInfo) -> FakeProvider {
    FakeProvider::new("first").model(model).then(Step::Cut("one two ".into())).fail(ErrorKind::Unreachable)
}

fn able() -> FakeProvider {
    FakeProvider::new("second").model(model().can(Ability::Prefill)).reply("three four")
}

fn count() -> ChatRequest {
    ChatRequest::user("Count to four.")
}

#[tokio::test(start_paused = true)]
async fn broken_answer_is_gone_on_with_at_a_model_that_can() {
    let (first, second) = (cut(model()), able());

    let answer = router(&first, &second).chat(count()).await.unwrap().collect().await.unwrap();

    assert_eq!((answer.text(), answer.provider.as_str()), ("one two three four".into(), "second"));
    let asked = second.last_request().unwrap();
    assert_eq!(asked.messages.last(), Some(&Message::assistant("one two")));
}

#[tokio::test(start_paused = true)]
async fn usage_and_cost_are_those_of_both_calls() {
    let (first, second) = (cut(model()), able());

    let answer = router(&first, &second).chat(count()).await.unwrap().collect().await.unwrap();

    let estimated = Usage { input: 8, output: 2, ..Usage::default() };
    let stated = Usage { input: 8 + 6, output: 2, ..Usage::default() };
    assert_eq!(answer.usage, Some(estimated + stated));
    assert_eq!(answer.cost, Some(NanoUsd(8 * 1_000 + 2 * 10_000 + 14 * 1_000 + 2 * 10_000)));
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_is_told() {
    let (first, second) = (cut(model()), able());
    let mut stream = router(&first, &second).chat(count()).await.unwrap();
    let mut served = Vec::new();

    while let Some(event) = stream.next().await {
        if let Event::Start { provider, .. } = event.unwrap() {
            served.push(provider);
        }
    }

    assert_eq!(served, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn model_not_known_to_be_able_is_not_asked() {
    let second = FakeProvider::new("second").model("m");
    let first = cut(model());

    let error = router(&first, &second).chat(count()).await.unwrap().collect().await.unwrap_err();

    assert!(matches!(error, Error::Interrupted { .. }), "{error:?}");
    assert_eq!((error.kind(), second.calls()), (Some(&ErrorKind::Truncated), 0));
}

#[tokio::test(start_paused = true)]
async fn answer_that_may_call_tools_is_not_gone_on_with() {
    let (first, second) = (cut(model()), able());
    let request = count().tool(Tool::new("t", "", json!({"type": "object"})));

    let error = router(&first, &second).chat(request).await.unwrap().collect().await.unwrap_err();

    assert!(matches!(error, Error::Interrupted { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn refused_beginning_ends_in_the_break_and_not_in_a_short_answer() {
    let first = cut(model());
    let second = FakeProvider::new("second").model(model().can(Ability::Prefill)).fail(ErrorKind::BadRequest);

    let error = router(&first, &second).chat(count()).await.unwrap().collect().await.unwrap_err();

    assert_eq!(error.kind(), Some(&ErrorKind::Truncated));
    assert_eq!(second.calls(), 1);
}
