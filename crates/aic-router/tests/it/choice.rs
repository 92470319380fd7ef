//! Which model a request goes to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aic_router::testing::FakeProvider;
use aic_router::{
    Ability, Candidate, ChatRequest, Constraints, EmbedRequest, Error, ErrorKind, EventStream, Explanation,
    Feedback, Later, Media, Message, ModelClass, ModelInfo, NanoUsd, Price, Prices, Priority, Provider,
    ProviderError, ProviderInfo, ProviderKind, RateLimit, Refusal, Router, Scope, Task, Warmth,
};
use async_trait::async_trait;

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
    assert_eq!((unknown.estimate, unknown.why_later), (None, Some(Later::PriceUnknown)));
    let large = explanation.candidates.iter().find(|candidate| candidate.model == "large").unwrap();
    assert_eq!(large.estimate, Some(NanoUsd(5 * 5_000 + 100 * 25_000)));
}

/// What the facade may find: a tiny local model, a server in the house, and clouds.
fn house() -> Router {
    let local = |name: &str, model| FakeProvider::new(name).kind(ProviderKind::Local).model(model);
    let cloud = |name: &str, model: &str, class, input, output| {
        let model = ModelInfo::chat(model).class(class).price(Price::per_million(input, output));
        FakeProvider::new(name).model(model.can(Ability::Images).can(Ability::Tools))
    };
    let tiny = ModelInfo::chat("demo").class(ModelClass::Tiny).context_tokens(512).cannot(Ability::Images);
    Router::builder()
        .provider(local("local", tiny))
        .provider(local("ollama", ModelInfo::chat("qwen3:8b")))
        .provider(cloud("gemini", "flash-lite", ModelClass::Medium, 0.1, 0.4))
        .provider(cloud("anthropic", "opus", ModelClass::Frontier, 5.0, 25.0))
        .provider(cloud("openai", "gpt", ModelClass::Frontier, 5.0, 30.0))
        .build()
        .unwrap()
}

#[test]
fn first_choice_follows_priority_constraints_and_needs() {
    let seconds = Duration::from_secs;
    let none = Constraints::default;
    let picture =
        || ChatRequest::new(vec![Message::user("What is this?").image(Media::url("https://x/y.png"))]);
    let ask = |priority| ChatRequest::user("Tell me of the sea.").priority(priority).max_tokens(100);
    let bound = |constraints| ask(Priority::Cost).constraints(constraints);
    for (case, request, expected) in [
        ("the best, and of two the cheaper", ask(Priority::Quality), "anthropic/opus"),
        ("the free one that is good enough", ask(Priority::Cost), "ollama/qwen3:8b"),
        ("the cheapest of the quick ones that are good enough", ask(Priority::Speed), "gemini/flash-lite"),
        ("good enough for arithmetic only", ask(Priority::Cost).task(Task::Tools), "ollama/qwen3:8b"),
        ("too long for most", ask(Priority::Cost).max_tokens(10_000), "ollama/qwen3:8b"),
        ("a demanded quality", bound(Constraints { quality_min: Some(0.9), ..none() }), "anthropic/opus"),
        (
            "a demanded speed",
            bound(Constraints { latency_p95_max: Some(seconds(5)), ..none() }),
            "gemini/flash-lite",
        ),
        (
            "a bounded price, the best within it",
            ask(Priority::Quality).constraints(Constraints { cost_max: Some(NanoUsd(1_000_000)), ..none() }),
            "ollama/qwen3:8b",
        ),
        ("known to see rather than free", picture().priority(Priority::Cost), "gemini/flash-lite"),
        ("known to see and the best", picture().priority(Priority::Quality), "anthropic/opus"),
        ("asked for", ask(Priority::Quality).model("demo"), "local/demo"),
    ] {
        let explanation = house().explain(&request);
        let chosen = explanation.chosen().map(|chosen| format!("{}/{}", chosen.provider, chosen.model));
        assert_eq!(chosen.as_deref(), Some(expected), "{case}\n{explanation}");
    }
}

fn candidate<'a>(explanation: &'a Explanation, provider: &str) -> &'a Candidate {
    explanation.candidates.iter().find(|candidate| candidate.provider == provider).unwrap()
}

#[test]
fn broken_constraints_and_lacking_abilities_are_told_with_their_numbers() {
    let constraints = Constraints {
        quality_min: Some(0.72),
        latency_p95_max: Some(Duration::from_secs(600)),
        cost_max: Some(NanoUsd(1_000_000)),
    };
    let picture = Message::user("What is this?").image(Media::url("https://x/y.png"));
    let request = ChatRequest::new(vec![picture]).task(Task::General).constraints(constraints);

    let explanation = house().explain(&request);

    let refusal = |provider| candidate(&explanation, provider).why_not.unwrap().to_string();
    assert_eq!(refusal("local"), "cannot see images");
    assert_eq!(refusal("gemini"), "has quality 0.71, and 0.72 is demanded");
    assert_eq!(refusal("anthropic"), "costs about $0.01144, and $0.001 is allowed");
    assert!(explanation.chosen().is_none());
    let text = explanation.to_string();
    let line = "\ndemanded: quality 0.72 or more, p95 10 min or less, cost $0.001 or less\n";
    assert!(text.contains(line) && !text.contains("wanted: "), "{text}");
}

