mod allowance;
mod body;
mod builder;
mod call;
mod choice;
mod demand;
mod embed;
mod errand;
mod hedging;
mod opening;
mod record;
mod resume;
mod route;
mod trip;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use self::builder::RouterBuilder;
use self::demand::Demand;
use self::hedging::Hedging;
use self::route::Route;
use self::trip::Trip;
use crate::budget::Budgets;
use crate::limit::Limits;
use crate::{
    Accounts, ChatRequest, ChatStream, Clock, EmbedRequest, Embeddings, Error, Explanation, Feedback,
    ModelHealth, NanoUsd, Provider, Purpose, Result, Stats, Task,
};

/// Sends each request to the provider and model that fit it best, and to the next one when that fails.
///
/// A cheap handle: clones share providers, breakers and accounts.
///
/// # What is promised
/// - One deadline bounds the whole request, and one budget its calls: each model is tried once, and two
///   retries are shared by all of them (so a lone model is tried three times).
/// - A failure before the first content is invisible if another model answers. After it, the stream ends
///   with [`Error::Interrupted`](crate::Error::Interrupted): never with a short answer.
/// - Dropping the future or the stream cancels the call behind it.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    providers: Vec<Arc<dyn Provider>>,
    routes: Vec<Arc<Route>>,
    settings: Settings,
    limits: Limits,
    budgets: Option<Budgets>,
    hedging: Option<Hedging>,
    accounts: Mutex<Accounts>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug)]
struct Settings {
    deadline: Duration,
    retries: u32,
    patience: Duration,
    first_content: Option<Duration>,
    idle: Duration,
    chain: Option<Vec<String>>,
}

impl Router {
    /// Starts a router.
    pub fn builder() -> RouterBuilder {
        RouterBuilder::default()
    }

    /// Begins to answer `request`; returns when the first content is there.
    ///
    /// # Errors
    /// [`Error::NoProvider`](crate::Error::NoProvider) and [`Error::NoCandidate`](crate::Error::NoCandidate)
    /// where nobody may be asked, [`Error::Failed`](crate::Error::Failed) and
    /// [`Error::DeadlineExceeded`](crate::Error::DeadlineExceeded) with every attempt where nobody answered.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call on its way. Providers may still bill for it.
    pub async fn chat(&self, request: ChatRequest) -> Result<ChatStream> {
        // Boxed, so that it costs the futures it is part of neither room nor depth.
        Box::pin(Trip::new(self.inner.clone(), request).chat()).await
    }

    /// Turns texts into vectors.
    ///
    /// Retries, but never goes on to another model: vectors of different models do not compare.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub async fn embed(&self, request: EmbedRequest) -> Result<Embeddings> {
        embed::embed(&self.inner, &request).await
    }

    /// Says where `request` would go now, and why, without sending it.
    pub fn explain(&self, request: &ChatRequest) -> Explanation {
        let task = request.task.unwrap_or_else(|| Task::guess(request));
        let demand = Demand::of_chat(request, task);
        self.inner.plan(request, &demand, self.inner.clock.now()).explanation()
    }

    /// What `request` would cost at the model that would be tried first, where its price is known.
    ///
    /// Counts the question as estimated and the answer at its greatest length, or 256 tokens where unbounded.
    pub fn estimate(&self, request: &ChatRequest) -> Option<NanoUsd> {
        self.explain(request).chosen()?.estimate
    }

    /// Takes in how good an answer was; sharpens the [`Quality`](crate::Quality) of its model for that task.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if no provider has that chat model, or `good` is not between 0
    /// and 1.
    pub fn feedback(&self, feedback: &Feedback) -> Result<()> {
        let Feedback { provider, model, task, good } = feedback;
        if !(0.0..=1.0).contains(good) {
            return Err(Error::Config(format!("feedback of {good} is not between 0 and 1")));
        }
        let named = |route: &&Arc<Route>| route.provider == *provider && route.model.name == *model;
        let route = self.inner.routes.iter().find(named);
        let route = route.filter(|route| route.model.purpose == Purpose::Chat).ok_or_else(|| {
            Error::Config(format!("feedback on `{provider}/{model}`, a chat model that no provider has"))
        })?;
        route.judged(*task, *good);
        Ok(())
    }

    /// What the router has done since it was built.
    pub fn stats(&self) -> Stats {
        Stats { models: self.inner.routes.iter().map(|route| route.stats()).collect() }
    }

    /// What calls used and cost since the router was built, by provider, model, task and tenant: calls that
    /// failed, were dropped or lost to a hedge included, as far as providers may charge for them.
    pub fn accounts(&self) -> Accounts {
        self.inner.accounts.lock().clone()
    }

    /// Which models can be called now.
    pub fn health(&self) -> Vec<ModelHealth> {
        let now = self.inner.clock.now();
        self.inner.routes.iter().map(|route| route.health(now)).collect()
    }

    /// The providers, in the router's order.
    pub fn providers(&self) -> impl Iterator<Item = &dyn Provider> {
        self.inner.providers.iter().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.providers().map(|provider| provider.info().name.as_str()).collect();
        f.debug_struct("Router").field("providers", &names).field("settings", &self.inner.settings).finish()
    }
}
