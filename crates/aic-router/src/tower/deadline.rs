use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::time::{Instant, timeout_at};
use tower_layer::Layer;
use tower_service::Service;

use super::head::begun;
use super::{Answering, take_ready};
use crate::{ChatRequest, ChatStream, Error, ErrorKind, Event, ProviderError, Result};

/// A deadline beyond this is as good as none, and stays within what the clock can count.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Bounds each request as a whole, from the call to the stream's end.
///
/// A request that names a shorter deadline keeps it; the service inside is told the one that holds.
///
/// # Errors
/// [`Error::DeadlineExceeded`] before the first content, [`Error::Interrupted`] after it. The call inside is
/// dropped, which cancels it.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer {
    limit: Duration,
}

impl DeadlineLayer {
    /// At most so long.
    pub fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, limit: self.limit }
    }
}

/// A service under a [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    limit: Duration,
}

impl<S> Service<ChatRequest> for DeadlineService<S>
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

    fn call(&mut self, mut request: ChatRequest) -> Answering {
        let limit = request.deadline.unwrap_or(self.limit).min(self.limit).min(LONGEST);
        let until = Instant::now() + limit;
        request.deadline = Some(limit);
        let mut inner = take_ready(&mut self.inner);
        Box::pin(async move {
            let answer = async { begun(inner.call(request).await.map_err(Into::into)?).await };
            match timeout_at(until, answer).await {
                Ok(answer) => Ok(ChatStream::new(bounded(answer?, limit, until))),
                Err(_) => Err(late(limit, None)),
            }
        })
    }
}

/// What is left of an answer while it is passed on.
struct Rest {
    answer: ChatStream,
    limit: Duration,
    until: Instant,
    served_by: Option<(String, String)>,
}

fn bounded(answer: ChatStream, limit: Duration, until: Instant) -> impl Stream<Item = Result<Event>> {
    let rest = Rest { answer, limit, until, served_by: None };
    stream::unfold(rest, |mut rest| async move { Some((rest.next().await?, rest)) })
}

impl Rest {
    async fn next(&mut self) -> Option<Result<Event>> {
        let Ok(event) = timeout_at(self.until, self.answer.next()).await else {
            return Some(Err(late(self.limit, self.served_by.take())));
        };
        if let Some(Ok(Event::Start { provider, model })) = &event {
            self.served_by = Some((provider.clone(), model.clone()));
        }
        event
    }
}

/// What a passed deadline is: an answer cut off, or none at all where nobody has begun one.
fn late(limit: Duration, served_by: Option<(String, String)>) -> Error {
    match served_by {
        Some((provider, model)) => {
            let source =
                ProviderError::new(ErrorKind::Timeout, format!("the deadline of {limit:.1?} passed"));
            Error::Interrupted { provider, model, source }
        }
        None => Error::DeadlineExceeded { limit, attempts: vec![] },
    }
}
