use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::GenerateOptions;
use super::constraint::Grammar;
use crate::{Error, Result};

/// Tokens the repetition penalty looks back.
const PENALTY_WINDOW: usize = 64;

/// Chooses the next token.
pub(super) struct Sampler {
    temperature: f32,
    top_p: f32,
    top_k: usize,
    min_p: f32,
    repetition_penalty: f32,
    frequency_penalty: f32,
    presence_penalty: f32,
    recent: VecDeque<u32>,
    /// How often each token is in the answer.
    counts: HashMap<u32, u32>,
    grammar: Option<Grammar>,
    random: StdRng,
}

/// The token chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) token: u32,
    /// Natural logarithm of the probability the model gave it, before penalty and temperature.
    pub(super) logprob: f32,
}

impl Sampler {
    /// A sampler for an answer to `prompt` that follows `grammar`, if there is one.
    pub(super) fn new(options: &GenerateOptions, prompt: &[u32], grammar: Option<Grammar>) -> Self {
        let seed = options.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let mut sampler = Self {
            temperature: options.temperature,
            top_p: options.top_p,
            top_k: options.top_k,
            min_p: options.min_p,
            repetition_penalty: options.repetition_penalty,
            frequency_penalty: options.frequency_penalty,
            presence_penalty: options.presence_penalty,
            counts: HashMap::new(),
            grammar,
            recent: VecDeque::with_capacity(PENALTY_WINDOW),
            random: StdRng::seed_from_u64(seed),
        };
        prompt.iter().for_each(|token| sampler.remember(*token));
        sampler
    }

    /// Chooses by `logits`, one for each token.
    ///
    /// # Errors
    /// [`Error::Compute`] if a logit is not a number, which means the model is damaged.
    pub(super) fn sample(&mut self, mut logits: Vec<f32>) -> Result<Choice> {
        let normaliser = log_sum_exp(&logits)?;
        let raw = logits.clone();
        self.penalise(&mut logits);
        if let Some(grammar) = &mut self.grammar {
            grammar.restrict(&mut logits)?;
        }
        let token = if self.temperature == 0.0 { likeliest(&logits) } else { self.draw(&logits) };
        if let Some(grammar) = &mut self.grammar {
            grammar.accept(token)?;
        }
        self.remember(token);
        *self.counts.entry(token).or_default() += 1;
        Ok(Choice { token, logprob: raw[token as usize] - normaliser })
    }

    /// Whether the grammar allows no other token after those chosen.
    pub(super) fn is_complete(&self) -> bool {
        self.grammar.as_ref().is_some_and(Grammar::is_complete)
    }

