//! What is missing or broken is said, and the rest goes on.
use aic::{Environment, Error, FindingState};

use crate::upstream::{WHOLE, answering, quiet, with};

#[tokio::test]
async fn with_nothing_at_all_the_error_says_what_to_set() {
    let ai = with(quiet(), []).build().await.unwrap();

    let error = ai.ask("Anybody there?").await.unwrap_err().to_string();

    assert!(error.contains("OLLAMA_HOST") && error.contains("OPENAI_API_KEY"), "{error}");
    assert!(matches!(ai.embed("x").await, Err(Error::NoEmbedder)));
    ai.shutdown().await;
}

#[tokio::test]
async fn a_missing_model_file_is_named() {
    let mut config = quiet();
    config.model.enabled = true;
    config.model.path = Some("no/such/model.gguf".into());

    let error = with(config, []).build().await.unwrap_err();

    assert!(error.to_string().contains("no/such/model.gguf"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn a_damaged_model_file_is_an_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.gguf");
    std::fs::write(&path, b"GGUF\x03\0\0\0 and then nonsense").unwrap();
    let mut config = quiet();
    config.model.enabled = true;
    config.model.path = Some(path);

    let error = with(config, []).build().await.unwrap_err();

    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("malformed GGUF file"), "{cause}");
}

#[tokio::test]
async fn redis_that_is_down_is_a_finding_and_answers_are_kept_in_memory() {
    let server = answering(WHOLE, 1).await;
    let mut config = quiet();
    config.cache.redis_url = Some("redis://:secret@127.0.0.1:1".to_owned());
    config.providers.openai.base_url = Some(format!("{}/v1", server.uri()));
    config.providers.openai.model = Some("gpt-4o-mini".to_owned());
    let ai = with(config, [("OPENAI_API_KEY", "sk-canary")]).build().await.unwrap();

    let redis = ai.findings().iter().find(|finding| finding.subject == "Redis").unwrap();
    assert_eq!(redis.state, FindingState::Broken, "{redis}");
    assert!(!redis.note.contains("secret"), "{redis}");
    ai.ask("Why?").await.unwrap();
    assert!(ai.ask("Why?").await.unwrap().origin.is_cache());
}

#[tokio::test]
async fn a_wrong_key_says_so_and_never_shows_the_key() {
    let server = wiremock::MockServer::start().await;
    let body = r#"{"error":{"message":"Incorrect API key provided: sk-canary","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    let refused = wiremock::ResponseTemplate::new(401).set_body_raw(body, "application/json");
    wiremock::Mock::given(wiremock::matchers::any()).respond_with(refused).mount(&server).await;
    let ai = crate::upstream::over(&server).await;

    let error = ai.ask("Why?").await.unwrap_err();

    let shown = format!("{error} {error:?} {ai:?}");
    assert!(error.to_string().contains("API key") && !shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn an_unknown_quantization_is_refused_with_the_known_ones() {
    let mut config = quiet();
    config.model.enabled = true;
    config.model.quantization = Some("q9_z".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    aic::quant::gguf::Writer::new(aic::quant::gguf::Metadata::new()).save(&path, |_| Ok(Vec::new())).unwrap();
    config.model.path = Some(path);

    let error = with(config, []).build().await.unwrap_err().to_string();

    assert!(error.contains("q9_z") && error.contains("Q4_K"), "{error}");
}

#[test]
fn a_configuration_file_with_a_wrong_key_is_refused_with_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aic.toml");
    std::fs::write(&path, "[routing]\nretires = 3\n").unwrap();
    let environment = Environment::from([("AIC_CONFIG", path.to_str().unwrap())]);

    let error = aic::Config::load(&environment).unwrap_err().to_string();

    assert!(error.contains("aic.toml") && error.contains("retires") && error.contains("retries"), "{error}");
}
