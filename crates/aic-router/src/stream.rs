use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use futures_util::stream::{BoxStream, StreamExt};
use serde::{Deserialize, Serialize};

use crate::{Error, Event, FinishReason, NanoUsd, Result, Usage};

/// An answer as it comes: events, of which [`Event::End`] is the last.
///
/// A stream that ends without `End` yields [`Error::Truncated`] in its place, so a cut answer can never be
/// taken for a short one. Nothing follows `End` or an error. Dropping the stream cancels the call behind it.
pub struct ChatStream {
    events: Option<BoxStream<'static, Result<Event>>>,
}

impl ChatStream {
    /// Wraps events, as from a cache; what is missing at the end is noticed.
    pub fn new(events: impl Stream<Item = Result<Event>> + Send + 'static) -> Self {
        Self { events: Some(events.boxed()) }
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
        let mut draft = Draft::default();
        while let Some(event) = self.next().await {
            draft.add(event?);
        }
        draft.finish()
    }
}

impl Stream for ChatStream {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(events) = &mut self.events else {
            return Poll::Ready(None);
        };
        let item = ready!(events.poll_next_unpin(cx)).unwrap_or(Err(Error::Truncated));
        if matches!(item, Err(_) | Ok(Event::End(_))) {
            self.events = None;
        }
        Poll::Ready(Some(item))
    }
}

impl fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatStream").field("ended", &self.events.is_none()).finish()
    }
}

/// A whole answer. Prints as its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Who answered.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Why it ended.
    pub finish: FinishReason,
    /// Tokens used, where the provider says.
    pub usage: Option<Usage>,
    /// What it cost, where usage and price are known.
    pub cost: Option<NanoUsd>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An answer while it is put together from its events.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    served_by: Option<(String, String)>,
    text: String,
    usage: Option<Usage>,
    cost: Option<NanoUsd>,
    finish: Option<FinishReason>,
}

impl Draft {
    /// Adds the next event.
    pub fn add(&mut self, event: Event) {
        match event {
            Event::Start { provider, model } => self.served_by = Some((provider, model)),
            Event::Text(piece) => self.text.push_str(&piece),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Cost(cost) => self.cost = Some(cost),
            Event::End(reason) => self.finish = Some(reason),
        }
    }

    /// The answer, once its end has been added.
    ///
    /// # Errors
    /// [`Error::Truncated`] without its end, [`Error::Protocol`] if it names no provider.
    pub fn finish(self) -> Result<Answer> {
        let finish = self.finish.ok_or(Error::Truncated)?;
        let (provider, model) = self.served_by.ok_or(Error::Protocol("it names no provider"))?;
        Ok(Answer { text: self.text, provider, model, finish, usage: self.usage, cost: self.cost })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn start() -> Result<Event> {
        Ok(Event::Start { provider: "p".into(), model: "m".into() })
    }

    fn text(piece: &str) -> Result<Event> {
        Ok(Event::Text(piece.into()))
    }

    #[tokio::test]
    async fn whole_stream_collects_into_its_answer() {
        let events = vec![start(), text("a"), text("b"), Ok(Event::End(FinishReason::Stop))];

        let answer = ChatStream::new(stream::iter(events)).collect().await.unwrap();

        assert_eq!((answer.to_string().as_str(), answer.usage), ("ab", None));
    }

    #[tokio::test]
    async fn stream_without_end_is_an_error_and_not_a_short_answer() {
        let result = ChatStream::new(stream::iter(vec![start(), text("a")])).collect().await;

        assert!(matches!(result, Err(Error::Truncated)));
    }

    #[tokio::test]
    async fn nothing_follows_the_end() {
        let mut stream =
            ChatStream::new(stream::iter(vec![Ok(Event::End(FinishReason::Stop)), text("late")]));

        assert!(matches!(stream.next().await, Some(Ok(Event::End(_)))));
        assert!(stream.next().await.is_none());
    }
}
