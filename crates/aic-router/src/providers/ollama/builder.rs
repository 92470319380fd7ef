use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::Ollama;
use super::options::OllamaOptions;
use super::warmth::Watch;
use crate::wire::ollama::{Settings, models, with_facts};
use crate::wire::remote::Remote;
use crate::{ApiKey, Error, ErrorKind, Http, ModelInfo, ProviderError, ProviderInfo, ProviderKind, Result};

/// How long Ollama may take to list its models, and then again to describe all of them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many models are asked about at a time.
const CONCURRENT_SHOWS: usize = 8;

/// Collects the settings of an [`Ollama`].
#[derive(Debug)]
#[must_use]
pub struct OllamaBuilder {
    url: String,
    name: String,
    key: Option<ApiKey>,
    // The values print as `***`, as they may be secrets.
    headers: Vec<(String, ApiKey)>,
    settings: Settings,
    http: Http,
}

impl OllamaBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            name: "ollama".into(),
            key: None,
            headers: Vec::new(),
            settings: Settings::default(),
            http: Http::default(),
        }
    }

    /// Its name in the router. Defaults to `ollama`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The key of a proxy before it, sent as a bearer token. None by default.
    pub fn key(mut self, key: impl Into<ApiKey>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The connections it is reached over. Defaults to some of its own.
    pub fn http(mut self, http: &Http) -> Self {
        self.http = http.clone();
        self
    }

    /// Adds a header to every request, for a proxy before it; the value is kept as a secret. None by default.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<ApiKey>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How long a model stays loaded after it was used, in whole seconds: zero unloads it at once,
    /// [`Duration::MAX`] never. By default the server decides, usually for 5 min.
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.settings.keep_alive = Some(keep_alive);
        self
    }

    /// How it runs its models. By default the server decides, except for the size of the context.
    pub fn options(mut self, options: OllamaOptions) -> Self {
        self.settings.options = options;
        self
    }

    /// Finds out which models the server has, and what they can do and hold.
    ///
    /// A model that the server does not describe in time keeps its facts unknown. Models that Ollama runs on
    /// somebody else's host are left out, so that nothing leaves the house unnoticed.
    ///
    /// # Errors
    /// [`Error::Config`] if the address is not one of HTTP, a header cannot be one, or the options' bounds
    /// cross; [`Error::Setup`] if nobody answers there, or somebody else does.
    pub async fn connect(self) -> Result<Ollama> {
        self.settings.options.check()?;
        let remote = self.remote()?;
        let models = list(&remote).await;
        let models = models.map_err(|source| Error::Setup { provider: self.name.clone(), source })?;
        let models = described(&remote, models).await;
        let info = ProviderInfo { models, ..ProviderInfo::new(self.name, ProviderKind::Local) };
        let watch = Watch::new(remote.clone());
        watch.refresh();
        Ok(Ollama { info, remote, settings: self.settings, watch })
    }

    fn remote(&self) -> Result<Remote> {
        let mut remote = Remote::with(&self.url, &self.http)?;
        if let Some(key) = &self.key {
            remote = remote.key("authorization", "Bearer ", key.clone())?;
        }
        for (name, value) in &self.headers {
            remote = remote.custom_header(name, value)?;
        }
        Ok(remote)
    }
}

async fn list(remote: &Remote) -> Result<Vec<ModelInfo>, ProviderError> {
    let listed = tokio::time::timeout(CONNECT_TIMEOUT, remote.get("api/tags")).await;
    let tags = listed.unwrap_or_else(|_| Err(slow()))?;
    models(&tags).ok_or_else(|| ProviderError::new(ErrorKind::Malformed, "the server is not Ollama"))
}

fn slow() -> ProviderError {
    ProviderError::new(ErrorKind::Timeout, format!("no list of models within {CONNECT_TIMEOUT:?}"))
}

/// The models with their facts, in the same order.
async fn described(remote: &Remote, models: Vec<ModelInfo>) -> Vec<ModelInfo> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let shows = models.into_iter().map(|model| async move {
        let body = json!({"model": model.name});
        match timeout_at(deadline, remote.post("api/show", &body)).await {
            Ok(Ok(show)) => with_facts(model, &show),
            failed => {
                let kind = failed.ok().and_then(Result::err).map(|error| error.kind().clone());
                debug!(model = model.name, ?kind, "model is not described");
                Some(model)
            }
        }
    });
    let described: Vec<_> = stream::iter(shows).buffered(CONCURRENT_SHOWS).collect().await;
    described.into_iter().flatten().collect()
}
