use std::time::Duration;

use super::{OPENAI_HOST, OpenAi, OpenAiApi, family};
use crate::wire::openai::{Dialect, models};
use crate::wire::remote::Remote;
use crate::{
    ApiKey, Error, ErrorKind, Http, ModelInfo, ProviderError, ProviderInfo, ProviderKind, Result, prices,
};

/// How long a server may take to list its models.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// Collects the settings of an [`OpenAi`].
#[derive(Debug)]
#[must_use]
pub struct OpenAiBuilder {
    base_url: String,
    name: Option<String>,
    kind: ProviderKind,
    api: Option<OpenAiApi>,
    key: Option<ApiKey>,
    headers: Vec<(String, ApiKey)>,
    models: Vec<ModelInfo>,
    http: Http,
}

impl OpenAiBuilder {
    pub(super) fn new(base_url: String) -> Self {
        Self {
            base_url,
            name: None,
            kind: ProviderKind::Cloud,
            api: None,
            key: None,
            headers: Vec::new(),
            models: Vec::new(),
            http: Http::default(),
        }
    }

    /// The provider's name. Defaults to `openai` for OpenAI itself and to the host's name for others.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Says that nothing is paid per token there. Cloud by default.
    pub fn local(mut self) -> Self {
        self.kind = ProviderKind::Local;
        self
    }

    /// Which protocol the server is asked in.
    ///
    /// Defaults to [`OpenAiApi::ChatCompletions`]; for OpenAI itself, in Azure too, to
    /// [`OpenAiApi::Responses`], but for sounds, and for stop texts to a model that does not think: only Chat
    /// Completions takes those.
    pub fn api(mut self, api: OpenAiApi) -> Self {
        self.api = Some(api);
        self
    }

    /// The key, sent as a bearer token. None by default.
    pub fn key(mut self, key: impl Into<ApiKey>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header to every request: `OpenAI-Organization`, `OpenAI-Project`, Azure's `api-key`, or what a
    /// gateway wants. Its value is shown nowhere. None by default.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<ApiKey>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a model. What it leaves open is filled in from the price table where that has a cloud provider of
    /// this name (`openai`, `groq`, `mistral`, `deepseek`, `xai`) with a model of that name. By default such a
    /// provider has the models that the table offers, and others none; those that a server lists are found by
    /// [`connect`](Self::connect).
    pub fn model(mut self, model: impl Into<ModelInfo>) -> Self {
        self.models.push(model.into());
        self
    }

    /// The connections it is reached over. Defaults to some of its own.
    pub fn http(mut self, http: &Http) -> Self {
        self.http = http.clone();
        self
    }

    /// Builds the provider; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Config`] if the address is not one of HTTP, a header may not hold what it should, or there is
    /// no model.
    pub fn build(self) -> Result<OpenAi> {
        let remote = self.remote()?;
        self.finish(remote, &[])
    }

    /// Builds the provider with what the server lists: all its models if none is named, and what it says of
    /// those that are. Of OpenAI's own list those in the price table are taken, as it says nothing of the others.
    ///
    /// ```no_run
    /// # async fn run() -> aic_router::Result<()> {
    /// use aic_router::OpenAi;
    ///
    /// let llama_cpp = OpenAi::builder("http://localhost:8080/v1").name("llama.cpp").local().connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`build`](Self::build); [`Error::Setup`] if the server gives no list within 5 seconds.
    ///
    /// # Cancel safety
    /// Dropping the future ends the request; nothing else has happened.
    pub async fn connect(self) -> Result<OpenAi> {
        let remote = self.remote()?;
        let listed = listed(&remote).await;
        let listed =
            listed.map_err(|source| Error::Setup { provider: self.provider_name(&remote), source })?;
        self.finish(remote, &listed)
    }

    fn remote(&self) -> Result<Remote> {
        let mut remote = Remote::with(&self.base_url, &self.http)?;
        for (name, value) in &self.headers {
            remote = remote.custom_header(name, value)?;
        }
        match &self.key {
            Some(key) => remote.key("authorization", "Bearer ", key.clone()),
            None => Ok(remote),
        }
    }

    fn finish(self, remote: Remote, listed: &[ModelInfo]) -> Result<OpenAi> {
        let (name, dialect) = (self.provider_name(&remote), family::dialect(remote.host()));
        let table = self.table(&remote, &name);
        let mut models = match (listed.is_empty(), self.models.is_empty()) {
            (true, true) => prices::models_of(table),
            (false, true) if is_openai(&remote) => of_table(listed),
            (false, true) => listed.to_vec(),
            (_, false) => described(self.models, |name| find(listed, name)),
        };
        models = models.into_iter().map(|model| prices::completed(table, model)).collect();
        if models.is_empty() {
            return Err(Error::Config(format!(
                "`{name}` has no model; name one with `model`, or list them with `connect`"
            )));
        }
        if dialect == Dialect::OpenAi {
            models = models.into_iter().map(family::with_abilities).collect();
        }
        let info = ProviderInfo { models, ..ProviderInfo::new(name, self.kind) };
        Ok(OpenAi { info, remote, api: self.api, dialect })
    }

    /// The provider's name in the price table, which has no local ones.
    fn table<'a>(&self, remote: &Remote, name: &'a str) -> &'a str {
        match self.kind {
            ProviderKind::Local => "",
            ProviderKind::Cloud if is_openai(remote) => "openai",
            ProviderKind::Cloud => name,
        }
    }

    fn provider_name(&self, remote: &Remote) -> String {
        let default = if is_openai(remote) { "openai" } else { remote.host() };
        self.name.clone().unwrap_or_else(|| default.to_owned())
    }
}

