use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Model;
use crate::Result;
use crate::serve::{Answer, Event};

/// One token of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Piece {
    /// The text that became certain with this token. Whole characters; empty while a character or a possible stop text is
    /// unfinished.
    pub text: String,
    /// The token.
    pub token: u32,
    /// Natural logarithm of the probability the model gave the token.
    pub logprob: f32,
    /// When it came, counted from the call of [`Model::generate`].
    pub at: Duration,
}

/// Tokens that went in and came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer so far; a token that ends it is not counted.
    pub output_tokens: usize,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model said it was done, or a stop text came.
    Stop,
    /// `max_tokens` or the context was reached.
    Length,
}

/// Where the time of a generation went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Timings {
    /// Running the prompt, from the turn of the request to its first token; `None` until the answer is complete.
    pub prefill: Option<Duration>,
    /// From the call of [`Model::generate`] to the first token; `None` before it.
    pub first_token: Option<Duration>,
    /// Computing tokens after the first.
    pub decode: Duration,
    /// Tokens per second after the first; `None` before the second.
    pub tokens_per_second: Option<f64>,
}

/// An answer being generated: an iterator of [`Piece`]s that waits for the next, and [`poll_next`](Self::poll_next) for async
/// code.
///
/// The model works on it whether it is read or not. Ends after the last piece, or after the first error. Dropping it ends the
/// work at the next token and gives its memory back.
pub struct Generation {
    answer: Answer,
    usage: Usage,
    finish: Option<FinishReason>,
    timings: Timings,
    /// Keeps the engine alive.
    model: Model,
}

impl Generation {
    pub(super) fn new(model: Model, answer: Answer, prompt_tokens: usize) -> Self {
        Self {
            answer,
            usage: Usage { prompt_tokens, ..Usage::default() },
            finish: None,
            timings: Timings::default(),
            model,
        }
    }

    /// Tokens so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Why the answer ended; `None` while it has not, or if it failed.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }

    /// Times so far.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// Waits for the rest and returns its text.
    ///
    /// # Errors
    /// The first error of a piece.
    pub fn text(&mut self) -> Result<String> {
        self.by_ref().map(|piece| piece.map(|piece| piece.text)).collect()
    }

    /// The next piece if it is there; otherwise wakes the task once it is, or once there will be none. `None` after the last.
    ///
    /// The bridge to async code: `std::future::poll_fn(|context| generation.poll_next(context)).await`.
    ///
    /// # Cancel safety
    /// No piece is lost when such a future is dropped.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece>>> {
        match self.answer.poll_next(context) {
            Poll::Ready(event) => Poll::Ready(self.take(event)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Notes what an event says; the piece in it.
    fn take(&mut self, event: Option<Result<Event>>) -> Option<Result<Piece>> {
        match event? {
            Ok(Event::Token { piece, at }) => {
                self.note(at);
                Some(Ok(piece))
            }
            Ok(Event::Finish { reason, usage, timings }) => {
                (self.finish, self.usage, self.timings) = (Some(reason), usage, timings);
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// A token came; the last event has the exact sums.
    fn note(&mut self, at: Duration) {
        self.usage.output_tokens += 1;
        let first = *self.timings.first_token.get_or_insert(at);
        self.timings.decode = at.saturating_sub(first);
        let (later, seconds) = (self.usage.output_tokens - 1, self.timings.decode.as_secs_f64());
        self.timings.tokens_per_second = (later > 0 && seconds > 0.0).then(|| later as f64 / seconds);
    }
}

impl Iterator for Generation {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.answer.next();
        self.take(event)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("model", &self.model)
            .field("usage", &self.usage)
            .field("finish", &self.finish)
            .field("timings", &self.timings)
            .finish()
    }
}
