use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::attempt::{Budget, attempt};
use super::call::Call;
use super::route::Route;
use crate::backoff::Backoff;
use crate::{EmbedRequest, Embeddings, Error, ErrorKind, ProviderError, Purpose, Result, Usage};

impl Inner {
    pub(super) async fn embed(&self, request: &EmbedRequest) -> Result<Embeddings> {
        if self.providers.is_empty() {
            return Err(Error::NoProvider);
        }
        let route = self.embedding_route(request)?;
        let mut budget = Budget::new(self, self.settings.deadline);
        let mut backoff = Backoff::new();
        loop {
            let began = self.clock.now();
            let error = match self.embed_once(route, request, &budget).await {
                Ok(embeddings) => return Ok(embeddings),
                Err(error) => error,
            };
            let now = self.clock.now();
            let failed = attempt(route, error, now - began);
            match budget.retry(failed, &mut backoff, Duration::MAX, now) {
                Ok(pause) => tokio::time::sleep(pause).await,
                Err(_) => return Err(budget.error(now)),
            }
        }
    }

    fn embedding_route(&self, request: &EmbedRequest) -> Result<&Arc<Route>> {
        let wanted = |route: &Route| request.model.as_deref().is_none_or(|model| route.is_named(model));
        let fits = |route: &&Arc<Route>| route.model.purpose == Purpose::Embedding && wanted(route);
        self.routes.iter().find(fits).ok_or_else(|| {
            Error::Config(match &request.model {
                Some(model) => format!("no provider has an embedding model `{model}`"),
                None => "no provider has an embedding model".into(),
            })
        })
    }

    async fn embed_once(
        &self,
        route: &Arc<Route>,
        request: &EmbedRequest,
        budget: &Budget,
    ) -> Result<Embeddings, ProviderError> {
        let mut call = Call::begin(route, &self.clock)?;
        let work = self.providers[route.provider_index].embed(&route.model.name, request);
        let left = budget.deadline.saturating_duration_since(self.clock.now());
        let result = tokio::time::timeout(left, work).await;
        let late = |_| Err(ProviderError::new(ErrorKind::Timeout, "no vectors within the deadline"));
        match result.unwrap_or_else(late).and_then(|found| complete(found, request)) {
            Ok(found) => Ok(sign(found, &mut call)),
            Err(error) => {
                call.fail(error.kind());
                Err(error)
            }
        }
    }
}

/// One vector per text, or it is no answer.
fn complete(found: Embeddings, request: &EmbedRequest) -> Result<Embeddings, ProviderError> {
    if found.vectors.len() == request.inputs.len() {
        return Ok(found);
    }
    let message = format!("{} vectors came for {} texts", found.vectors.len(), request.inputs.len());
    Err(ProviderError::new(ErrorKind::Malformed, message))
}

fn sign(found: Embeddings, call: &mut Call) -> Embeddings {
    let usage = found.input_tokens.map(|input| Usage { input, ..Usage::default() });
    let cost = call.succeed(usage);
    let route = call.route();
    Embeddings { provider: route.provider.clone(), model: route.model.name.clone(), cost, ..found }
}