#[tokio::test]
async fn request_that_no_model_may_take_is_not_sent() {
    let request = ChatRequest::user("hi").constraints(Constraints {
        latency_p95_max: Some(Duration::from_millis(1)),
        ..Constraints::default()
    });

    let error = house().chat(request).await.unwrap_err();

    assert!(matches!(error, Error::NoCandidate(_)) && !error.is_retryable());
    assert!(error.to_string().contains("(p95), and 1 ms are allowed"), "{error}");
}

#[test]
fn goals_are_wishes_so_a_lone_weak_model_still_answers() {
    let tiny = ModelInfo::chat("demo").class(ModelClass::Tiny);
    let local = FakeProvider::new("local").kind(ProviderKind::Local).model(tiny);
    let router = Router::builder().provider(local).build().unwrap();

    for priority in [Priority::Quality, Priority::Speed, Priority::Cost] {
        assert_eq!(chosen(&router, &ChatRequest::user("hi").priority(priority)), "demo");
    }
}

#[test]
fn feedback_changes_the_choice_for_its_task_and_is_bounded() {
    let router = house();
    let ask = |task| ChatRequest::user("hi").priority(Priority::Cost).task(task);
    assert_eq!(chosen(&router, &ask(Task::Code)), "qwen3:8b");

    for _ in 0..20 {
        router.feedback(&Feedback::new("ollama", "qwen3:8b", Task::Code, 0.0)).unwrap();
    }

    assert_eq!(chosen(&router, &ask(Task::Code)), "flash-lite");
    assert_eq!(chosen(&router, &ask(Task::Summary)), "qwen3:8b");
    let explanation = router.explain(&ask(Task::Code));
    assert!(explanation.to_string().contains(" ±0."), "{explanation}");
    let quality = candidate(&explanation, "ollama").quality;
    assert!(quality.low < quality.mean && quality.mean < quality.high && quality.feedback > 15.0);
    for wrong in [
        Feedback::new("ollama", "qwen3:8b", Task::Code, 1.1),
        Feedback::new("ollama", "qwen3:8b", Task::Code, f64::NAN),
        Feedback::new("ollama", "nobody", Task::Code, 1.0),
    ] {
        assert!(matches!(router.feedback(&wrong), Err(Error::Config(_))), "{wrong:?}");
    }
}

/// Two clouds alike but for the price; cached tokens cost a tenth.
fn twins() -> [FakeProvider; 2] {
    [("dear", 2.0), ("cheap", 1.5)].map(|(name, dollars)| {
        let price = Price::per_million(dollars, 1.0);
        let price = Price { cached_input: Some(NanoUsd(price.input.0 / 10)), ..price };
        FakeProvider::new(name).model(ModelInfo::chat("m-8b").price(price))
    })
}

#[tokio::test(start_paused = true)]
async fn warm_prefix_wins_where_it_is_worth_more_than_the_difference_in_price() {
    let [dear, cheap] = twins();
    let router = Router::builder().provider(dear).provider(cheap).build().unwrap();
    let conversation = ChatRequest::user("word ".repeat(4_000)).max_tokens(100);
    let provider = |request: &ChatRequest| router.explain(request).chosen().unwrap().provider.clone();
    assert_eq!(provider(&conversation), "cheap");

    router.chat(conversation.clone().model("dear/m-8b")).await.unwrap().collect().await.unwrap();

    let next = conversation.message(Message::assistant("ok")).message(Message::user("And then?"));
    assert_eq!(provider(&next), "dear");
    let explanation = router.explain(&next);
    assert!(candidate(&explanation, "dear").cached_tokens > 2_000, "{explanation}");
    assert!(explanation.to_string().contains("cost  cached"), "{explanation}");
    assert_eq!(candidate(&explanation, "cheap").cached_tokens, 0);
    assert_eq!(provider(&ChatRequest::user("word")), "cheap", "no beginning in common");

    tokio::time::advance(Duration::from_secs(301)).await;
    assert_eq!(provider(&next), "cheap", "the provider has forgotten it too");
}

/// A provider that says how warm its model is and notes which requests were marked for the prompt cache.
#[derive(Clone, Debug)]
struct Watched {
    fake: FakeProvider,
    warmth: Arc<Mutex<Warmth>>,
    marks: Arc<Mutex<Vec<Option<bool>>>>,
}

impl Watched {
    fn new(fake: FakeProvider) -> Self {
        Self { fake, warmth: Arc::default(), marks: Arc::default() }
    }
}

#[async_trait]
impl Provider for Watched {
    fn info(&self) -> &ProviderInfo {
        self.fake.info()
    }

