use std::collections::VecDeque;
use std::time::Instant;

use super::request::Request;
use super::{ServeOptions, ServeStatistics};
use crate::{Error, Result};

/// Requests that have not been started, in the order they came.
pub(super) struct Queue {
    waiting: VecDeque<Request>,
    limit: usize,
    /// Most tokens of prompt and answer.
    capacity: usize,
    closed: bool,
    refused: u64,
    purged: u64,
}

impl Queue {
    /// A queue for a model that holds `capacity` tokens.
    pub(super) fn new(options: &ServeOptions, capacity: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            limit: options.waiting,
            capacity,
            closed: false,
            refused: 0,
            purged: 0,
        }
    }

    /// Takes `request` in.
    ///
    /// # Errors
    /// [`Error::Empty`] without a prompt, [`Error::PromptTooLong`], [`Error::QueueFull`], and [`Error::Stopped`] once closed.
    pub(super) fn submit(&mut self, mut request: Request, now: Instant) -> Result<()> {
        if self.closed {
            return Err(stopped());
        }
        if request.prompt == 0 {
            return Err(Error::Empty { what: "prompt" });
        }
        if request.prompt >= self.capacity {
            let limit = self.capacity.saturating_sub(1);
            return Err(Error::PromptTooLong { tokens: request.prompt, limit });
        }
        self.make_room(now)?;
        request.limit = request.limit.min(self.capacity);
        self.waiting.push_back(request);
        Ok(())
    }

    /// Ends what has waited in vain.
    pub(super) fn purge(&mut self, now: Instant) {
        if !self.waiting.iter().any(|request| request.is_stale(now)) {
            return;
        }
        for mut request in std::mem::take(&mut self.waiting) {
            if request.is_stale(now) {
                self.purged += 1;
                let waited = now.saturating_duration_since(request.submitted);
                request.speaker.fail(Error::Expired { waited });
            } else {
                self.waiting.push_back(request);
            }
        }
    }

    /// The request whose turn it is.
    pub(super) fn front(&mut self) -> Option<&mut Request> {
        self.waiting.front_mut()
    }

    /// Takes it out.
    pub(super) fn pop(&mut self) -> Option<Request> {
        self.waiting.pop_front()
    }

    /// Whether nobody waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nothing is taken in any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes nothing in from now on.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Closes, and ends whatever waits.
    pub(super) fn abandon(&mut self) {
        self.close();
        self.waiting.drain(..).for_each(|mut request| request.speaker.fail(stopped()));
    }

    /// Adds what the queue knows.
    pub(super) fn report(&self, statistics: &mut ServeStatistics) {
        statistics.waiting += self.waiting.len();
        statistics.refused = self.refused;
        statistics.purged = self.purged;
    }

    fn make_room(&mut self, now: Instant) -> Result<()> {
        if self.waiting.len() >= self.limit {
            self.purge(now);
        }
        if self.waiting.len() < self.limit {
            return Ok(());
        }
        self.refused += 1;
        Err(Error::QueueFull { waiting: self.waiting.len(), limit: self.limit })
    }
}

/// What requests end with when the engine does.
pub(super) fn stopped() -> Error {
    Error::Stopped { what: "the engine" }
}
