//! What is said in logs: no question, no answer, no key.
use std::{
    fmt::Write,
    sync::{Arc, Mutex},
};

use aic_cache::{
    Begin, Cache, CacheControl, Fingerprint, MemoryStore, PutOptions, Refusal, Store, Tag, Tenant, Tiered,
    semantic::{NgramEmbedder, Similarity, same_text},
    testing::BrokenStore,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

const CANARY: &str = "canary";

/// Writes down every event with all its fields.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<String>>);

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut Fields(&self.0));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Fields(&self.0));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields(&self.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Fields<'a>(&'a Mutex<String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        writeln!(self.0.lock().expect("nobody panics here"), "{field}={value:?}").expect("a text takes text");
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let causes = std::iter::successors(Some(value), |error| error.source());
        causes.for_each(|error| self.record_debug(field, &format_args!("{error} {error:?}")));
    }
}

fn key(text: &str) -> Fingerprint {
    Fingerprint::of("silence", &Tenant::new(CANARY), text).expect("a text has a fingerprint")
}

async fn ask(cache: &Cache<String>, text: &str) {
    let scope = Fingerprint::of("silence scope", &Tenant::default(), "").expect("a text has a fingerprint");
    let control = CacheControl::new().like(scope, text).tag(Tag::new("document", CANARY));
    if let Begin::Lead(guard) = cache.begin(&key(text), &control).await {
        guard.finish(&format!("{CANARY} answer")).await.expect("a text can be encoded");
    }
}

fn over(store: impl Store) -> Cache<String> {
    let similarity = Similarity::new(NgramEmbedder::new(64), |a: &String, b: &String| same_text(a, b));
    Cache::builder(store).similarity(similarity).build()
}

#[tokio::test]
async fn logs_say_nothing_of_questions_answers_and_keys() {
    let heard = Listener::default();
    let listening = tracing::subscriber::set_default(heard.clone());
    let questions = ["is the canary yellow?", "is the canary not yellow?", "IS the canary yellow?"];
    let store = Arc::new(MemoryStore::new(1 << 20));

    for cache in [over(store.clone()), over(BrokenStore), over(Tiered::new(store.clone(), BrokenStore))] {
        for question in questions {
            ask(&cache, question).await;
        }
        if let Begin::Lead(guard) = cache.begin(&key("refused"), &CacheControl::new()).await {
            guard.refuse(&Refusal::new(CANARY, CANARY)).await.expect("a refusal can be encoded");
        }
        let _ = cache.clear(&[Tag::new("document", CANARY)]).await;
        store.put(&key(questions[0]), CANARY.into(), PutOptions::new()).await.expect("memory is there");
        cache.get(&key(questions[0])).await;
        tracing::event!(Level::TRACE, "still listening");
    }

    drop(listening);
    let heard = heard.0.lock().expect("nobody panics here");
    assert!(heard.contains("still listening") && heard.contains("miss"), "{heard}");
    assert!(!heard.to_lowercase().contains(CANARY), "{heard}");
    for question in questions {
        assert!(!heard.contains(&key(question).to_string()), "{heard}");
    }
}
