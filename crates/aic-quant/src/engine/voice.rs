use std::sync::Arc;
use std::time::Duration;

use super::sampler::{Choice, Sampler};
use super::stop::StopFilter;
use super::{FinishReason, GenerateOptions, Grammar, Piece};
use crate::Result;
use crate::tokenizer::{TextStream, Tokenizer};

/// Turns logits into an answer: chooses tokens, and hands out their text as it becomes certain.
pub(crate) struct Voice {
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    text: TextStream,
    stop: StopFilter,
    ignore_end: bool,
}

/// What came of one choice.
#[derive(Debug, PartialEq)]
pub(crate) struct Spoken {
    /// The token of the answer; `None` if the model ended it instead.
    pub(crate) token: Option<u32>,
    /// What to hand out. Comes with every token, and without one if text was held back.
    pub(crate) piece: Option<Piece>,
    /// Why the answer is over, if it is.
    pub(crate) finish: Option<FinishReason>,
}

impl Voice {
    /// A voice that continues `prompt` and keeps to `grammar`, if there is one; `options` have been checked, their `max_tokens` do not matter here.
    pub(crate) fn new(
        tokenizer: Arc<Tokenizer>,
        options: &GenerateOptions,
        prompt: &[u32],
        grammar: Option<Grammar>,
    ) -> Self {
        Self {
            tokenizer,
            sampler: Sampler::new(options, prompt, grammar),
            text: TextStream::default(),
            stop: StopFilter::new(options.stop.clone()),
            ignore_end: options.ignore_end,
        }
    }

    /// Chooses a token by `logits`, one for each of the vocabulary. The answer is over at the latest with the `last`.
    ///
    /// # Errors
    /// Those of the sampler and of the tokenizer.
    pub(crate) fn next(&mut self, logits: Vec<f32>, last: bool) -> Result<Spoken> {
        let choice = self.sampler.sample(logits)?;
        let complete = self.sampler.is_complete();
        if (complete || !self.ignore_end) && self.tokenizer.special().is_end(choice.token) {
            return self.end(choice);
        }
        let decoded = self.text.push(&self.tokenizer, choice.token);
        let mut text = self.stop.push(&decoded);
        if !self.stop.stopped() && (last || complete) {
            text += &self.rest()?;
        }
        let length = last.then_some(FinishReason::Length);
        let finish = if self.stop.stopped() || complete { Some(FinishReason::Stop) } else { length };
        Ok(Spoken { token: Some(choice.token), piece: Some(piece(text, choice)), finish })
    }

    /// The model ended its answer; what was held back still comes out.
    fn end(&mut self, choice: Choice) -> Result<Spoken> {
        let text = self.rest()?;
        let piece = (!text.is_empty()).then(|| piece(text, choice));
        Ok(Spoken { token: None, piece, finish: Some(FinishReason::Stop) })
    }

    fn rest(&mut self) -> Result<String> {
        let unfinished = self.text.finish();
        let text = self.stop.push(&unfinished);
        Ok(if self.stop.stopped() { text } else { text + &self.stop.finish() })
    }
}

fn piece(text: String, choice: Choice) -> Piece {
    Piece { text, token: choice.token, logprob: choice.logprob, at: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::{tiny, tokenizer};

    /// What a greedy voice makes of `tokens`, of which the model is certain, up to its end.
    fn speak(stop: &[&str], tokens: &[u32], limit: usize) -> Vec<Spoken> {
        let stop = stop.iter().map(|stop| (*stop).to_owned()).collect();
        let options = GenerateOptions { temperature: 0.0, stop, ..GenerateOptions::default() };
        let mut voice = Voice::new(Arc::new(tokenizer(&tiny())), &options, &[], None);
        let mut spoken = Vec::new();
        for (count, token) in (1..).zip(tokens) {
            let logits = (0..264).map(|other| if other == *token { 0.0 } else { -100.0 }).collect();
            spoken.push(voice.next(logits, count == limit).unwrap());
            if spoken.last().unwrap().finish.is_some() {
                break;
            }
        }
        spoken
    }

    fn tokens(text: &str) -> Vec<u32> {
        tokenizer(&tiny()).encode(text).unwrap()
    }

    fn texts(spoken: &[Spoken]) -> Vec<&str> {
        spoken.iter().filter_map(|spoken| spoken.piece.as_ref()).map(|piece| &*piece.text).collect()
    }

    fn finish(spoken: &[Spoken]) -> Option<FinishReason> {
        spoken.last().unwrap().finish
    }

    #[test]
    fn end_token_ends_the_answer_and_brings_out_what_was_held_back() {
        let spoken = speak(&["ab!"], &tokens("xab<|im_end|>y"), 100);

        assert_eq!(texts(&spoken), ["x", "", "", "ab"]);
        assert_eq!(spoken.iter().filter(|spoken| spoken.token.is_some()).count(), 3);
        assert_eq!(finish(&spoken), Some(FinishReason::Stop));

        let plain = speak(&[], &tokens("x<|im_end|>"), 100);
        assert_eq!(plain[1], Spoken { token: None, piece: None, finish: Some(FinishReason::Stop) });
    }

    #[test]
    fn stop_text_ends_the_answer_before_it() {
        let spoken = speak(&["ab"], &tokens("xaby"), 100);

        assert_eq!(texts(&spoken), ["x", "", ""]);
        assert_eq!(finish(&spoken), Some(FinishReason::Stop));
    }

    #[test]
    fn last_token_ends_the_answer_with_all_its_text() {
        let spoken = speak(&["bc"], &tokens("abxy"), 2);
        assert_eq!(texts(&spoken), ["a", "b"]);
        assert_eq!(finish(&spoken), Some(FinishReason::Length));

        let stopped = speak(&["ab"], &tokens("abxy"), 2);
        assert_eq!((texts(&stopped), finish(&stopped)), (vec!["", ""], Some(FinishReason::Stop)));

        let cut = speak(&[], &tokens("🦀")[..2], 2);
        assert!(texts(&cut)[1].contains('\u{fffd}'));
    }

    #[test]
    fn pieces_bear_their_token_and_its_logprob() {
        let spoken = speak(&[], &tokens("a"), 1);
        let piece = spoken[0].piece.as_ref().unwrap();
        assert_eq!((Some(piece.token), piece.logprob.abs() < 1e-6), (spoken[0].token, true));
    }
}
