use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use tower_service::Service;
use tracing::debug;

use super::head::begun;
use super::{Answering, take_ready};
use crate::backoff::Backoff;
use crate::{Attempt, ChatRequest, ChatStream, Error, ErrorKind, Result};

/// Tries again what failed before the first content and may succeed later ([`Error::is_retryable`]).
///
/// The pause is what the provider asks for, else random below a bound that doubles from half a second to
/// eight. No pause is begun that is longer than the patience, or than what the request's deadline leaves.
///
/// # Errors
/// The last error; one with attempts has those of all tries.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RetryLayer {
    retries: u32,
    patience: Duration,
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self { retries: 2, patience: Duration::from_secs(30) }
    }
}

impl RetryLayer {
    /// Retries with the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many retries one request has on top of its first try. Defaults to 2.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The longest pause before a retry. Defaults to 30 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = RetryService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService { inner, settings: *self }
    }
}

/// A service under a [`RetryLayer`].
#[derive(Clone, Debug)]
pub struct RetryService<S> {
    inner: S,
    settings: RetryLayer,
}

impl<S> Service<ChatRequest> for RetryService<S>
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
        let mut inner = take_ready(&mut self.inner);
        let mut tries = Tries::new(self.settings, &request);
        Box::pin(async move {
            loop {
                let error = match once(&mut inner, request.clone()).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                let pause = tries.pause(error)?;
                debug!(pause_ms = pause.as_millis() as u64, "trying again");
                sleep(pause).await;
            }
        })
    }
}

/// One try, once the service is ready for it.
async fn once<S>(service: &mut S, request: ChatRequest) -> Result<ChatStream>
where
    S: Service<ChatRequest, Response = ChatStream>,
    S::Error: Into<Error>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
    begun(service.call(request).await.map_err(Into::into)?).await
}

/// What one request has left to try with, and what became of its tries.
struct Tries {
    left: u32,
    patience: Duration,
    until: Option<Instant>,
    backoff: Backoff,
    attempts: Vec<Attempt>,
}

impl Tries {
    fn new(settings: RetryLayer, request: &ChatRequest) -> Self {
        let until = request.deadline.and_then(|limit| Instant::now().checked_add(limit));
        let RetryLayer { retries, patience } = settings;
        Self { left: retries, patience, until, backoff: Backoff::new(), attempts: vec![] }
    }

    /// How long to pause before the next try, or the error to end with.
    fn pause(&mut self, error: Error) -> Result<Duration> {
        let retryable = error.is_retryable() && self.left > 0;
        let asked = error.kind().and_then(ErrorKind::retry_after);
        let error = self.note(error);
        let pause = asked.unwrap_or_else(|| self.backoff.pause());
        let late = self.until.is_some_and(|until| pause >= until.saturating_duration_since(Instant::now()));
        if !retryable || late || pause > self.patience {
            return Err(error);
        }
        self.left -= 1;
        Ok(pause)
    }

    /// Puts the attempts of earlier tries before the error's own.
    fn note(&mut self, mut error: Error) -> Error {
        if let Error::Failed { attempts } | Error::DeadlineExceeded { attempts, .. } = &mut error {
            self.attempts.append(attempts);
            attempts.clone_from(&self.attempts);
        }
        error
    }
}
