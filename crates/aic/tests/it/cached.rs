use std::time::Duration;

use aic::cache::semantic::ErrorBound;
use aic::cache::warm::Warming;
use aic::cache::{CacheControl, Tag};
use aic::router::testing::FakeProvider;
use aic::router::{ErrorKind, Media, Message, ModelInfo, Price};
use aic::{Aic, ChatRequest, Config, Error, Event, NanoUsd, Origin, Question};

use crate::upstream::{CUT, WHOLE, answering, over, quiet, with};

#[tokio::test]
async fn the_same_question_is_paid_for_once() {
    let server = answering(WHOLE, 1).await;
    let ai = over(&server).await;

    let first = ai.ask("Why is the sky blue?").await.unwrap();
    let again = ai.ask("Why is the sky blue?").await.unwrap();

    assert_eq!((&*first.text(), first.origin.clone()), ("Rayleigh scattering.", Origin::Model));
    assert_eq!(again.text(), first.text());
    assert_eq!(again.usage.map(|usage| usage.output), Some(0));
    let Origin::Cache { tier: "memory", saved, .. } = again.origin else { panic!("{:?}", again.origin) };
    // The server's prices are not known, so neither is what it cost or saved: unknown is not nothing.
    assert_eq!((first.cost, saved), (None, None));
}

#[tokio::test]
async fn what_a_known_price_costs_once_is_saved_ever_after() {
    let model = ModelInfo::chat("m").price(Price::per_million(1.0, 2.0));
    let provider = FakeProvider::new("priced").model(model).reply("Rayleigh scattering.");
    let ai = with(quiet(), []).provider(provider).build().await.unwrap();

    let first = ai.ask("Why is the sky blue?").await.unwrap();
    let again = ai.ask("Why is the sky blue?").await.unwrap();

    let cost = first.cost.unwrap();
    assert!(cost > NanoUsd(0));
    assert_eq!(again.cost, Some(NanoUsd(0)));
    let status = ai.status();
    assert_eq!((status.cost, status.saved), (cost, cost));
}

#[tokio::test]
async fn many_who_ask_the_same_at_once_share_one_call() {
    let server = answering(WHOLE, 1).await;
    let ai = over(&server).await;

    let asked = (0..20).map(|_| {
        let ai = ai.clone();
        tokio::spawn(async move { ai.ask("Why is the sky blue?").await.unwrap().text() })
    });
    for answer in asked.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), "Rayleigh scattering.");
    }
}

#[tokio::test]
async fn another_tenant_and_another_wish_are_another_question() {
    let server = answering(WHOLE, 3).await;
    let ai = over(&server).await;

    ai.ask("Why is the sky blue?").await.unwrap();
    let theirs = ai.ask(ChatRequest::user("Why is the sky blue?").tenant("globex")).await.unwrap();
    let sampled = ai.ask(ChatRequest::user("Why is the sky blue?").temperature(0.8)).await.unwrap();

    assert!(!theirs.origin.is_cache() && !sampled.origin.is_cache());
}

#[tokio::test]
async fn a_cut_answer_is_an_error_and_is_not_kept() {
    let server = answering(CUT, 2).await;
    let ai = over(&server).await;

    for _ in 0..2 {
        let mut stream = ai.chat("Why is the sky blue?").await.unwrap();
        let mut last = None;
        while let Some(event) = stream.next().await {
            last = Some(event);
        }
        assert!(matches!(last, Some(Err(_))), "{last:?}");
        assert!(stream.answer().is_err());
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_lets_the_next_one_ask() {
    let server = answering(WHOLE, 2).await;
    let ai = over(&server).await;

    let mut stream = ai.chat("Why is the sky blue?").await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(Event::Start { .. }))));
    drop(stream);

    assert_eq!(ai.ask("Why is the sky blue?").await.unwrap().origin, Origin::Model);
}

/// A provider of one model, and an `Aic` that asks it.
async fn asking(provider: FakeProvider, config: Config) -> (FakeProvider, Aic) {
    let provider = provider.model(ModelInfo::chat("m"));
    let ai = with(config, []).provider(provider.clone()).build().await.expect("a configuration that works");
    (provider, ai)
}

