//! An answer after its first content: passed on, timed, gone on with where it breaks off, and booked when it
//! ends.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};

use super::call::{Call, Spent};
use super::opening::Opened;
use super::resume;
use super::trip::Trip;
use crate::{ChatStream, Error, ErrorKind, Event, EventStream, FinishReason, ProviderError, Result, Usage};

pub(super) struct Body {
    trip: Trip,
    call: Call,
    ready: VecDeque<Event>,
    rest: EventStream,
    usage: Option<Usage>,
    told: Told,
}

/// What the caller has of an answer, as far as it is needed for going on with it.
#[derive(Default)]
struct Told {
    /// The text, while the answer may be resumed.
    text: Option<String>,
    /// Whether the next piece is the first after a break.
    resumed: bool,
    /// What the calls that broke off used and cost.
    spent: Option<Spent>,
}

impl Body {
    pub(super) fn new(trip: Trip, opened: Opened) -> Self {
        let told = Told { text: trip.errand().can_resume().then(String::new), ..Told::default() };
        let Opened { call, head, rest } = opened;
        let mut body = Self { trip, call, ready: VecDeque::new(), rest, usage: None, told };
        body.start(head);
        body
    }

    pub(super) fn into_stream(self) -> ChatStream {
        ChatStream::new(stream::unfold(self, |mut body| async move { Some((body.next().await, body)) }))
    }

    fn start(&mut self, head: Vec<Event>) {
        let route = self.call.route();
        let (provider, model) = (route.provider.clone(), route.model.name.clone());
        self.ready.push_back(Event::Start { provider, model });
        head.into_iter().for_each(|event| self.take(event));
    }

    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            match self.receive().await {
                Ok(event) => self.take(event),
                // Boxed, so that every other stream need not hold the room for it.
                Err(error) => Box::pin(self.go_on(error)).await?,
            }
        }
    }

    async fn receive(&mut self) -> Result<Event, ProviderError> {
        let idle = self.trip.errand().idle_limit();
        // An answer that always has something ready must not outlast its deadline.
        if idle.is_zero() {
            return Err(self.stalled());
        }
        let next = tokio::time::timeout(idle, self.rest.next());
        next.await.map_err(|_| self.stalled())?.ok_or_else(ProviderError::cut)?
    }

    /// Queues what the caller is to see. Usage waits for the end, where the last one is the true one.
    fn take(&mut self, event: Event) {
        self.call.received(&event);
        match event {
            Event::Text(text) => self.take_text(text),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::End(reason) => self.end(reason),
            Event::Thinking(_) | Event::ToolCallDelta(_) | Event::ToolCall(_) => {
                self.told.text = None;
                self.ready.push_back(event);
            }
            Event::Start { .. } | Event::Cost(_) => {}
        }
    }

    fn take_text(&mut self, mut text: String) {
        if let Some(told) = &mut self.told.text {
            if std::mem::take(&mut self.told.resumed) {
                text = resume::without_blanks(told, &text).to_owned();
            }
            told.push_str(&text);
        }
        self.ready.push_back(Event::Text(text));
    }

    fn end(&mut self, reason: FinishReason) {
        let mut spent = self.call.succeed(self.usage);
        if let Some(before) = self.told.spent {
            spent = before + spent;
        }
        self.ready.extend(spent.usage.map(Event::Usage));
        self.ready.extend(spent.cost.map(Event::Cost));
        self.ready.push_back(Event::End(reason));
    }

    /// Takes the rest of a broken answer from another call, where that may be done.
    async fn go_on(&mut self, source: ProviderError) -> Result<()> {
        let spent = self.call.fail(source.kind());
        if let (Some(told), true) = (&self.told.text, resume::is_worthwhile(source.kind()))
            && let Some(opened) = self.trip.resume(told).await
        {
            self.told.spent = Some(self.told.spent.map_or(spent, |before| before + spent));
            self.replace(opened);
            return Ok(());
        }
        let route = self.call.route();
        Err(Error::Interrupted { provider: route.provider.clone(), model: route.model.name.clone(), source })
    }

    fn replace(&mut self, opened: Opened) {
        let Opened { call, head, rest } = opened;
        (self.call, self.rest, self.usage) = (call, rest, None);
        self.told.resumed = true;
        self.start(head);
    }

    fn stalled(&self) -> ProviderError {
        let idle = self.trip.errand().router.settings.idle;
        let late = self.trip.errand().time_left().is_zero();
        let message =
            if late { "the request's deadline passed".into() } else { format!("silent for {idle:.1?}") };
        ProviderError::new(ErrorKind::Timeout, message)
    }
}
