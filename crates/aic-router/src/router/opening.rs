//! One call, up to its first content.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tracing::{debug, warn};

use super::call::Call;
use super::choice::Leg;
use super::errand::Errand;
use super::route::Route;
use crate::{Attempt, ChatRequest, ErrorKind, Event, EventStream, ProviderError};

/// A call whose first content is there.
pub(super) struct Opened {
    pub(super) call: Call,
    /// The events up to the first content, which is the last of them.
    pub(super) head: Vec<Event>,
    pub(super) rest: EventStream,
}

/// Calls `route` and waits for its first content.
pub(super) async fn open(errand: &Arc<Errand>, leg: &Leg) -> Result<Opened, Attempt> {
    let (began, route) = (errand.now(), &leg.route);
    let (provider, model) = (&route.provider, &route.model.name);
    debug!(provider, model, "calling");
    match begin(errand, leg).await {
        Ok(opened) => Ok(opened),
        Err(error) => {
            warn!(provider, model, kind = %error.kind(), "attempt failed");
            Err(attempt(route, error, errand.now() - began))
        }
    }
}

async fn begin(errand: &Arc<Errand>, leg: &Leg) -> Result<Opened, ProviderError> {
    let mut call = Call::begin(&errand.router, &errand.demand, &leg.route, leg.work).await?;
    match first_content(errand, leg).await {
        Ok((head, rest)) => {
            call.has_content();
            Ok(Opened { call, head, rest })
        }
        Err(error) => {
            call.fail(error.kind());
            Err(error)
        }
    }
}

/// Until the first event one limit holds; after that the model is alive, if only thinking, and may be silent
/// as long as within an answer.
async fn first_content(errand: &Errand, leg: &Leg) -> Result<(Vec<Event>, EventStream), ProviderError> {
    let route = &leg.route;
    let limit = errand.first_content_limit(route.kind);
    let provider = errand.provider(route.provider_index);
    let request = marked(&errand.request, leg);
    let first = async {
        let mut events = provider.chat(&route.model.name, &request).await?;
        let event = events.next().await.ok_or_else(ProviderError::cut)??;
        Ok((event, events))
    };
    let (mut event, mut events) = within(limit, first).await?;
    let mut head = Vec::new();
    while !errand.is_content(&event) {
        head.push(event);
        event = within(errand.idle_limit(), next(&mut events)).await?;
    }
    head.push(event);
    Ok((head, events))
}

/// The request with its beginning marked for the prompt cache where that pays and the request leaves it open.
fn marked<'a>(request: &'a ChatRequest, leg: &Leg) -> Cow<'a, ChatRequest> {
    if request.prompt_cache.is_none() && leg.cache_pays {
        return Cow::Owned(request.clone().prompt_cache(true));
    }
    Cow::Borrowed(request)
}

async fn next(events: &mut EventStream) -> Result<Event, ProviderError> {
    events.next().await.ok_or_else(ProviderError::cut)?
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    if limit.is_zero() {
        return Err(silent(limit));
    }
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(silent(limit)))
}

pub(super) fn attempt(route: &Route, error: ProviderError, elapsed: Duration) -> Attempt {
    Attempt { provider: route.provider.clone(), model: route.model.name.clone(), error, elapsed }
}

fn silent(limit: Duration) -> ProviderError {
    ProviderError::new(ErrorKind::Timeout, format!("no content within {limit:.1?}"))
}