    fn penalise(&self, logits: &mut [f32]) {
        if self.repetition_penalty != 1.0 {
            let mut seen: Vec<u32> = self.recent.iter().copied().collect();
            seen.sort_unstable();
            seen.dedup();
            for token in seen {
                let logit = &mut logits[token as usize];
                let penalty = self.repetition_penalty;
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        if self.frequency_penalty != 0.0 || self.presence_penalty != 0.0 {
            for (token, count) in &self.counts {
                logits[*token as usize] -= self.presence_penalty + self.frequency_penalty * *count as f32;
            }
        }
    }

    /// Top-k, then temperature, then top-p (Holtzman et al. 2019) and min-p, then chance.
    fn draw(&mut self, logits: &[f32]) -> u32 {
        let mut candidates: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
        let likelier = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.top_k > 0 && self.top_k < candidates.len() {
            candidates.select_nth_unstable_by(self.top_k, likelier);
            candidates.truncate(self.top_k);
        }
        candidates.sort_unstable_by(likelier);
        let best = candidates[0].1;
        for (_, weight) in &mut candidates {
            *weight = ((*weight - best) / self.temperature).exp();
        }
        keep_share(&mut candidates, self.top_p);
        // The likeliest has weight 1.
        let enough = candidates.partition_point(|(_, weight)| *weight >= self.min_p);
        candidates.truncate(enough.max(1));
        self.pick(&candidates)
    }

    fn pick(&mut self, candidates: &[(u32, f32)]) -> u32 {
        let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = self.random.random::<f32>() * total;
        for (token, weight) in candidates {
            left -= weight;
            if left < 0.0 {
                return *token;
            }
        }
        candidates[0].0
    }

    fn remember(&mut self, token: u32) {
        if self.recent.len() == PENALTY_WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
    }
}

/// Keeps the first candidates that together have `share` of all weight.
fn keep_share(candidates: &mut Vec<(u32, f32)>, share: f32) {
    let wanted = candidates.iter().map(|(_, weight)| weight).sum::<f32>() * share;
    let mut total = 0.0;
    let enough = candidates.iter().position(|(_, weight)| {
        total += weight;
        total >= wanted
    });
    candidates.truncate(enough.map_or(candidates.len(), |at| at + 1));
}

/// The token with the highest logit; the first of several.
fn likeliest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

/// ln Σ exp(logit), the normaliser of log-probabilities; checks that the logits are numbers.
pub(super) fn log_sum_exp(logits: &[f32]) -> Result<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !highest.is_finite() || logits.iter().any(|logit| logit.is_nan()) {
        let source = "the model computed a logit that is not a number; the file may be damaged".into();
        return Err(Error::Compute { during: "choosing a token", source });
    }
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
    Ok(highest + sum.ln() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(options: &GenerateOptions) -> Sampler {
        Sampler::new(&GenerateOptions { seed: Some(7), ..options.clone() }, &[], None)
    }

    fn draws(options: &GenerateOptions, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = sampler(options);
        (0..count).map(|_| sampler.sample(logits.to_vec()).unwrap().token).collect()
    }

    const LOGITS: [f32; 4] = [1.0, 3.0, 2.0, 3.0];

    #[test]
    fn temperature_zero_takes_the_first_likeliest() {
        let options = GenerateOptions { temperature: 0.0, ..GenerateOptions::default() };
        assert_eq!(draws(&options, &LOGITS, 5), [1; 5]);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let options =
            GenerateOptions { temperature: 1.0, top_p: 1.0, top_k: 0, ..GenerateOptions::default() };
        let draws = draws(&options, &LOGITS, 20_000);

        let total: f64 = LOGITS.iter().map(|logit| f64::from(*logit).exp()).sum();
        for (token, logit) in LOGITS.iter().enumerate() {
            let share = draws.iter().filter(|drawn| **drawn as usize == token).count() as f64 / 20_000.0;
            let expected = f64::from(*logit).exp() / total;
            assert!((share - expected).abs() < 0.015, "token {token}: {share} instead of {expected}");
        }
    }

    #[test]
    fn top_k_and_top_p_leave_out_the_unlikely() {
        let top_k = GenerateOptions { temperature: 2.0, top_k: 2, top_p: 1.0, ..GenerateOptions::default() };
        assert!(draws(&top_k, &LOGITS, 500).iter().all(|token| [1, 3].contains(token)));

        let top_p = GenerateOptions { temperature: 1.0, top_k: 0, top_p: 0.5, ..GenerateOptions::default() };
        assert!(draws(&top_p, &LOGITS, 500).iter().all(|token| [1, 3].contains(token)));
    }

    #[test]
    fn min_p_leaves_out_what_is_much_less_likely_than_the_likeliest() {
        let options = |min_p| GenerateOptions {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p,
            ..GenerateOptions::default()
        };
        // The third is 1/e as likely as the likeliest.
        assert!(draws(&options(0.4), &LOGITS, 500).iter().all(|token| [1, 3].contains(token)));
        let looser = draws(&options(0.3), &LOGITS, 500);
        assert!(looser.contains(&2) && !looser.contains(&0));
    }

    #[test]
    fn frequency_counts_and_presence_does_not() {
        let greedy = GenerateOptions { temperature: 0.0, ..GenerateOptions::default() };
        let frequency = GenerateOptions { frequency_penalty: 0.4, ..greedy.clone() };
        assert_eq!(draws(&frequency, &LOGITS, 6), [1, 3, 1, 3, 1, 3]);
        assert_eq!(draws(&frequency, &LOGITS, 7)[6], 2);

        let presence = GenerateOptions { presence_penalty: 0.4, ..greedy };
        assert_eq!(draws(&presence, &LOGITS, 7), [1, 3, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn penalty_moves_the_choice_away_from_what_was_said() {
        let options =
            GenerateOptions { temperature: 0.0, repetition_penalty: 2.0, ..GenerateOptions::default() };
        assert_eq!(draws(&options, &LOGITS, 3), [1, 3, 2]);
    }

    #[test]
    fn logprob_is_the_models_own() {
        let options = GenerateOptions { temperature: 0.0, ..GenerateOptions::default() };
        let choice = sampler(&options).sample(vec![0.0, 3.0_f32.ln()]).unwrap();
        assert_eq!(choice.token, 1);
        assert!((choice.logprob.exp() - 0.75).abs() < 1e-6);
    }

    #[test]
    fn logits_that_are_not_numbers_are_an_error() {
        let options = GenerateOptions::default();
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(sampler(&options).sample(vec![0.0, bad]).is_err());
        }
    }
}
