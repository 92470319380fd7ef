use aic::router::testing::FakeProvider;
use aic::router::{ModelInfo, Price};
use aic::{ChatRequest, Event, NanoUsd, Origin};

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
