//! An answer after its first content: passed on, timed, and booked when it ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::attempt::cut;
use super::call::Call;
use crate::{ChatStream, Error, ErrorKind, Event, EventStream, FinishReason, ProviderError, Result, Usage};

pub(super) struct Body {
    call: Call,
    ready: VecDeque<Event>,
    rest: EventStream,
    usage: Option<Usage>,
    idle: Duration,
    deadline: Instant,
}

impl Body {
    /// An answer of which `head` is already there and has content in it.
    pub(super) fn new(
        call: Call,
        head: Vec<Event>,
        rest: EventStream,
        idle: Duration,
        deadline: Instant,
    ) -> Self {
        let route = call.route();
        let start = Event::Start { provider: route.provider.clone(), model: route.model.name.clone() };
        let mut body = Self { call, ready: VecDeque::from([start]), rest, usage: None, idle, deadline };
        head.into_iter().for_each(|event| body.take(event));
        body
    }

    pub(super) fn into_stream(self) -> ChatStream {
        ChatStream::new(stream::unfold(self, |mut body| async move { Some((body.next().await, body)) }))
    }

    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let event = self.receive().await.map_err(|error| self.broke_off(error))?;
            self.take(event);
        }
    }

    async fn receive(&mut self) -> Result<Event, ProviderError> {
        let left = self.deadline.saturating_duration_since(self.call.now());
        let next = tokio::time::timeout(left.min(self.idle), self.rest.next());
        next.await.map_err(|_| stalled(self.idle, left))?.ok_or_else(cut)?
    }

    /// Queues what the caller is to see. Usage waits for the end, where the last one is the true one.
    fn take(&mut self, event: Event) {
        match event {
            Event::Text(_) | Event::Thinking(_) | Event::ToolCallDelta(_) | Event::ToolCall(_) => {
                self.ready.push_back(event);
            }
            Event::Usage(usage) => self.usage = Some(usage),
            Event::End(reason) => self.end(reason),
            Event::Start { .. } | Event::Cost(_) => {}
        }
    }

    fn end(&mut self, reason: FinishReason) {
        let cost = self.call.succeed(self.usage);
        self.ready.extend(self.usage.map(Event::Usage));
        self.ready.extend(cost.map(Event::Cost));
        self.ready.push_back(Event::End(reason));
    }

    fn broke_off(&mut self, source: ProviderError) -> Error {
        self.call.fail(source.kind());
        let route = self.call.route();
        Error::Interrupted { provider: route.provider.clone(), model: route.model.name.clone(), source }
    }
}

fn stalled(idle: Duration, left: Duration) -> ProviderError {
    let message =
        if left < idle { "the request's deadline passed".into() } else { format!("silent for {idle:.1?}") };
    ProviderError::new(ErrorKind::Timeout, message)
}
