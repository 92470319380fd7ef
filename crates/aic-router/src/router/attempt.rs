//! One request's way over its models: attempts, pauses, fallbacks, one deadline.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tracing::{debug, warn};

use super::Inner;
use super::body::Body;
use super::call::Call;
use super::route::Route;
use crate::backoff::Backoff;
use crate::{
    Attempt, ChatRequest, ChatStream, Error, ErrorKind, Event, EventStream, NextStep, ProviderError,
    ProviderKind, Result,
};

/// First-content timeouts where none is set.
const CLOUD_FIRST_CONTENT: Duration = Duration::from_secs(60);
const LOCAL_FIRST_CONTENT: Duration = Duration::from_secs(300);

/// A deadline beyond this is as good as none, and stays within what the clock can count.
const LONGEST_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) struct Trip<'a> {
    router: &'a Inner,
    request: &'a ChatRequest,
    budget: Budget,
}

/// What is left of a request's time and retries, and what was done with the rest.
pub(super) struct Budget {
    limit: Duration,
    pub(super) deadline: Instant,
    retries: u32,
    attempts: Vec<Attempt>,
}

impl Budget {
    pub(super) fn new(router: &Inner, limit: Duration) -> Self {
        let deadline = router.clock.now() + limit.min(LONGEST_DEADLINE);
        Self { limit, deadline, retries: router.settings.retries, attempts: Vec::new() }
    }

    /// Notes a failed attempt; returns how long to pause if the same model is to be tried again.
    pub(super) fn retry(
        &mut self,
        failed: Attempt,
        backoff: &mut Backoff,
        longest: Duration,
        now: Instant,
    ) -> Result<Duration, NextStep> {
        let kind = failed.error.kind().clone();
        self.attempts.push(failed);
        let step = kind.next_step();
        if step != NextStep::Retry {
            return Err(step);
        }
        let pause = kind.retry_after().unwrap_or_else(|| backoff.pause());
        let left = self.deadline.saturating_duration_since(now);
        if self.retries == 0 || pause >= left.min(longest) {
            return Err(NextStep::NextModel);
        }
        self.retries -= 1;
        Ok(pause)
    }

    pub(super) fn error(self, now: Instant) -> Error {
        let Self { limit, deadline, attempts, .. } = self;
        if now >= deadline { Error::DeadlineExceeded { limit, attempts } } else { Error::Failed { attempts } }
    }
}

impl<'a> Trip<'a> {
    pub(super) fn new(router: &'a Inner, request: &'a ChatRequest) -> Self {
        let limit = request.deadline.unwrap_or(router.settings.deadline);
        Self { router, request, budget: Budget::new(router, limit) }
    }

    pub(super) async fn chat(mut self) -> Result<ChatStream> {
        if self.router.providers.is_empty() {
            return Err(Error::NoProvider);
        }
        let plan = self.router.plan(self.request, self.now());
        if plan.order.is_empty() {
            return Err(Error::NoCandidate(Box::new(plan.explanation)));
        }
        match self.over(&plan.order).await {
            Some(stream) => Ok(stream),
            None => {
                let now = self.now();
                Err(self.budget.error(now))
            }
        }
    }

    /// Tries the models in order.
    async fn over(&mut self, order: &[Arc<Route>]) -> Option<ChatStream> {
        let mut given_up = HashSet::new();
        for (index, route) in order.iter().enumerate() {
            if given_up.contains(&route.provider_index) {
                continue;
            }
            if self.now() >= self.budget.deadline {
                return None;
            }
            let last = !order[index + 1..].iter().any(|next| !given_up.contains(&next.provider_index));
            match self.with_retries(route, last).await {
                Ok(stream) => return Some(stream),
                Err(NextStep::Stop) => return None,
                Err(NextStep::NextProvider) => _ = given_up.insert(route.provider_index),
                Err(NextStep::NextModel | NextStep::Retry) => {}
            }
        }
        None
    }

    /// Tries one model until it answers or it is time for the next.
    async fn with_retries(&mut self, route: &Arc<Route>, last: bool) -> Result<ChatStream, NextStep> {
        let longest = if last { Duration::MAX } else { self.router.settings.patience };
        let mut backoff = Backoff::new();
        loop {
            let began = self.now();
            let error = match self.attempt(route).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            warn!(provider = route.provider, model = route.model.name, kind = %error.kind(), "attempt failed");
            let failed = attempt(route, error, self.now() - began);
            let pause = self.budget.retry(failed, &mut backoff, longest, self.now())?;
            tokio::time::sleep(pause).await;
        }
    }

    /// Makes one call, up to its first content.
    async fn attempt(&self, route: &Arc<Route>) -> Result<ChatStream, ProviderError> {
        let mut call = Call::begin(route, &self.router.clock)?;
        debug!(provider = route.provider, model = route.model.name, "calling");
        let limit = self.first_content_limit(route.kind);
        let opening = tokio::time::timeout(limit, self.open(route)).await;
        match opening.unwrap_or_else(|_| Err(silent(limit))) {
            Ok((head, rest)) => {
                call.has_content();
                Ok(Body::new(call, head, rest, self.router.settings.idle, self.budget.deadline).into_stream())
            }
            Err(error) => {
                call.fail(error.kind());
                Err(error)
            }
        }
    }

    async fn open(&self, route: &Route) -> Result<(Vec<Event>, EventStream), ProviderError> {
        let provider = &self.router.providers[route.provider_index];
        let mut events = provider.chat(&route.model.name, self.request).await?;
        let mut head = Vec::new();
        loop {
            let event = events.next().await.ok_or_else(cut)??;
            let content = match &event {
                Event::Text(text) => !text.is_empty(),
                event => matches!(event, Event::ToolCallDelta(_) | Event::ToolCall(_) | Event::End(_)),
            };
            head.push(event);
            if content {
                return Ok((head, events));
            }
        }
    }

    fn first_content_limit(&self, kind: ProviderKind) -> Duration {
        let default = match kind {
            ProviderKind::Cloud => CLOUD_FIRST_CONTENT,
            ProviderKind::Local => LOCAL_FIRST_CONTENT,
        };
        let left = self.budget.deadline.saturating_duration_since(self.now());
        self.router.settings.first_content.unwrap_or(default).min(left)
    }

    fn now(&self) -> Instant {
        self.router.clock.now()
    }
}

pub(super) fn attempt(route: &Route, error: ProviderError, elapsed: Duration) -> Attempt {
    Attempt { provider: route.provider.clone(), model: route.model.name.clone(), error, elapsed }
}

pub(super) fn cut() -> ProviderError {
    ProviderError::new(ErrorKind::Truncated, "the stream ended before the answer did")
}

fn silent(limit: Duration) -> ProviderError {
    ProviderError::new(ErrorKind::Timeout, format!("no content within {limit:.1?}"))
}
