use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use aic_cache::{Hit, Tee};
use aic_router::{Answer as Kept, Draft, Event, NanoUsd, Usage};
use futures_util::Stream;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::keeping::Piece;
use crate::{Answer, Error, Origin, Result};

/// An answer as it comes: events, of which [`Event::End`] is the last.
///
/// A stream that breaks off ends with an error, never as a short answer. Dropping it cancels the call behind it, and
/// nothing is kept in the cache, unless another caller is reading the same answer.
pub struct ChatStream {
    events: BoxStream<'static, Result<Event>>,
    origin: Origin,
    asked: Instant,
    draft: Draft,
    first_text: Option<Duration>,
    ended: Option<Duration>,
}

impl ChatStream {
    /// Where the answer comes from; known before the first event.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The next event, or `None` after the last.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<Event>> {
        StreamExt::next(self).await
    }

    /// Waits for the whole answer.
    ///
    /// # Errors
    /// The first error of the stream; a part of an answer is never returned.
    pub async fn collect(mut self) -> Result<Answer> {
        while let Some(event) = self.next().await {
            event?;
        }
        self.answer()
    }

    /// The whole answer, once its last event has come.
    ///
    /// # Errors
    /// [`aic_router::Error::Truncated`] before that.
    pub fn answer(self) -> Result<Answer> {
        let whole = self.draft.finish()?;
        let elapsed = self.ended.unwrap_or_else(|| self.asked.elapsed());
        Ok(Answer {
            parts: whole.parts,
            provider: whole.provider,
            model: whole.model,
            finish: whole.finish,
            usage: whole.usage,
            cost: whole.cost,
            origin: self.origin,
            first_text: self.first_text.unwrap_or(elapsed),
            elapsed,
        })
    }

    fn new(
        events: impl Stream<Item = Result<Event>> + Send + 'static,
        origin: Origin,
        asked: Instant,
    ) -> Self {
        let events = events.boxed();
        Self { events, origin, asked, draft: Draft::default(), first_text: None, ended: None }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Text(_) => self.first_text = self.first_text.or_else(|| Some(self.asked.elapsed())),
            Event::End(_) => self.ended = Some(self.asked.elapsed()),
            _ => {}
        }
        self.draft.add(event.clone());
    }

    /// An answer a model is making for this caller alone.
    pub(crate) fn own(events: aic_router::ChatStream, asked: Instant) -> Self {
        Self::new(events.map_err(Into::into), Origin::Model, asked)
    }

    /// An answer a model is making for this caller, and perhaps for others.
    pub(crate) fn live(events: Tee<Piece>, asked: Instant) -> Self {
        Self::new(events.map_err(Error::Router), Origin::Model, asked)
    }

    /// An answer a model is making for another caller.
    pub(crate) fn followed(events: Tee<Piece>, asked: Instant) -> Self {
        let origin = Origin::Cache { tier: "coalesced", age: Duration::ZERO, saved: None };
        Self::new(events.map_ok(paid_by_another).map_err(Error::Router), origin, asked)
    }

    /// An answer kept from before, told as a stream.
    pub(crate) fn kept(hit: Hit<Kept>, asked: Instant) -> Self {
        let origin = Origin::Cache { tier: hit.tier, age: hit.age, saved: hit.value.cost };
        let mut kept = hit.value;
        (kept.usage, kept.cost) = (Some(Usage::default()), Some(NanoUsd::default()));
        Self::new(stream::iter(kept.into_events().into_iter().map(Ok)), origin, asked)
    }
}

/// The same event for a caller who pays nothing for it.
fn paid_by_another(event: Event) -> Event {
    match event {
        Event::Usage(_) => Event::Usage(Usage::default()),
        Event::Cost(_) => Event::Cost(NanoUsd::default()),
        other => other,
    }
}

impl fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatStream").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Stream for ChatStream {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = ready!(self.events.poll_next_unpin(cx));
        if let Some(Ok(event)) = &event {
            self.note(event);
        }
        Poll::Ready(event)
    }
}
