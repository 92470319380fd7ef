use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use aic_cache::{Hit, LeadGuard};
use aic_router::{Answer as Kept, Draft, Event, NanoUsd, Usage};
use futures_util::Stream;
use futures_util::stream::{self, StreamExt};

use crate::{Answer, Origin, Result};

/// An answer as it comes: events, of which [`Event::End`] is the last.
///
/// A stream that breaks off ends with an error, never as a short answer. Dropping it cancels the call behind it, and
/// nothing is kept in the cache.
#[derive(Debug)]
pub struct ChatStream {
    events: aic_router::ChatStream,
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

    fn new(events: aic_router::ChatStream, origin: Origin, asked: Instant) -> Self {
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

    /// An answer a model is making; it is kept once its end has come.
    pub(crate) fn live(
        events: aic_router::ChatStream,
        keep: Option<LeadGuard<Kept>>,
        asked: Instant,
    ) -> Self {
        let events = match keep {
            Some(keep) => aic_router::ChatStream::new(kept_at_the_end(events, keep)),
            None => events,
        };
        Self::new(events, Origin::Model, asked)
    }

    /// An answer kept from before, told as a stream.
    pub(crate) fn kept(hit: Hit<Kept>, asked: Instant) -> Self {
        let origin = Origin::Cache { tier: hit.tier, age: hit.age, saved: hit.value.cost };
        let mut kept = hit.value;
        (kept.usage, kept.cost) = (Some(Usage::default()), Some(NanoUsd::default()));
        let events = kept.into_events().into_iter().map(Ok);
        let events = aic_router::ChatStream::new(stream::iter(events));
        Self::new(events, origin, asked)
    }
}

impl Stream for ChatStream {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = ready!(self.events.poll_next_unpin(cx));
        if let Some(Ok(event)) = &event {
            self.note(event);
        }
        Poll::Ready(event.map(|event| event.map_err(Into::into)))
    }
}

/// Passes events on, puts the answer together meanwhile, and hands it to the cache just before its end is told.
fn kept_at_the_end(
    events: aic_router::ChatStream,
    keep: LeadGuard<Kept>,
) -> impl Stream<Item = aic_router::Result<Event>> + Send {
    stream::unfold((events, Draft::default(), Some(keep)), |(mut events, mut draft, mut keep)| async move {
        let event = events.next().await?;
        if let Ok(event) = &event {
            draft.add(event.clone());
        }
        if let Some(keep) = keep.take_if(|_| matches!(event, Ok(Event::End(_)))) {
            store(keep, std::mem::take(&mut draft)).await;
        }
        Some((event, (events, draft, keep)))
    })
}

/// Only an answer that ended by itself is for others; one that was cut at its greatest length is kept too, because
/// the greatest length is part of the question. What a provider withheld is not.
async fn store(keep: LeadGuard<Kept>, draft: Draft) {
    use aic_router::FinishReason::{Length, Stop};
    match draft.finish() {
        Ok(answer) if matches!(answer.finish, Stop | Length) => {
            if let Err(error) = keep.finish(&answer).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "answer not kept");
            }
        }
        _ => keep.discard(),
    }
}
