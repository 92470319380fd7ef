use super::Model;
use super::sampler::log_sum_exp;
use crate::{Error, Result};

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
        let predicted = &window[..window.len().saturating_sub(1)];
        model.predict(predicted, |position, logits| {
            let follower = window[position + 1] as usize;
            self.negative_log_likelihood += f64::from(log_sum_exp(logits)? - logits[follower]);
            self.tokens += 1;
            Ok(())
        })
    }
}