    async fn chat(&self, model: &str, request: &ChatRequest) -> Result<EventStream, ProviderError> {
        self.marks.lock().unwrap().push(request.prompt_cache);
        self.fake.chat(model, request).await
    }

    fn warmth(&self, _: &str) -> Warmth {
        *self.warmth.lock().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn beginning_that_comes_back_is_marked_for_the_prompt_cache_unless_the_request_says_otherwise() {
    let cloud = Watched::new(FakeProvider::new("cloud").model("m"));
    let router = Router::builder().provider(cloud.clone()).build().unwrap();
    let long = ChatRequest::user("word ".repeat(2_000));
    let short = ChatRequest::user("word");

    for request in [&long, &long, &long.clone().prompt_cache(false), &short, &short] {
        router.chat(request.clone()).await.unwrap().collect().await.unwrap();
    }

    assert_eq!(*cloud.marks.lock().unwrap(), [None, Some(true), Some(false), None, None]);
}

#[tokio::test(start_paused = true)]
async fn cold_model_is_slower_by_its_loading_and_warm_again_as_quick_as_before() {
    let local = Watched::new(FakeProvider::new("local").kind(ProviderKind::Local).model("m"));
    let router = Router::builder().provider(local.clone()).build().unwrap();
    let look = || router.explain(&ChatRequest::user("hi")).candidates.remove(0);
    let warm = look();

    *local.warmth.lock().unwrap() = Warmth::Cold;
    let cold = look();
    router.chat(ChatRequest::user("hi")).await.unwrap().collect().await.unwrap();
    *local.warmth.lock().unwrap() = Warmth::Warm;

    assert!(cold.cold && !warm.cold);
    assert_eq!(cold.latency.p50, warm.latency.p50 + Duration::from_secs(10));
    assert!(!look().latency.measured, "a cold call says nothing of warm ones");
}

#[tokio::test(start_paused = true)]
async fn provider_that_asked_for_a_pause_comes_last_and_sets_no_bar() {
    let best = FakeProvider::new("best").model(ModelInfo::chat("m").class(ModelClass::Frontier));
    let best = best.fail(ErrorKind::RateLimited { retry_after: Some(Duration::from_secs(60)) });
    let small = FakeProvider::new("small").model(ModelInfo::chat("m").class(ModelClass::Small));
    let router = Router::builder().provider(best).provider(small).build().unwrap();

    router.chat(ChatRequest::user("hi")).await.unwrap().collect().await.unwrap();

    let explanation = router.explain(&ChatRequest::user("hi"));
    assert_eq!(explanation.chosen().unwrap().provider, "small");
    assert!(explanation.goal.quality_min < Some(0.6), "{explanation}");
    let remaining = Duration::from_secs(60);
    assert_eq!(candidate(&explanation, "best").why_later, Some(Later::Rests { remaining }));
}

#[test]
fn own_price_table_counts_before_what_the_provider_says() {
    let own = r#"{"as_of": "2026-09-01", "source": "our contract", "providers": {
        "cloud": [{"name": "large", "input": "1", "output": "2"}, {"name": "elsewhere"}]}}"#;
    let large = ModelInfo::chat("large").context_tokens(9_000).price(Price::per_million(5.0, 25.0));
    let router = Router::builder()
        .provider(FakeProvider::new("cloud").model(large))
        .prices(Prices::from_json(own).unwrap())
        .build()
        .unwrap();

    let explanation = router.explain(&ChatRequest::user("hi").max_tokens(100));

    assert_eq!(explanation.candidates.len(), 1);
    assert_eq!(explanation.candidates[0].estimate, Some(NanoUsd(5 * 1_000 + 100 * 2_000)));
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
fn explanation_says_why_each_model_comes_later() {
    let request = ChatRequest::user("Write a Python script").priority(Priority::Quality).max_tokens(500);

    let text = house().explain(&request).to_string();

    let expected = "\
task code (guessed), priority quality, about 10 input tokens
wanted: quality 0.91 or more, at the least cost
  model              quality      p95        cost
> anthropic/opus     0.93~       17 s~    $0.0125
  openai/gpt         0.93~       17 s~     $0.015  dearer than the first
  ollama/qwen3:8b    0.70~       52 s~         $0  quality 0.70 < 0.91 wanted
  gemini/flash-lite  0.70~       17 s~  $0.000201  quality 0.70 < 0.91 wanted
  local/demo         0.28~       52 s~         $0  quality 0.28 < 0.91 wanted
";
    assert_eq!(text, expected);
}

#[test]
fn settings_that_name_nobody_are_refused() {
    let builder = || Router::builder().provider(FakeProvider::new("a").model("m"));

    for builder in [
        builder().chain(["b"]),
        builder().rate_limit(Scope::Provider("b".into()), RateLimit::new().requests_per_minute(1)),
        builder().rate_limit(Scope::All, RateLimit::new().requests_per_minute(0)),
    ] {
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
