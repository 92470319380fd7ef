use std::fmt;
use std::time::{Duration, Instant};

use super::context::Context;
use super::sampler::{Choice, Sampler};
use super::stop::StopFilter;
use super::{GenerateOptions, Model};
use crate::Result;
use crate::tokenizer::TextStream;

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
    /// Running the prompt; `None` before it has run.
    pub prefill: Option<Duration>,
    /// From the call of [`Model::generate`] to the first token; `None` before it.
    pub first_token: Option<Duration>,
    /// Computing tokens after the first.
    pub decode: Duration,
    /// Tokens per second after the first; `None` before the second.
    pub tokens_per_second: Option<f64>,
}

/// An answer being generated: an iterator of [`Piece`]s that computes one at each step.
///
/// Ends after the last token, or after the first error. Dropping it frees its cache and ends the work.
pub struct Generation {
    model: Model,
    cache: Option<Context>,
    sampler: Sampler,
    text: TextStream,
    stop: StopFilter,
    /// Tokens not run yet: the prompt, then the last token.
    pending: Vec<u32>,
    usage: Usage,
    limit: usize,
    finish: Option<FinishReason>,
    started: Instant,
    timings: Timings,
}

impl Generation {
    /// `prompt` leaves room for at least one token.
    pub(super) fn new(model: Model, prompt: Vec<u32>, options: &GenerateOptions) -> Result<Self> {
        let room = model.max_context() - prompt.len();
        let limit = options.max_tokens.min(room);
        Ok(Self {
            cache: Some(Context::new(model.runner(prompt.len() + limit)?)),
            sampler: Sampler::new(options, &prompt, model.grammar(options)?),
            text: TextStream::default(),
            stop: StopFilter::new(options.stop.clone()),
            usage: Usage { prompt_tokens: prompt.len(), output_tokens: 0 },
            pending: prompt,
            limit,
            finish: None,
            started: Instant::now(),
            timings: Timings::default(),
            model,
        })
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

    /// Computes the rest and returns its text.
    ///
    /// # Errors
    /// The first error of a piece.
    pub fn text(&mut self) -> Result<String> {
        self.by_ref().map(|piece| piece.map(|piece| piece.text)).collect()
    }

    fn step(&mut self, cache: &mut Context) -> Result<Option<Piece>> {
        let choice = self.choose(cache)?;
        if self.model.tokenizer().special().is_end(choice.token) {
            return self.end(choice);
        }
        self.usage.output_tokens += 1;
        self.pending = vec![choice.token];
        let decoded = self.text.push(self.model.tokenizer(), choice.token)?;
        let mut text = self.stop.push(&decoded);
        if self.stop.stopped() {
            self.finish = Some(FinishReason::Stop);
        } else if self.usage.output_tokens == self.limit {
            self.finish = Some(FinishReason::Length);
            text += &self.rest()?;
        }
        Ok(Some(piece(text, choice)))
    }

    /// The model ended its answer; what was held back still comes out.
    fn end(&mut self, choice: Choice) -> Result<Option<Piece>> {
        self.finish = Some(FinishReason::Stop);
        let text = self.rest()?;
        Ok((!text.is_empty()).then(|| piece(text, choice)))
    }

    fn rest(&mut self) -> Result<String> {
        let unfinished = self.text.finish(self.model.tokenizer())?;
        let text = self.stop.push(&unfinished);
        Ok(if self.stop.stopped() { text } else { text + &self.stop.finish() })
    }

    fn choose(&mut self, cache: &mut Context) -> Result<Choice> {
        let started = Instant::now();
        let logits = cache.next_logits(&self.pending)?;
        let choice = self.sampler.sample(logits)?;
        self.record(started.elapsed());
        Ok(choice)
    }

    fn record(&mut self, taken: Duration) {
        if self.timings.prefill.is_none() {
            self.timings.prefill = Some(taken);
            self.timings.first_token = Some(self.started.elapsed());
        } else {
            self.timings.decode += taken;
            let seconds = self.timings.decode.as_secs_f64();
            self.timings.tokens_per_second =
                (seconds > 0.0).then(|| self.usage.output_tokens as f64 / seconds);
        }
    }
}

impl Iterator for Generation {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut cache = self.cache.take()?;
        let step = self.step(&mut cache);
        // Without a cache there is no next step; a finished or failed answer gives its memory back at once.
        if step.is_ok() && self.finish.is_none() {
            self.cache = Some(cache);
        }
        step.transpose()
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("usage", &self.usage)
            .field("finish", &self.finish)
            .field("timings", &self.timings)
            .finish_non_exhaustive()
    }
}

fn piece(text: String, choice: Choice) -> Piece {
    Piece { text, token: choice.token, logprob: choice.logprob }
}