/// Answers that are past their life at once, and are still given for a day in this way or that.
fn past_at_once(stale_while_revalidate: Duration, stale_if_error: Duration) -> Config {
    let mut config = quiet();
    config.cache.ttl = Duration::ZERO;
    (config.cache.stale_while_revalidate, config.cache.stale_if_error) =
        (stale_while_revalidate, stale_if_error);
    config
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn request_that_was_refused_for_what_it_is_is_not_sent_again() {
    let (provider, ai) = asking(FakeProvider::new("fake").fail(ErrorKind::BadRequest), quiet()).await;

    let first = ai.ask("?").await.unwrap_err();
    let second = ai.ask("?").await.unwrap_err();

    assert!(matches!(first, Error::Router(_)), "{first:?}");
    let Error::Refused { refusal, .. } = &second else { panic!("{second:?}") };
    assert_eq!((refusal.code.as_str(), provider.calls()), ("bad_request", 1));
}

#[tokio::test]
async fn fault_that_may_pass_is_not_remembered() {
    let script = FakeProvider::new("fake").fail(ErrorKind::Auth).reply("yes");
    let (_, ai) = asking(script, quiet()).await;

    assert!(ai.ask("?").await.is_err());
    assert_eq!(ai.ask("?").await.unwrap().text(), "yes");
}

#[tokio::test]
async fn provider_model_tenant_and_document_can_be_cleared() {
    let (provider, ai) = asking(FakeProvider::new("fake").reply("yes"), quiet()).await;
    let tags = [
        Tag::new("provider", "fake"),
        Tag::new("model", "m"),
        Tag::tenant(&aic::cache::Tenant::new("acme")),
        Tag::new("document", "a"),
    ];
    let question = || Question::from(ChatRequest::user("?").tenant("acme")).tag(Tag::new("document", "a"));

    for (cleared, tag) in tags.into_iter().enumerate() {
        ai.ask(question()).await.unwrap();
        assert!(ai.ask(question()).await.unwrap().origin.is_cache());
        assert_eq!(provider.calls(), cleared + 1);

        ai.clear(&[tag]).await.unwrap();
        ai.clear(&[Tag::new("provider", "other")]).await.unwrap();
    }

    assert!(!ai.ask(question()).await.unwrap().origin.is_cache());
}

#[tokio::test]
async fn question_may_ask_for_a_new_answer_or_that_none_is_kept() {
    let (provider, ai) = asking(FakeProvider::new("fake").reply("one").reply("two"), quiet()).await;

    let secret = Question::from("?").cache(CacheControl::new().no_store());
    assert_eq!(ai.ask(secret).await.unwrap().text(), "one");
    assert_eq!(ai.ask("?").await.unwrap().text(), "two");
    let anew = Question::from("?").cache(CacheControl::new().no_cache());
    assert!(!ai.ask(anew).await.unwrap().origin.is_cache());
    assert_eq!(provider.calls(), 3);
}

#[tokio::test]
async fn caller_that_leaves_does_not_end_the_answer_for_another() {
    let (provider, ai) = asking(FakeProvider::new("fake").reply("a b c d"), quiet()).await;
    let mut first = ai.chat("?").await.unwrap();
    assert!(matches!(first.next().await, Some(Ok(Event::Start { .. }))));
    let second = ai.chat("?").await.unwrap();

    drop(first);

    assert!(matches!(second.origin(), Origin::Cache { tier: "coalesced", .. }));
    let answer = second.collect().await.unwrap();
    assert_eq!((answer.text().as_str(), provider.calls()), ("a b c d", 1));
    assert_eq!(answer.usage.map(|usage| usage.output), Some(0));
    assert!(ai.ask("?").await.unwrap().origin.is_cache());
}

#[tokio::test]
async fn caller_that_does_not_read_holds_up_nobody() {
    let (_, ai) = asking(FakeProvider::new("fake").reply("a b c d"), quiet()).await;
    let idle = ai.chat("?").await.unwrap();

    assert_eq!(ai.ask("?").await.unwrap().text(), "a b c d");
    assert_eq!(idle.collect().await.unwrap().text(), "a b c d");
}

#[tokio::test]
async fn answer_past_its_life_is_given_where_the_provider_cannot_answer() {
    let script = FakeProvider::new("fake").reply("old").fail(ErrorKind::Auth);
    let (provider, ai) = asking(script, past_at_once(Duration::ZERO, DAY)).await;
    ai.ask("?").await.unwrap();

    let stale = ai.ask("?").await.unwrap();

    assert!(stale.origin.is_cache());
    assert_eq!((stale.text().as_str(), provider.calls()), ("old", 2));
}

#[tokio::test]
async fn answer_past_its_life_is_given_while_it_is_made_anew_in_the_background() {
    let script = FakeProvider::new("fake").reply("old").reply("new");
    let (provider, ai) = asking(script, past_at_once(DAY, Duration::ZERO)).await;
    ai.ask("?").await.unwrap();

    assert_eq!(ai.ask("?").await.unwrap().text(), "old");

    for _ in 0..1000 {
        if ai.status().cache.unwrap().stores == 2 {
            assert_eq!(provider.calls(), 2);
            assert_eq!(ai.ask("?").await.unwrap().text(), "new");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never made anew");
}

#[tokio::test]
async fn picture_at_an_address_is_looked_at_each_time() {
    let (provider, ai) = asking(FakeProvider::new("fake").reply("a cat"), quiet()).await;
    let at = Message::user("What is this?").image(Media::url("https://example.com/cat.png"));

    for _ in 0..2 {
        ai.ask(ChatRequest::new(vec![at.clone()])).await.unwrap();
    }

    assert_eq!(provider.calls(), 2);
}

#[tokio::test]
async fn sampled_answers_are_kept_where_the_configuration_says_so() {
    let mut config = quiet();
    config.cache.sampled = true;
    let (provider, ai) = asking(FakeProvider::new("fake").reply("a poem"), config).await;

    for _ in 0..2 {
        ai.ask(ChatRequest::user("A poem!").temperature(0.9)).await.unwrap();
    }

    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn answer_in_the_folder_outlives_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = quiet();
    config.cache.folder = Some(folder.path().join("answers"));
    let (_, first) = asking(FakeProvider::new("fake").reply("kept"), config.clone()).await;
    first.ask("?").await.unwrap();
    first.shutdown().await;

    let (provider, second) = asking(FakeProvider::new("fake").reply("anew"), config).await;

    let found = second.findings().iter().find(|finding| finding.subject == "Cache folder").unwrap();
    let answer = second.ask("?").await.unwrap();
    assert_eq!(
        (answer.text().as_str(), provider.calls()),
        ("kept", 0),
        "{found:?} {:?}",
        second.status().cache.unwrap().misses
    );
    assert!(matches!(answer.origin, Origin::Cache { tier: "disk", .. }), "{:?}", answer.origin);
}

#[tokio::test]
async fn folder_in_use_by_another_is_told_and_answers_are_kept_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = quiet();
    config.cache.folder = Some(folder.path().to_owned());
    let (_, _first) = asking(FakeProvider::new("fake").reply("one"), config.clone()).await;

    let (provider, second) = asking(FakeProvider::new("fake").reply("two"), config).await;

    let told = second.findings().iter().find(|finding| finding.subject == "Cache folder").unwrap();
    assert!(told.note.contains("another process") || told.note.contains("open"), "{}", told.note);
    second.ask("?").await.unwrap();
    assert!(second.ask("?").await.unwrap().origin.is_cache());
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn cache_explains_itself() {
    let (_, ai) = asking(FakeProvider::new("fake").reply("yes"), quiet()).await;
    let question = |text: &str| ChatRequest::user(text).system("be brief");
    ai.ask(question("Is it so?")).await.unwrap();

    let same = ai.explain_cache(question("Is it so?")).await.to_string();
    let other = ai.explain_cache(question("Is it not?")).await.to_string();
    let sampled = ai.explain_cache(question("Is it so?").temperature(1.0)).await.to_string();

    assert!(same.starts_with("hit: in memory"), "{same}");
    assert!(other.starts_with("miss: ") && other.contains("messages[1].parts[0].text"), "{other}");
    assert!(sampled.contains("temperature"), "{sampled}");
}

#[tokio::test]
async fn warmed_questions_are_answered_from_the_cache() {
    let (provider, ai) = asking(FakeProvider::new("fake").reply("yes"), quiet()).await;
    ai.ask("one").await.unwrap();

    let warmed = ai.warm(["one", "two", "three"], Warming::new()).await;

    assert_eq!((warmed.progress.known, warmed.progress.computed, warmed.progress.failed), (1, 2, 0));
    assert!(ai.ask("three").await.unwrap().origin.is_cache());
    assert_eq!(provider.calls(), 3);
}

#[tokio::test]
async fn similar_questions_share_an_answer_once_that_has_proved_right() {
    let mut config = quiet();
    config.cache.similar_error = Some(ErrorBound::new(0.2).unwrap());
    let (provider, ai) = asking(FakeProvider::new("fake").reply("Paris"), config).await;

    for i in 0..100 {
        let question =
            format!("{}What is the capital of France{}", " ".repeat(i / 10), "?".repeat(i % 10 + 1));
        ai.ask(question).await.unwrap();
        let other = ai.ask(format!("What is the capital of country number {i}?")).await.unwrap();
        assert!(!other.origin.is_cache(), "{i}");
    }

    let cache = ai.status().cache.unwrap();
    assert!(cache.similarity.as_ref().unwrap().conflicts > 0, "{cache}");
    assert!(cache.similar > 0, "{cache}");
    assert!((100..200).contains(&provider.calls()), "{cache}");
}

#[tokio::test]
async fn answers_are_shared_through_redis() {
    let Some(url) = redis() else { return };
    let server = answering(WHOLE, 1).await;
    let question = format!("Why is the sky blue? ({})", std::process::id());
    let ask = async || {
        let mut config = quiet();
        config.cache.redis_url = Some(url.clone());
        config.providers.openai.base_url = Some(format!("{}/v1", server.uri()));
        config.providers.openai.model = Some("gpt-4o-mini".to_owned());
        let ai = with(config, [("OPENAI_API_KEY", "sk-canary")]).build().await.unwrap();
        ai.ask(question.as_str()).await.unwrap().origin
    };

    assert_eq!(ask().await, Origin::Model);
    assert!(matches!(ask().await, Origin::Cache { tier: "redis", .. }));
}

fn redis() -> Option<String> {
    let url = std::env::var("AIC_TEST_REDIS_URL").ok();
    if url.is_none() {
        assert!(std::env::var_os("AIC_TEST_REQUIRE").is_none(), "AIC_TEST_REDIS_URL is not set");
        println!("skipped: AIC_TEST_REDIS_URL is not set; run `cargo xtask test`");
    }
    url
}
