use std::time::Instant;

use super::answer::{Event, Sender};
use super::request::Speaker;
use crate::engine::Voice;
use crate::{Error, Piece, Result, Timings, Usage};

/// Speaks with a [`Voice`], and sends what it says to an [`Answer`](super::Answer) with the times.
pub(super) struct Reply {
    voice: Voice,
    sender: Sender,
    usage: Usage,
    submitted: Instant,
    started: Option<Instant>,
    first: Option<Instant>,
    /// Choices after the first.
    later: usize,
}

impl Reply {
    pub(super) fn new(voice: Voice, sender: Sender, prompt_tokens: usize, submitted: Instant) -> Self {
        let usage = Usage { prompt_tokens, output_tokens: 0 };
        Self { voice, sender, usage, submitted, started: None, first: None, later: 0 }
    }

    fn timings(&self, now: Instant) -> Timings {
        let decode = self.first.map(|first| now.saturating_duration_since(first)).unwrap_or_default();
        let later = Some(self.later as f64 / decode.as_secs_f64());
        Timings {
            prefill: self
                .first
                .zip(self.started)
                .map(|(first, started)| first.saturating_duration_since(started)),
            first_token: self.first.map(|first| first.saturating_duration_since(self.submitted)),
            decode,
            tokens_per_second: later.filter(|_| self.later > 0 && !decode.is_zero()),
        }
    }
}

impl Speaker for Reply {
    fn started(&mut self, now: Instant) {
        self.started.get_or_insert(now);
    }

    fn next(&mut self, logits: Vec<f32>, last: bool, now: Instant) -> Result<Option<u32>> {
        let spoken = self.voice.next(logits, last)?;
        self.later += usize::from(self.first.is_some());
        self.first.get_or_insert(now);
        self.usage.output_tokens += usize::from(spoken.token.is_some());
        if let Some(piece) = spoken.piece {
            let at = now.saturating_duration_since(self.submitted);
            self.sender.send(Ok(Event::Token { piece: Piece { at, ..piece }, at }));
        }
        if let Some(reason) = spoken.finish {
            let (usage, timings) = (self.usage, self.timings(now));
            self.sender.send(Ok(Event::Finish { reason, usage, timings }));
            return Ok(None);
        }
        Ok(spoken.token)
    }

    fn wanted(&self) -> bool {
        self.sender.is_wanted()
    }

    fn fail(&mut self, error: Error) {
        self.sender.send(Err(error));
    }
}
