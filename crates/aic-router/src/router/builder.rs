use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::route::Route;
use super::{Inner, Router, Settings};
use crate::breaker::BreakerConfig;
use crate::limit::Limit;
use crate::{Clock, Error, Provider, Result, SystemClock};

/// The order in which equally good models are tried; providers not named here come after, as added.
const DEFAULT_CHAIN: [&str; 5] = ["local", "ollama", "gemini", "anthropic", "openai"];

const LONGEST_COOLDOWN: Duration = Duration::from_secs(24 * 3600);

/// Collects the providers and settings of a [`Router`].
#[derive(Debug)]
#[must_use]
pub struct RouterBuilder {
    providers: Vec<Arc<dyn Provider>>,
    limits: BTreeMap<String, u32>,
    breaker: BreakerConfig,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl Default for RouterBuilder {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            limits: BTreeMap::new(),
            breaker: BreakerConfig::default(),
            settings: Settings::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(600),
            retries: 2,
            patience: Duration::from_secs(5),
            first_content: None,
            idle: Duration::from_secs(60),
            chain: None,
        }
    }
}

impl RouterBuilder {
    /// Adds a provider.
    pub fn provider(self, provider: impl Provider) -> Self {
        self.provider_arc(Arc::new(provider))
    }

    /// Adds a provider that is used elsewhere too.
    pub fn provider_arc(mut self, provider: Arc<dyn Provider>) -> Self {
        self.providers.push(provider);
        self
    }

    /// Tries providers strictly in this order, whatever their scores; those not named come last.
    ///
    /// By default the best score goes first, and equal scores in the order local, ollama, gemini, anthropic,
    /// openai, others as added.
    pub fn chain<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.settings.chain = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Bounds each request that names no deadline of its own. Defaults to 10 min.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// How many retries one request has, on top of one attempt at each model. Defaults to 2.
    pub fn retries(mut self, retries: u32) -> Self {
        self.settings.retries = retries;
        self
    }

    /// The longest pause before a retry while another model could be tried instead. Defaults to 5 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// How long an attempt may take to its first content. Defaults to 60 s in the cloud and 5 min for local
    /// providers, whose models may have to be loaded first.
    pub fn first_content_timeout(mut self, timeout: Duration) -> Self {
        self.settings.first_content = Some(timeout);
        self
    }

    /// How long an answer that has begun may stay silent. Defaults to 60 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle = timeout;
        self
    }

    /// How many failures in a row shut a model off. Defaults to 5.
    pub fn breaker_failures(mut self, failures: NonZeroU32) -> Self {
        self.breaker.threshold = failures.get();
        self
    }

    /// How long a model is shut off before a probe; doubles with each probe that fails, up to twelve times
    /// this long and a day at most. Defaults to 10 s.
    pub fn breaker_cooldown(mut self, cooldown: Duration) -> Self {
        self.breaker.cooldown = cooldown;
        self.breaker.cooldown_max = cooldown.saturating_mul(12).min(LONGEST_COOLDOWN);
        self
    }

    /// Sends `provider` at most so many requests per minute. Unlimited by default.
    pub fn requests_per_minute(mut self, provider: impl Into<String>, requests: u32) -> Self {
        self.limits.insert(provider.into(), requests);
        self
    }

    /// Reads the time from `clock`. Defaults to [`SystemClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the router. One without providers is valid, and answers every request with
    /// [`Error::NoProvider`].
    ///
    /// # Errors
    /// [`Error::Config`] if two providers have one name, or a limit or a chain names a provider that was not
    /// added, or a limit is 0.
    pub fn build(mut self) -> Result<Router> {
        self.check()?;
        self.providers.sort_by_key(|provider| rank(&provider.info().name, &self.settings));
        let routes = self.routes()?;
        let Self { providers, settings, clock, .. } = self;
        Ok(Router { inner: Arc::new(Inner { providers, routes, settings, clock }) })
    }

    fn check(&self) -> Result<()> {
        let mut names = HashSet::new();
        for provider in &self.providers {
            let name = provider.info().name.as_str();
            if name.is_empty() || !names.insert(name) {
                return Err(Error::Config(format!("two providers are named `{name}`, or one has no name")));
            }
        }
        let chain = self.settings.chain.iter().flatten();
        match chain.chain(self.limits.keys()).find(|name| !names.contains(name.as_str())) {
            Some(name) => Err(Error::Config(format!("no provider is named `{name}`; there are {names:?}"))),
            None => Ok(()),
        }
    }

    fn routes(&self) -> Result<Vec<Arc<Route>>> {
        let mut routes = Vec::new();
        for (index, provider) in self.providers.iter().enumerate() {
            let info = provider.info();
            let limit = self.limit(&info.name)?;
            let route = |model| Arc::new(Route::new(index, info, model, self.breaker, limit.clone()));
            routes.extend(info.models.iter().map(route));
        }
        Ok(routes)
    }

    fn limit(&self, provider: &str) -> Result<Option<Arc<Limit>>> {
        let Some(requests) = self.limits.get(provider) else {
            return Ok(None);
        };
        let requests = NonZeroU32::new(*requests).ok_or_else(|| {
            Error::Config(format!("0 requests per minute for `{provider}`; remove it instead"))
        })?;
        Ok(Some(Arc::new(Limit::new(requests, self.clock.clone()))))
    }
}

/// The place of a provider in the chain.
fn rank(name: &str, settings: &Settings) -> usize {
    let place = match &settings.chain {
        Some(chain) => chain.iter().position(|other| other == name),
        None => DEFAULT_CHAIN.iter().position(|other| *other == name),
    };
    place.unwrap_or(usize::MAX)
}
