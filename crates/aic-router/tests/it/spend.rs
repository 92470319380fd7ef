//! Budgets in money, with calls on their way at the same time.

use std::time::Duration;

use aic_router::testing::{FakeProvider, Step};
use aic_router::{
    Ability, ChatRequest, Error, ErrorKind, Hedge, ModelInfo, NanoUsd, Price, ProviderKind, Refusal, Router,
    Scope, SpendLimit, Task,
};
use futures_util::future::join_all;
use proptest::prelude::*;

/// A dollar for a thousand tokens, read or written.
fn dear() -> ModelInfo {
    ModelInfo::chat("m").price(Price::per_million(1000.0, 1000.0))
}

fn dollars(dollars: u64) -> NanoUsd {
    NanoUsd(dollars * 1_000_000_000)
}

fn hi() -> ChatRequest {
    ChatRequest::user("hi").max_tokens(10)
}

#[tokio::test]
async fn request_that_may_not_fit_goes_to_a_cheaper_model_and_is_explained() {
    let cloud = FakeProvider::new("cloud").model(dear());
    let local = FakeProvider::new("local").kind(ProviderKind::Local).model("small");
    let builder = Router::builder().provider(cloud.clone()).provider(local).chain(["cloud", "local"]);
    let router = builder.spend_limit(Scope::All, SpendLimit::new(NanoUsd(30_000_000))).build().unwrap();

    let answer = router.chat(hi()).await.unwrap().collect().await.unwrap();

    assert_eq!((answer.provider.as_str(), cloud.calls()), ("local", 0));
    let explanation = router.explain(&hi());
    let refused = explanation.candidates.iter().find(|candidate| candidate.provider == "cloud").unwrap();
    let left = NanoUsd(30_000_000);
    assert!(
        matches!(refused.why_not, Some(Refusal::OverBudget { left: l, .. }) if l == left),
        "{explanation}"
    );
}

#[tokio::test]
async fn lone_model_over_budget_is_an_error_that_names_the_amounts() {
    let router = Router::builder().provider(FakeProvider::new("cloud").model(dear()));
    let router =
        router.spend_limit(Scope::Tenant("t".into()), SpendLimit::new(NanoUsd(1_000_000))).build().unwrap();

    let error = router.chat(hi().tenant("t")).await.unwrap_err();
    assert!(error.to_string().contains("$0.001 are left to spend"), "{error}");

    router.chat(hi().tenant("other")).await.unwrap().collect().await.unwrap();
}

#[tokio::test]
async fn unknown_price_or_length_is_not_called_under_a_limit() {
    let unpriced = FakeProvider::new("p").model("m");
    let unbounded = FakeProvider::new("p").model(dear());
    for (provider, request) in [(unpriced, hi()), (unbounded, ChatRequest::user("hi"))] {
        let router = Router::builder().provider(provider.clone());
        let router = router.spend_limit(Scope::All, SpendLimit::new(dollars(100))).build().unwrap();

        let error = router.chat(request).await.unwrap_err();

        assert!(matches!(error, Error::NoCandidate(_)), "{error:?}");
        assert_eq!(provider.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_set_aside_for_a_failed_call_is_free_again() {
    let provider = FakeProvider::new("p").model(dear()).fail(ErrorKind::Transient).reply("one two");
    let worst = SpendLimit::new(NanoUsd(60_000_000));
    let router = Router::builder().provider(provider).spend_limit(Scope::All, worst).build().unwrap();

    let answer = router.chat(hi()).await.unwrap().collect().await.unwrap();

    assert_eq!(answer.cost, Some(NanoUsd(7_000_000)));
}

/// What a caller does with one answer, and what its provider does.
fn mixture() -> impl Strategy<Value = Vec<(u8, u8)>> {
    proptest::collection::vec((0u8..3, 0u8..6), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Retries, fallbacks, hedges, resumed and dropped answers, all at once: what the providers served never
    /// costs more than the budget.
    #[test]
    fn spend_never_passes_its_budget(mixture in mixture(), cents in 5u64..400) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let script = |provider: FakeProvider, seed: usize| mixture.iter().fold(provider, |provider, (_, step)| {
                provider.then(match (*step as usize + seed) % 6 {
                    0 => Step::Fail(ErrorKind::Transient),
                    1 => Step::FailAfter("a few words ".into(), ErrorKind::Overloaded { retry_after: None }),
                    2 => Step::Cut("cut off here ".into()),
                    3 => Step::Stall("and then ".into()),
                    _ => Step::Reply("an answer of nine words that all cost money".into()),
                })
            });
            let model = || dear().can(Ability::Prefill);
            let first = script(FakeProvider::new("first").model(model()).delay(Duration::from_millis(80)), 0);
            let second = script(FakeProvider::new("second").model(model()), 3);
            let amount = NanoUsd(cents * 10_000_000);
            let router = Router::builder()
                .provider(first.clone())
                .provider(second.clone())
                .chain(["first", "second"])
                .hedge(Hedge::new().ratio(1.0).observations_min(1))
                .spend_limit(Scope::All, SpendLimit::new(amount))
                .build()
                .unwrap();

            let calls = mixture.iter().map(|(caller, _)| {
                let router = router.clone();
                async move {
                    let Ok(mut stream) = router.chat(hi()).await else { return };
                    match caller {
                        0 => drop(stream.collect().await),
                        1 => _ = stream.next().await,
                        _ => for _ in 0..4 { _ = stream.next().await },
                    }
                }
            });
            join_all(calls).await;

            // A call reads five tokens per message, and a word is a token.
            let served = first.billed_tokens() + second.billed_tokens();
            assert!(NanoUsd(served * 1_000_000) <= amount, "{served} tokens for {amount}");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn accounts_tell_tenants_tasks_and_broken_calls_apart() {
    let whole = FakeProvider::new("whole").model(dear()).reply("one two");
    let cut = FakeProvider::new("cut").model(dear()).then(Step::Cut("some words ".into()));
    let router = Router::builder().provider(whole).provider(cut).build().unwrap();
    let ask = |model: &str, tenant: &str| router.chat(hi().model(model).tenant(tenant).task(Task::Code));

    ask("whole/m", "a").await.unwrap().collect().await.unwrap();
    ask("cut/m", "b").await.unwrap().collect().await.unwrap_err();

    let accounts = router.accounts();
    let costs: Vec<_> = accounts.by_tenant().iter().map(|(name, sum)| (*name, sum.cost)).collect();
    assert_eq!(costs, [(Some("b"), NanoUsd(8_000_000)), (Some("a"), NanoUsd(7_000_000))]);
    assert_eq!(accounts.by_task()[0].0, Task::Code);
    assert_eq!(accounts.total().estimated_cost, NanoUsd(8_000_000));
}
