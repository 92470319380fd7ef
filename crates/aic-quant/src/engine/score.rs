use super::Model;
use super::decoder::CHUNK;
use super::sampler::log_sum_exp;
use crate::codec::blocks::compute;
use crate::{Error, Result};

/// Positions whose logits are held at once; with a large vocabulary they are most of the memory.
const ROWS: usize = 32;

/// How well a model predicted a text.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// Tokens that were predicted.
    pub tokens: usize,
    /// Sum of −ln of the probability of each.
    pub negative_log_likelihood: f64,
}

impl Score {
    pub(super) fn new(model: &Model, text: &str) -> Result<Self> {
        let tokens = model.tokenize(text)?;
        let mut score = Self { tokens: 0, negative_log_likelihood: 0.0 };
        for window in tokens.chunks(model.max_context()) {
            score.add_window(model, window)?;
        }
        if score.tokens == 0 { Err(Error::Empty { what: "text to score" }) } else { Ok(score) }
    }

    /// e to the mean negative log likelihood: how many equally likely tokens the model hesitated between.
    pub fn perplexity(&self) -> f64 {
        (self.negative_log_likelihood / self.tokens as f64).exp()
    }

    fn add_window(&mut self, model: &Model, window: &[u32]) -> Result<()> {
        let mut cache = model.new_cache();
        let followers = window.get(1..).unwrap_or_default();
        for (chunk, followers) in window.chunks(CHUNK).zip(followers.chunks(CHUNK)) {
            let hidden = model.hidden(chunk, &mut cache)?;
            for (row, followers) in followers.chunks(ROWS).enumerate() {
                let rows =
                    hidden.narrow(0, row * ROWS, followers.len()).map_err(compute("scoring a text"))?;
                self.add(&model.logits(&rows)?, followers)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, logits: &[Vec<f32>], followers: &[u32]) -> Result<()> {
        for (logits, follower) in logits.iter().zip(followers) {
            self.negative_log_likelihood += f64::from(log_sum_exp(logits)? - logits[*follower as usize]);
            self.tokens += 1;
        }
        Ok(())
    }
}
