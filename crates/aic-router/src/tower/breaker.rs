use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use tower_layer::Layer;
use tower_service::Service;

use super::{Answering, take_ready};
use crate::breaker::{BreakerConfig, Verdict};
use crate::gate::{Gate, Permit};
use crate::{ChatRequest, ChatStream, Error, ErrorKind, Event, ProviderError, Result, SystemClock};

/// Leaves a service alone for a while that keeps failing.
///
/// The same breaker as the router's: it opens after a number of failures in a row, or when fewer than half of
/// at least 20 calls of the last 30 s went well, where being told to slow down counts as a call that did not.
/// After a pause one call goes through as a probe. A call counts when its stream ends; one that is dropped
/// before says nothing about the service and gives its place back.
///
/// Each service the layer makes has its own breaker, which the service's clones share.
///
/// # Errors
/// [`Error::HeldBack`] while the service is left alone, at once.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct BreakerLayer {
    config: BreakerConfig,
}

impl BreakerLayer {
    /// A breaker with the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many failures in a row open it. Defaults to 5.
    pub fn failures(mut self, failures: NonZeroU32) -> Self {
        self.config.threshold = failures.get();
        self
    }

    /// The pause before a probe; doubles with each probe that fails, up to twelve times this long. Defaults to
    /// 10 s.
    pub fn cooldown(mut self, cooldown: Duration) -> Self {
        self.config = self.config.cooldown(cooldown);
        self
    }
}

impl<S> Layer<S> for BreakerLayer {
    type Service = BreakerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService { inner, gate: Gate::new(self.config, Arc::new(SystemClock)) }
    }
}

/// A service under a [`BreakerLayer`].
#[derive(Clone, Debug)]
pub struct BreakerService<S> {
    inner: S,
    gate: Gate,
}

impl<S> Service<ChatRequest> for BreakerService<S>
where
    S: Service<ChatRequest, Response = ChatStream> + Clone + Send + 'static,
    S::Error: Into<Error>,
    S::Future: Send + 'static,
{
    type Response = ChatStream;
    type Error = Error;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: ChatRequest) -> Answering {
        let permit = match self.gate.pass() {
            Ok(permit) => permit,
            Err(wait) => return Box::pin(async move { Err(shut_off(wait)) }),
        };
        let mut inner = take_ready(&mut self.inner);
        Box::pin(async move {
            match inner.call(request).await.map_err(Into::into) {
                Ok(answer) => Ok(watched(answer, permit)),
                Err(error) => {
                    report(permit, &error);
                    Err(error)
                }
            }
        })
    }
}

/// Holds the permit until the answer's end.
fn watched(answer: ChatStream, permit: Permit) -> ChatStream {
    let mut permit = Some(permit);
    ChatStream::new(answer.inspect(move |event| match event {
        Ok(Event::End(_)) => permit.take().into_iter().for_each(|permit| permit.record(Verdict::Well, None)),
        Err(error) => permit.take().into_iter().for_each(|permit| report(permit, error)),
        Ok(_) => {}
    }))
}

fn report(permit: Permit, error: &Error) {
    permit.record(verdict(error), error.kind().and_then(ErrorKind::retry_after));
}

/// What an error says about the service. One that never asked it says nothing.
fn verdict(error: &Error) -> Verdict {
    match error {
        Error::HeldBack { .. } | Error::NoProvider | Error::NoCandidate(_) | Error::Config(_) => {
            Verdict::Unknown
        }
        error => error.kind().map_or(Verdict::Failed, Verdict::from),
    }
}

fn shut_off(wait: Option<Duration>) -> Error {
    let kind = ErrorKind::Overloaded { retry_after: wait };
    Error::HeldBack { source: ProviderError::new(kind, "shut off after failing too often") }
}
