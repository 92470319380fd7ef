//! A cloud that cannot be reached from a test, played by a server on loopback.
use aic::{Aic, Builder, Config, Environment};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// A whole answer in OpenAI's event stream.
pub(crate) const WHOLE: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"Rayleigh \"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"scattering.\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":500,\"total_tokens\":1500}}\n\n",
    "data: [DONE]\n\n",
);

/// The same, cut before its end.
pub(crate) const CUT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Rayleigh \"}}]}\n\n";

/// A server that answers `calls` chats, and no more, with `body`.
pub(crate) async fn answering(body: &str, calls: u64) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .respond_with(ResponseTemplate::new(200).set_body_raw(body, "text/event-stream"))
        .expect(calls)
        .mount(&server)
        .await;
    server
}

/// An `Aic` whose only provider is `server`, with a priced model.
pub(crate) async fn over(server: &MockServer) -> Aic {
    let mut config = quiet();
    config.providers.openai.base_url = Some(format!("{}/v1", server.uri()));
    config.providers.openai.model = Some("house-model-70b".to_owned());
    with(config, [("OPENAI_API_KEY", "sk-canary")]).build().await.expect("a configuration that works")
}

pub(crate) fn with<const N: usize>(config: Config, variables: [(&str, &str); N]) -> Builder {
    Aic::builder().config(config).environment(Environment::from(variables))
}

/// Nothing that runs on this machine by chance takes part, and no local model but the one a test names.
pub(crate) fn quiet() -> Config {
    let mut config = Config::default();
    config.providers.ollama.enabled = false;
    config.model.enabled = false;
    config
}