fn is_openai(remote: &Remote) -> bool {
    remote.host() == OPENAI_HOST
}

/// OpenAI's models in the price table that the key may use.
fn of_table(listed: &[ModelInfo]) -> Vec<ModelInfo> {
    let mut table = prices::models_of("openai");
    table.retain(|model| find(listed, &model.name).is_some());
    table
}

fn find(models: &[ModelInfo], name: &str) -> Option<ModelInfo> {
    models.iter().find(|model| model.name == name).cloned()
}

/// The models, each with what is known of its name.
fn described(models: Vec<ModelInfo>, known: impl Fn(&str) -> Option<ModelInfo>) -> Vec<ModelInfo> {
    let describe = |model: ModelInfo| match known(&model.name) {
        Some(known) => model.or(known),
        None => model,
    };
    models.into_iter().map(describe).collect()
}

async fn listed(remote: &Remote) -> Result<Vec<ModelInfo>, ProviderError> {
    let answer = tokio::time::timeout(LIST_TIMEOUT, remote.get("models")).await;
    let slow =
        |_| ProviderError::new(ErrorKind::Timeout, format!("no list of models within {LIST_TIMEOUT:?}"));
    models(&answer.map_err(slow)??)
        .ok_or_else(|| ProviderError::new(ErrorKind::Malformed, "the server lists no models"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ability, Price};

    #[test]
    fn openai_itself_has_the_models_of_the_table_or_those_named() {
        let all = OpenAi::new("sk-test").unwrap().info;
        let one = OpenAi::builder("https://api.openai.com/v1").model("gpt-4o-mini").build().unwrap().info;

        assert_eq!((all.name.as_str(), all.models.len()), ("openai", prices::models_of("openai").len()));
        assert_eq!(one.models.len(), 1);
        assert!(one.models[0].price.is_some() && one.models[0].context_tokens.is_some());
        assert_eq!(one.models[0].ability(Ability::Reasoning), Some(false));
    }

    #[test]
    fn what_the_user_says_of_a_model_goes_before_what_is_known() {
        let price = Price::per_million(1.0, 2.0);
        let named = ModelInfo::chat("m").price(price).cannot(Ability::Tools);
        let known = ModelInfo::chat("m").can(Ability::Tools).can(Ability::Images).context_tokens(8);

        let models = described(vec![named, "other".into()], |name| find(std::slice::from_ref(&known), name));

        assert_eq!((models[0].price, models[0].context_tokens), (Some(price), Some(8)));
        assert_eq!(models[0].ability(Ability::Tools), Some(false));
        assert_eq!(models[0].ability(Ability::Images), Some(true));
        assert_eq!(models[1], ModelInfo::chat("other"));
    }

    #[test]
    fn models_the_key_may_not_use_are_left_out() {
        let models = of_table(&["gpt-4o-mini".into(), "whisper-1".into()]);

        let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["gpt-4o-mini"]);
    }

    #[test]
    fn header_that_no_request_may_have_is_refused_without_showing_its_value() {
        for (name, value) in [("a b", "canary"), ("x-a", "canary\n!")] {
            let error = OpenAi::builder("http://x").model("m").header(name, value).build().unwrap_err();
            assert!(matches!(&error, Error::Config(text) if text.contains(name) && !text.contains("canary")));
        }
        let builder = OpenAi::builder("http://x").header("x-a", "canary");
        assert!(!format!("{builder:?}").contains("canary"));
    }
}
