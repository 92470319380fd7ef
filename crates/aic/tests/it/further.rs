//! Local models that are loaded when they are asked for, and the one that makes embeddings.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
use std::path::{Path, PathBuf};

use aic::config::FurtherModelConfig;
use aic::quant::{Device, DeviceMemory, Memory, ModelOptions, footprint};
use aic::router::testing::FakeProvider;
use aic::router::{ErrorKind, ModelClass, ModelInfo, Price};
use aic::{
    Aic, Builder, ChatRequest, Config, DEMO_MODEL, EmbedRequest, Error, Event, FindingState, Priority, Status,
};
use tempfile::TempDir;

use crate::upstream::{quiet, with};

const QUESTION: &str = "What is the capital of France?";
/// Numbers of a vector of the encoder.
const ENCODER_SIZE: usize = 64;

fn encoder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../aic-quant/tests/goldens/models/bert.gguf")
}

/// A folder with the demonstration model under some names.
fn folder(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        std::fs::write(folder.path().join(format!("{name}.gguf")), DEMO_MODEL).unwrap();
    }
    folder
}

/// No model but `further`, whose files are in `folder` under their names; nothing is answered from the cache.
fn config(folder: &TempDir, further: &[&str]) -> Config {
    let mut config = quiet();
    config.model.enabled = true;
    config.model.path = Some(folder.path().join("first.gguf"));
    config.cache.enabled = false;
    let file = |name: &&str| FurtherModelConfig::new(*name, [folder.path().join(format!("{name}.gguf"))]);
    config.model.further = further.iter().map(file).collect();
    config
}

/// With more memory than anybody needs.
async fn start(config: Config) -> Aic {
    let builder = with(config, []).device_memory(Machine(1 << 40));
    builder.build().await.expect("a configuration that works")
}

async fn refusal(config: Config) -> String {
    with(config, []).build().await.unwrap_err().to_string()
}

fn to(model: &str) -> ChatRequest {
    ChatRequest::user(QUESTION).model(format!("local/{model}"))
}

/// How each further model is in memory, if it is.
fn forms(status: &Status) -> Vec<(&str, Option<&str>)> {
    status.further.iter().map(|model| (model.name.as_str(), model.form.as_deref())).collect()
}

/// A machine with so many bytes of memory, of which nobody else uses any.
#[derive(Debug)]
struct Machine(u64);

impl DeviceMemory for Machine {
    fn memory(&self, device: Device) -> Option<Memory> {
        let total_bytes = self.0;
        (device == Device::Cpu).then_some(Memory { total_bytes, free_bytes: total_bytes })
    }
}

/// Room for one of two models `a` and `b`, however small they make themselves, beside the first.
fn tight(builder: Builder, folder: &TempDir) -> Builder {
    let source = aic::quant::open(folder.path().join("a.gguf")).unwrap();
    let needed = footprint(&*source, &ModelOptions::new()).unwrap().total_bytes();
    builder.device_memory(Machine(needed * 3 / 2))
}

#[tokio::test]
async fn a_further_model_is_loaded_when_it_is_first_asked_for_and_stays() {
    let folder = folder(&["first", "a", "b"]);
    let ai = start(config(&folder, &["a", "b"])).await;
    assert_eq!(forms(&ai.status()), [("a", None), ("b", None)]);
    let known = ai.findings().iter().filter(|finding| finding.subject == "Further model");
    assert!(known.clone().all(|finding| finding.state == FindingState::Used));
    assert_eq!(known.map(|finding| finding.note.contains("a.gguf")).collect::<Vec<_>>(), [true, false]);

    let answer = ai.ask(to("a")).await.unwrap();

    assert!(answer.text().contains("Paris"), "{answer}");
    assert_eq!((answer.provider.as_str(), answer.model.as_str()), ("local", "a"));
    let status = ai.status();
    let [("a", Some(form)), ("b", None)] = forms(&status)[..] else { panic!("{status}") };
    assert!(form.starts_with("a on cpu, context 512 in F16"), "{form}");
    let shown = status.to_string();
    assert!(shown.contains(&format!("further  a: {form}\n")), "{shown}");
    assert!(shown.contains("further  b: not in memory\n"), "{shown}");
    // It is in memory, so its file is not needed any more.
    std::fs::remove_file(folder.path().join("a.gguf")).unwrap();
    assert!(ai.ask(to("a")).await.is_ok());
    ai.shutdown().await;
}

#[tokio::test]
async fn where_there_is_room_for_one_the_second_takes_the_place_of_the_first() {
    let folder = folder(&["first", "a", "b"]);
    let ai = tight(with(config(&folder, &["a", "b"]), []), &folder).build().await.unwrap();

    for (asked, other) in [("a", "b"), ("b", "a"), ("a", "b")] {
        assert!(ai.ask(to(asked)).await.unwrap().text().contains("Paris"));

        let status = ai.status();
        let there: Vec<_> = forms(&status).into_iter().filter(|(_, form)| form.is_some()).collect();
        assert!(there.len() == 1 && there[0].0 == asked, "{asked} for {other}: {status}");
    }
}

