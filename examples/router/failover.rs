//! The first provider fails for ever, so the second answers; after a while the first is not even asked.
use std::time::{Duration, Instant};

use aic::router::testing::FakeProvider;
use aic::router::{ChatRequest, ErrorKind, Router};

use crate::Outcome;

pub(crate) async fn failover() -> Outcome {
    let broken = FakeProvider::new("broken").model("big-70b").fail(ErrorKind::Unreachable);
    let steady = FakeProvider::new("steady").model("small-8b").reply("here I am");
    let router = Router::builder().provider(broken).provider(steady).chain(["broken", "steady"]);
    let router = router.breaker_cooldown(Duration::from_secs(30)).build()?;

    for number in 1..=8 {
        let asked = Instant::now();
        let answer = router.chat(ChatRequest::user("Anybody there?")).await?.collect().await?;
        let failures: u64 = router.stats().models.iter().map(|model| model.failures).sum();
        println!(
            "question {number}: \"{answer}\" from {}/{} after {:.1?}, failed calls so far: {failures}",
            answer.provider,
            answer.model,
            asked.elapsed()
        );
    }
    println!("\n{}", router.explain(&ChatRequest::user("Anybody there?")));
    Ok(())
}
