//! Which model a request goes to.

use aic_router::testing::FakeProvider;
use aic_router::{
    ChatRequest, EmbedRequest, Error, ErrorKind, ModelClass, ModelInfo, NanoUsd, Price, Priority,
    ProviderKind, Refusal, Router, Task,
};

/// A small free model, a dear good one, and one whose price is unknown.
fn router() -> Router {
    let small = ModelInfo::chat("small").class(ModelClass::Small).context_tokens(1_000);
    let large = ModelInfo::chat("large").class(ModelClass::Frontier).price(Price::per_million(5.0, 25.0));
    let unknown = ModelInfo::chat("unknown").class(ModelClass::Large);
    Router::builder()
        .provider(FakeProvider::new("cloud").model(large))
        .provider(FakeProvider::new("local").kind(ProviderKind::Local).model(small))
        .provider(FakeProvider::new("other").model(unknown))
        .build()
        .unwrap()
}

fn chosen(router: &Router, request: &ChatRequest) -> String {
    router.explain(request).chosen().unwrap().model.clone()
}

#[test]
fn priority_decides_between_the_good_and_the_cheap() {
    let router = router();

    assert_eq!(chosen(&router, &ChatRequest::user("hi").priority(Priority::Quality)), "large");
    assert_eq!(chosen(&router, &ChatRequest::user("hi").priority(Priority::Cost)), "small");
}

#[tokio::test]
async fn asked_for_model_is_taken_by_name_or_with_its_provider() {
    let router = router();
    for name in ["unknown", "other/unknown"] {
        let answer = router.chat(ChatRequest::user("hi").model(name)).await.unwrap().collect().await.unwrap();
        assert_eq!((answer.provider.as_str(), answer.model.as_str()), ("other", "unknown"));
    }
}

#[tokio::test]
async fn asked_for_model_that_nobody_has_is_an_error_naming_those_there_are() {
    let error = router().chat(ChatRequest::user("hi").model("gpt-9")).await.unwrap_err();

    assert!(matches!(error, Error::NoCandidate(_)) && !error.is_retryable());
    assert!(error.to_string().contains("`cloud/large`"), "{error}");
}

#[test]
fn model_too_small_for_the_conversation_is_refused_with_both_numbers() {
    let request = ChatRequest::user("word ".repeat(1_000)).priority(Priority::Cost);

    let explanation = router().explain(&request);

    let small = explanation.candidates.iter().find(|candidate| candidate.model == "small").unwrap();
    assert_eq!(small.why_not, Some(Refusal::TooLong { context_tokens: 1_000, needed_tokens: 1_254 }));
    assert_ne!(explanation.chosen().unwrap().model, "small");
}

#[test]
fn unknown_price_is_the_dearest_and_has_no_estimate() {
    let explanation = router().explain(&ChatRequest::user("hi").priority(Priority::Cost).max_tokens(100));

    let unknown = explanation.candidates.iter().find(|candidate| candidate.model == "unknown").unwrap();
    assert_eq!((unknown.estimate, unknown.parts.cost), (None, 0.0));
    let large = explanation.candidates.iter().find(|candidate| candidate.model == "large").unwrap();
    assert_eq!(large.estimate, Some(NanoUsd(5 * 5_000 + 100 * 25_000)));
}

#[test]
fn strict_chain_goes_before_every_score() {
    let provider = |name: &str, class| FakeProvider::new(name).model(ModelInfo::chat("m").class(class));
    let router = Router::builder()
        .provider(provider("best", ModelClass::Frontier))
        .provider(provider("worst", ModelClass::Tiny))
        .chain(["worst", "best"])
        .build()
        .unwrap();

    let explanation = router.explain(&ChatRequest::user("hi"));

    let order: Vec<&str> = explanation.candidates.iter().map(|c| c.provider.as_str()).collect();
    assert_eq!(order, ["worst", "best"]);
}

#[test]
fn explanation_prints_as_a_table_with_the_task() {
    let explanation =
        router().explain(&ChatRequest::user("Write a Python script").priority(Priority::Quality));

    let text = explanation.to_string();

    assert_eq!((explanation.task, explanation.task_guessed), (Task::Code, true));
    assert!(text.starts_with("task code (guessed), priority quality, about 10 input tokens\n"), "{text}");
    assert!(text.contains("> cloud/large"), "{text}");
}

#[test]
fn settings_that_name_nobody_are_refused() {
    let builder = || Router::builder().provider(FakeProvider::new("a").model("m"));

    for builder in
        [builder().chain(["b"]), builder().requests_per_minute("b", 1), builder().requests_per_minute("a", 0)]
    {
        assert!(matches!(builder.build(), Err(Error::Config(_))));
    }
    assert!(matches!(builder().provider(FakeProvider::new("a")).build(), Err(Error::Config(_))));
}

#[tokio::test]
async fn router_without_providers_says_what_to_set() {
    let error = Router::builder().build().unwrap().chat(ChatRequest::user("hi")).await.unwrap_err();

    assert!(matches!(error, Error::NoProvider));
    assert!(error.to_string().contains("ANTHROPIC_API_KEY"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn embeddings_are_retried_at_their_model_and_nowhere_else() {
    let first = FakeProvider::new("first")
        .model(ModelInfo::embedding("e").price(Price::per_million(1.0, 0.0)))
        .fail(ErrorKind::Transient)
        .reply("");
    let second = FakeProvider::new("second").model(ModelInfo::embedding("e2"));
    let router = Router::builder().provider(first).provider(second.clone()).build().unwrap();

    let found = router.embed(EmbedRequest::new(["two words"])).await.unwrap();

    assert_eq!((found.vectors, found.model.as_str()), (vec![vec![9.0, 2.0]], "e"));
    assert_eq!(found.cost, Some(NanoUsd(2_000)));
    assert_eq!(second.calls(), 0);
}