#[tokio::test]
async fn a_model_in_use_stays_and_another_provider_answers_until_its_answer_is_dropped() {
    let folder = folder(&["first", "a", "b"]);
    // Dear, and no better.
    let cloud =
        ModelInfo::chat("b").price(Price::per_million(100.0, 200.0)).class(ModelClass::of_size(0.001));
    let cloud = FakeProvider::new("cloud").model(cloud).reply("from afar");
    let mut config = config(&folder, &["a", "b"]);
    (config.routing.priority, config.routing.retries) = (Priority::Cost, 0);
    let builder = with(config, []).provider(cloud);
    let ai = tight(builder, &folder).build().await.unwrap();
    let mut answer = ai.chat(to("a")).await.unwrap();
    assert!(matches!(answer.next().await, Some(Ok(Event::Start { .. }))));

    let explained = ai.explain(ChatRequest::user(QUESTION).model("b"));
    let elsewhere = ai.ask(ChatRequest::user(QUESTION).model("b")).await.unwrap();
    let stats = ai.router().stats();
    let refused = ai.ask(to("b")).await.unwrap_err();

    assert_eq!((elsewhere.provider.as_str(), &*elsewhere.text()), ("cloud", "from afar"));
    let here = stats.models.iter().find(|model| (&*model.provider, &*model.model) == ("local", "b"));
    assert_eq!(here.map(|model| model.failures), Some(1), "{explained}");
    let Error::Router(error) = &refused else { panic!("{refused}") };
    assert_eq!(error.kind(), Some(&ErrorKind::Overloaded { retry_after: None }), "{refused}");
    assert!(refused.to_string().contains("with nothing idle that could give way"), "{refused}");
    drop(answer);
    let here = ai.ask(to("b")).await.unwrap();
    assert_eq!(here.provider, "local");
    assert!(ai.status().further[1].form.is_some(), "{}", ai.status());
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_any_more_says_why() {
    let folder = folder(&["first", "a"]);
    let ai = start(config(&folder, &["a"])).await;
    std::fs::remove_file(folder.path().join("a.gguf")).unwrap();

    let error = ai.ask(to("a")).await.unwrap_err().to_string();

    assert!(error.contains("could not be loaded") && error.contains("a.gguf"), "{error}");
    assert!(ai.ask(to("aic-demo")).await.is_ok(), "the first model answers all the same");
}

#[tokio::test]
async fn further_models_that_are_configured_wrongly_are_refused_with_key_and_reason() {
    let folder = folder(&["first", "a"]);
    let good = config(&folder, &["a"]);
    let change = |change: &dyn Fn(&mut Vec<FurtherModelConfig>)| {
        let mut config = good.clone();
        change(&mut config.model.further);
        config
    };

    for (config, key, reason) in [
        (
            change(&|all| all[0].files = vec!["no/such.gguf".into()]),
            "model.further `a`, files",
            "no/such.gguf",
        ),
        (change(&|all| all[0].files.clear()), "model.further `a`, files", "an empty list"),
        (change(&|all| all.push(all[0].clone())), "model.further `a`, name", "another local model"),
        (change(&|all| all[0].name = "aic-demo".into()), "`aic-demo`, name", "another local model"),
        (change(&|all| all[0].name = " ".into()), "name", "empty"),
        (
            change(&|all| all[0].context_length = Some(1)),
            "model.further `a`, context_length",
            "at least 2 tokens",
        ),
    ] {
        let error = refusal(config).await;
        assert!(error.contains(key) && error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn embeddings_are_made_with_the_model_named_for_them() {
    let folder = folder(&["first"]);
    let mut config = config(&folder, &[]);
    let first = start(config.clone()).await.embed("a blue sky").await.unwrap();
    config.model.embedding = Some(encoder());
    let ai = start(config).await;

    let vector = ai.embed("a blue sky").await.unwrap();

    assert_eq!((first.len(), vector.len()), (256, ENCODER_SIZE));
    assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    let own = aic::quant::Embedder::open(encoder()).unwrap().embed(&["a blue sky"]).unwrap();
    assert_eq!(own, [vector]);
    let finding = ai.findings().iter().find(|finding| finding.subject == "Embedding model").unwrap();
    let name = finding.note.split(',').next().unwrap();
    let all = ai.embed_all(EmbedRequest::new(["a", "b"]).model(name)).await.unwrap();
    assert_eq!((all.vectors.len(), all.model.as_str()), (2, name));
    assert!(ai.embed_all(EmbedRequest::new(["a"]).model("aic-demo-embedding")).await.is_err());
}

#[tokio::test]
async fn an_embedding_model_that_is_missing_is_named() {
    let folder = folder(&["first"]);
    let mut config = config(&folder, &[]);
    config.model.embedding = Some("no/such/encoder.gguf".into());

    let error = refusal(config).await;

    assert!(error.contains("no/such/encoder.gguf"), "{error}");
}

#[tokio::test]
async fn a_vector_for_the_cache_is_that_of_the_embedder_it_is_made_from() {
    use aic::cache::semantic::Embedder as _;

    let embedder = aic::quant::Embedder::open(encoder()).unwrap();
    let local = aic::adapters::LocalEmbedder::new(embedder.clone());

    assert_eq!([local.embed("a blue sky").await.unwrap()], *embedder.embed(&["a blue sky"]).unwrap());
    assert_eq!(local.embed("").await.unwrap().len(), ENCODER_SIZE);
}
