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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::answer::{Answer, channel};
    use super::*;
    use crate::tokenizer::tests::{tiny, tokenizer};
    use crate::{FinishReason, GenerateOptions};

    /// A greedy reply to a prompt of three tokens, submitted at `submitted`.
    fn reply(stop: &[&str], submitted: Instant) -> (Reply, Answer) {
        let stop = stop.iter().map(|stop| (*stop).to_owned()).collect();
        let options = GenerateOptions { temperature: 0.0, stop, ..GenerateOptions::default() };
        let voice = Voice::new(Arc::new(tokenizer(&tiny())), &options, &[1, 2, 3], None);
        let (sender, answer) = channel();
        (Reply::new(voice, sender, 3, submitted), answer)
    }

    /// Logits of a model that is certain of the token written as `text`.
    fn certain(text: &str) -> Vec<f32> {
        let token = tokenizer(&tiny()).encode(text).unwrap()[0];
        (0..264).map(|other| if other == token { 0.0 } else { -100.0 }).collect()
    }

    fn summary(answer: Answer) -> (FinishReason, Usage, Timings) {
        match answer.last() {
            Some(Ok(Event::Finish { reason, usage, timings })) => (reason, usage, timings),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn times_count_from_the_submission_the_first_start_and_the_first_token() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let (mut reply, answer) = reply(&[], zero);

        reply.started(at(1));
        reply.next(certain("a"), false, at(4)).unwrap();
        reply.started(at(5));
        reply.next(certain("b"), false, at(8)).unwrap();
        reply.next(certain("c"), true, at(10)).unwrap();

        let (reason, usage, timings) = summary(answer);
        assert_eq!((reason, usage.output_tokens), (FinishReason::Length, 3));
        assert_eq!(timings.prefill, Some(Duration::from_secs(3)));
        assert_eq!(timings.first_token, Some(Duration::from_secs(4)));
        assert_eq!(timings.decode, Duration::from_secs(6));
        assert_eq!(timings.tokens_per_second, Some(2.0 / 6.0));
    }

    #[test]
    fn stop_text_and_end_token_end_the_reply() {
        let now = Instant::now();
        let (mut stopped, answer) = reply(&["b"], now);
        assert!(stopped.next(certain("a"), false, now).unwrap().is_some());
        assert_eq!(stopped.next(certain("b"), false, now).unwrap(), None);
        assert_eq!(summary(answer).0, FinishReason::Stop);

        let (mut ended, answer) = reply(&[], now);
        assert!(ended.next(certain("a"), false, now).unwrap().is_some());
        assert_eq!(ended.next(certain("<|im_end|>"), false, now).unwrap(), None);
        let (reason, usage, _) = summary(answer);
        assert_eq!((reason, usage), (FinishReason::Stop, Usage { prompt_tokens: 3, output_tokens: 1 }));
    }

    #[test]
    fn damaged_logits_are_an_error() {
        let now = Instant::now();
        let (mut reply, _answer) = reply(&[], now);
        assert!(reply.next(vec![f32::NAN; 264], false, now).is_err());
    }
}
