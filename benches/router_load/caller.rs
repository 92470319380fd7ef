//! The two ways to the server.

use aic_router::{ChatRequest, Http, OpenAi, Router};
use reqwest::Client;

use crate::server;

#[derive(Clone)]
pub(crate) enum Caller {
    Direct(Direct),
    Routed(Box<Routed>),
}

impl Caller {
    /// Makes one call and reads its answer to the end.
    pub(crate) async fn call(&self) -> Result<(), String> {
        match self {
            Self::Direct(direct) => direct.call().await.map_err(|error| error.to_string()),
            Self::Routed(routed) => routed.call().await.map_err(|error| error.to_string()),
        }
    }
}

/// A bare client that sends a prepared body and does not look at the answer.
#[derive(Clone)]
pub(crate) struct Direct {
    client: Client,
    url: String,
    body: String,
}

impl Direct {
    pub(crate) fn new(base: &str, model: &str) -> Self {
        let client = Client::builder().tcp_nodelay(true).build().expect("a client can be made");
        let body = serde_json::json!({"model": model, "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": QUESTION}]});
        Self { client, url: format!("{base}/chat/completions"), body: body.to_string() }
    }

    async fn call(&self) -> reqwest::Result<()> {
        let request = self.client.post(&self.url).header("content-type", "application/json");
        let mut response = request.body(self.body.clone()).send().await?.error_for_status()?;
        while response.chunk().await?.is_some() {}
        Ok(())
    }
}

#[derive(Clone)]
pub(crate) struct Routed {
    router: Router,
    request: ChatRequest,
}

impl Routed {
    pub(crate) fn new(port: u16, model: &str) -> Self {
        let http = Http::builder().connections_max(2_000).build().expect("the settings are right");
        let provider = OpenAi::builder(server::url(port)).name("server").model(model).http(&http);
        let provider = provider.build().expect("the settings are right");
        let router = Router::builder().provider(provider).build().expect("the settings are right");
        Self { router, request: ChatRequest::user(QUESTION) }
    }

    async fn call(&self) -> aic_router::Result<()> {
        self.open().await?.collect().await.map(|_| ())
    }

    /// Makes one call up to its first content.
    pub(crate) async fn open(&self) -> aic_router::Result<aic_router::ChatStream> {
        self.router.chat(self.request.clone()).await
    }
}

const QUESTION: &str =
    "Write a Python function that checks whether a number is prime, and explain it in two sentences.";
