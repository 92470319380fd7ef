use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::allowance::Allowance;
use super::call::Call;
use super::demand::Demand;
use super::opening::attempt;
use super::route::Route;
use crate::backoff::Backoff;
use crate::latency::Work;
use crate::{EmbedRequest, Embeddings, Error, ErrorKind, ProviderError, Purpose, Result, Usage};

pub(super) async fn embed(router: &Arc<Inner>, request: &EmbedRequest) -> Result<Embeddings> {
    if router.providers.is_empty() {
        return Err(Error::NoProvider);
    }
    let route = route(router, request)?;
    let demand = Arc::new(Demand::of_embedding(request));
    let mut allowance = Allowance::new(router, None);
    let mut backoff = Backoff::new();
    loop {
        let began = router.clock.now();
        let left = allowance.deadline().saturating_duration_since(began);
        let error = match once(router, &demand, route, request, left).await {
            Ok(embeddings) => return Ok(embeddings),
            Err(error) => error,
        };
        let now = router.clock.now();
        let failed = attempt(route, error, now - began);
        match allowance.retry(failed, &mut backoff, Duration::MAX, now) {
            Ok(pause) => tokio::time::sleep(pause).await,
            Err(_) => return Err(allowance.into_error(now)),
        }
    }
}

fn route<'a>(router: &'a Inner, request: &EmbedRequest) -> Result<&'a Arc<Route>> {
    let wanted = |route: &Route| request.model.as_deref().is_none_or(|model| route.is_named(model));
    let fits = |route: &&Arc<Route>| route.model.purpose == Purpose::Embedding && wanted(route);
    router.routes.iter().find(fits).ok_or_else(|| {
        Error::Config(match &request.model {
            Some(model) => format!("no provider has an embedding model `{model}`"),
            None => "no provider has an embedding model".into(),
        })
    })
}

async fn once(
    router: &Arc<Inner>,
    demand: &Arc<Demand>,
    route: &Arc<Route>,
    request: &EmbedRequest,
    limit: Duration,
) -> Result<Embeddings, ProviderError> {
    let mut call = Call::begin(router, demand, route, Work::default()).await?;
    let work = router.providers[route.provider_index].embed(&route.model.name, request);
    let late = |_| Err(ProviderError::new(ErrorKind::Timeout, "no vectors within the deadline"));
    let result = tokio::time::timeout(limit, work).await.unwrap_or_else(late);
    match result.and_then(|found| complete(found, request)) {
        Ok(found) => Ok(sign(found, &mut call)),
        Err(error) => {
            call.fail(error.kind());
            Err(error)
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
    let cost = call.succeed(usage).cost;
    let route = call.route();
    Embeddings { provider: route.provider.clone(), model: route.model.name.clone(), cost, ..found }
}
