//! What the router adds to a call, beside the same call without it.
//!
//! `cargo bench --bench router`. The provider is a fake that answers at once, so what is left is the router's own time.
use std::hint::black_box;
use std::time::Duration;

use aic_router::testing::FakeProvider;
use aic_router::{ChatRequest, Provider, Router, Task};
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::StreamExt;
use tokio::runtime::Runtime;

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = chat, choice
}
criterion_main!(benches);

fn chat(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let request = ChatRequest::user("Why is the sky blue?");
    let bare = provider("bare");
    c.bench_function("router/chat/bare_provider", |b| {
        b.to_async(&runtime).iter(async || {
            let mut events = bare.chat("model-8b", &request).await.expect("the fake answers");
            while let Some(event) = events.next().await {
                black_box(event.expect("the fake does not fail"));
            }
        });
    });
    let router = Router::builder().provider(provider("routed")).build().expect("one provider");
    c.bench_function("router/chat/routed", |b| {
        b.to_async(&runtime).iter(async || {
            router
                .chat(request.clone())
                .await
                .expect("the fake answers")
                .collect()
                .await
                .expect("the answer is whole")
        });
    });
}

fn choice(c: &mut Criterion) {
    let names = ["local", "ollama", "gemini", "anthropic", "openai"];
    let router = names.into_iter().fold(Router::builder(), |router, name| router.provider(provider(name)));
    let router = router.build().expect("five names");
    let request = ChatRequest::user("Write a Python function that checks whether a number is prime.");
    c.bench_function("router/explain/5_providers", |b| b.iter(|| router.explain(black_box(&request))));
    c.bench_function("router/guess_task", |b| b.iter(|| Task::guess(black_box(&request))));
}

fn provider(name: &str) -> FakeProvider {
    FakeProvider::new(name).model("model-8b").reply("It scatters blue light more than red.")
}
