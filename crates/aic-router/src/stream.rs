use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use futures_util::stream::{BoxStream, StreamExt};
use serde::{Deserialize, Serialize};

use crate::message::text_of;
use crate::{Error, Event, FinishReason, Message, NanoUsd, Part, Result, Role, Thinking, ToolCall, Usage};

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
    /// What the model thought, said and called, in order.
    pub parts: Vec<Part>,
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

impl Answer {
    /// The text, without thoughts and tool calls.
    pub fn text(&self) -> Cow<'_, str> {
        text_of(&self.parts)
    }

    /// The tools the model wants called. Answer each with a [`ToolResult`](crate::ToolResult).
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None })
    }

    /// The answer as a turn of the conversation, for going on from it: with thoughts and tool calls.
    pub fn into_message(self) -> Message {
        Message::new(Role::Assistant, self.parts)
    }

    /// The answer as the events it could have come in, as for an answer from a cache.
    pub fn into_events(self) -> Vec<Event> {
        let Self { parts, provider, model, finish, usage, cost } = self;
        let mut events = vec![Event::Start { provider, model }];
        events.extend(parts.into_iter().filter_map(event));
        events.extend(usage.map(Event::Usage));
        events.extend(cost.map(Event::Cost));
        events.push(Event::End(finish));
        events
    }
}

/// A part as a model says it; what only a person or a program can say is none.
fn event(part: Part) -> Option<Event> {
    Some(match part {
        Part::Text(text) => Event::Text(text),
        Part::Thinking(thinking) => Event::Thinking(thinking),
        Part::ToolCall(call) => Event::ToolCall(call),
        Part::Image(_) | Part::Audio(_) | Part::ToolResult(_) => return None,
    })
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// An answer while it is put together from its events.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    served_by: Option<(String, String)>,
    parts: Vec<Part>,
    usage: Option<Usage>,
    cost: Option<NanoUsd>,
    finish: Option<FinishReason>,
}

impl Draft {
    /// Adds the next event.
    pub fn add(&mut self, event: Event) {
        match event {
            Event::Start { provider, model } => self.served_by = Some((provider, model)),
            Event::Text(piece) => self.text(piece),
            Event::Thinking(piece) => self.thinking(piece),
            Event::ToolCall(call) => self.parts.push(Part::ToolCall(call)),
            Event::ToolCallDelta(_) => {}
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Cost(cost) => self.cost = Some(cost),
            Event::End(reason) => self.finish = Some(reason),
        }
    }

    fn text(&mut self, piece: String) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push_str(&piece),
            _ => self.parts.push(Part::Text(piece)),
        }
    }

    /// A piece belongs to the thought before it, until that has its echo.
    fn thinking(&mut self, piece: Thinking) {
        match self.parts.last_mut() {
            Some(Part::Thinking(thought)) if thought.echo.is_none() => {
                thought.text.push_str(&piece.text);
                thought.echo = piece.echo;
            }
            _ => self.parts.push(Part::Thinking(piece)),
        }
    }

    /// The answer, once its end has been added.
    ///
    /// # Errors
    /// [`Error::Truncated`] without its end, [`Error::Protocol`] if it names no provider.
    pub fn finish(self) -> Result<Answer> {
        let finish = self.finish.ok_or(Error::Truncated)?;
        let (provider, model) = self.served_by.ok_or(Error::Protocol("it names no provider"))?;
        Ok(Answer { parts: self.parts, provider, model, finish, usage: self.usage, cost: self.cost })
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

    #[test]
    fn pieces_are_joined_and_keep_their_order() {
        let thought = |text: &str, echo| Event::Thinking(Thinking { text: text.into(), echo });
        let echo = crate::Echo::new("anthropic", "signature");
        let call = ToolCall::new("1", "look", "{}");
        let mut draft = Draft::default();
        let events = [
            start().unwrap(),
            thought("a", None),
            thought("b", Some(echo.clone())),
            thought("c", None),
            Event::Text("d".into()),
            Event::Text("e".into()),
            Event::ToolCall(call.clone()),
            Event::End(FinishReason::ToolCalls),
        ];

        events.into_iter().for_each(|event| draft.add(event));

        let answer = draft.finish().unwrap();
        let [first, second] = [("ab", Some(echo)), ("c", None)]
            .map(|(text, echo)| Part::Thinking(Thinking { text: text.into(), echo }));
        assert_eq!(answer.parts, [first, second, Part::Text("de".into()), Part::ToolCall(call)]);
        let mut again = Draft::default();
        answer.clone().into_events().into_iter().for_each(|event| again.add(event));
        assert_eq!(again.finish().unwrap().parts[0], answer.parts[0]);
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
