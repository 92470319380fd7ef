use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::hedging::Hedging;
use super::route::Route;
use super::{Inner, Router, Settings};
#[cfg(feature = "redis")]
use crate::SharedLimits;
use crate::breaker::BreakerConfig;
use crate::budget::Budgets;
use crate::limit::Limits;
use crate::{
    ChatRequest, Clock, Error, Hedge, ModelInfo, Prices, Provider, ProviderInfo, RateLimit, Result, Scope,
    SpendLimit, SystemClock, Task,
};

/// The order in which equally good models are tried; providers not named here come after, as added.
const DEFAULT_CHAIN: [&str; 5] = ["local", "ollama", "gemini", "anthropic", "openai"];

/// Collects the providers and settings of a [`Router`].
#[derive(Debug)]
#[must_use]
pub struct RouterBuilder {
    providers: Vec<Arc<dyn Provider>>,
    limits: Vec<(Scope, RateLimit)>,
    #[cfg(feature = "redis")]
    shared_limits: Option<SharedLimits>,
    budgets: Vec<(Scope, SpendLimit)>,
    hedge: Option<Hedge>,
    breaker: BreakerConfig,
    settings: Settings,
    prices: Option<Prices>,
    clock: Arc<dyn Clock>,
}

impl Default for RouterBuilder {
    fn default() -> Self {
        Self {
            providers: Vec::new(),
            limits: Vec::new(),
            #[cfg(feature = "redis")]
            shared_limits: None,
            budgets: Vec::new(),
            hedge: None,
            breaker: BreakerConfig::default(),
            settings: Settings::default(),
            prices: None,
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

    /// Tries providers strictly in this order, whatever the priority; those not named come last.
    ///
    /// By default the [`Priority`](crate::Priority) decides, and where nothing tells models apart the order
    /// local, ollama, gemini, anthropic, openai, others as added.
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
        self.breaker = self.breaker.cooldown(cooldown);
        self
    }

    /// Bounds the requests and tokens per minute of a provider, a tenant or all. Unlimited by default.
    ///
    /// What a limit does not let through goes to another model, or waits if there is none.
    pub fn rate_limit(mut self, scope: Scope, limit: RateLimit) -> Self {
        self.limits.push((scope, limit));
        self
    }

    /// Shares the rate limits with other processes. Each process has its own by default.
    #[cfg(feature = "redis")]
    pub fn shared_limits(mut self, shared: SharedLimits) -> Self {
        self.shared_limits = Some(shared);
        self
    }

    /// Bounds the money spent on a provider, a tenant or all. Unlimited by default.
    ///
    /// What a call may cost at most is set aside before it is made, so that calls on their way at the same
    /// time do not exceed the limit together; models of unknown price are not called under a limit. Of a call
    /// that is dropped or breaks off, the whole question and what came of the answer are booked.
    pub fn spend_limit(mut self, scope: Scope, limit: SpendLimit) -> Self {
        self.budgets.push((scope, limit));
        self
    }

    /// Calls a second model beside one that is slower to begin than it nearly always is; the first that begins
    /// to answer is taken and the other one dropped. Not by default, as providers may charge for both.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// What `prices` says of a model counts, whatever its provider says. By default nothing overrides what
    /// providers say.
    pub fn prices(mut self, prices: Prices) -> Self {
        self.prices = Some(prices);
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
    /// added, or a limit is 0 or stated twice, or a share is out of its range.
    pub fn build(mut self) -> Result<Router> {
        self.check()?;
        self.providers.sort_by_key(|provider| rank(&provider.info().name, &self.settings));
        let routes = self.routes();
        let limits = self.limits()?;
        let Self { providers, settings, clock, budgets, hedge, .. } = self;
        let budgets = (!budgets.is_empty()).then(|| Budgets::new(budgets)).transpose()?;
        let hedging = hedge.map(Hedging::new).transpose()?;
        // The first guess builds the table of words, which the first request shall not wait for.
        Task::guess(&ChatRequest::default());
        let accounts = Mutex::default();
        let inner = Inner { providers, routes, settings, limits, budgets, hedging, accounts, clock };
        Ok(Router { inner: Arc::new(inner) })
    }

    fn limits(&self) -> Result<Limits> {
        let limits = Limits::new(&self.limits, &self.clock)?;
        #[cfg(feature = "redis")]
        if let Some(shared) = &self.shared_limits {
            return limits.shared(shared, &self.clock);
        }
        Ok(limits)
    }

    fn check(&self) -> Result<()> {
        let mut names = HashSet::new();
        for provider in &self.providers {
            let name = provider.info().name.as_str();
            if name.is_empty() || !names.insert(name) {
                return Err(Error::Config(format!("two providers are named `{name}`, or one has no name")));
            }
        }
        let scopes =
            self.limits.iter().map(|(scope, _)| scope).chain(self.budgets.iter().map(|(scope, _)| scope));
        let scoped =
            scopes.filter_map(|scope| if let Scope::Provider(name) = scope { Some(name) } else { None });
        let mut named = self.settings.chain.iter().flatten().chain(scoped);
        match named.find(|name| !names.contains(name.as_str())) {
            Some(name) => Err(Error::Config(format!("no provider is named `{name}`; there are {names:?}"))),
            None => Ok(()),
        }
    }

    fn routes(&self) -> Vec<Arc<Route>> {
        let infos = self.providers.iter().map(Provider::info).enumerate();
        let models =
            infos.flat_map(|(index, info)| info.models.iter().map(move |model| (index, info, model)));
        let route = |(index, info, model): (usize, &ProviderInfo, &ModelInfo)| {
            Arc::new(Route::new(index, info, &self.corrected(&info.name, model), self.breaker))
        };
        models.map(route).collect()
    }

    fn corrected(&self, provider: &str, model: &ModelInfo) -> ModelInfo {
        self.prices.as_ref().map_or_else(|| model.clone(), |prices| prices.correct(provider, model))
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
