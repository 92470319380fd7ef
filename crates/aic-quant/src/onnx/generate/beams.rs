//! Beam search for one answer, as `transformers` has it since 4.50: finished answers compete by their log probability divided by
//! a power of their length.
use std::cmp::Ordering;

use super::{Rules, log_softmax};

/// When to stop while unfinished answers could still become better than the finished ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::onnx) enum Patience {
    /// At once: as soon as there are as many finished answers as beams.
    None,
    /// When the best unfinished answer is worse than all finished ones at its present length.
    #[default]
    Usual,
    /// When it would be so at any length.
    Full,
}

/// A finished answer.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::onnx) struct Hypothesis {
    /// All tokens, the prompt's and the end's too.
    pub(in crate::onnx) tokens: Vec<u32>,
    /// Log probability, divided by the length to the power of the length penalty.
    pub(in crate::onnx) score: f32,
}

/// What a search goes by.
#[derive(Clone, Debug)]
pub(in crate::onnx) struct Settings {
    pub(in crate::onnx) beams: usize,
    pub(in crate::onnx) length_penalty: f32,
    pub(in crate::onnx) patience: Patience,
    /// Tokens of an answer at most, the prompt's too.
    pub(in crate::onnx) max_length: usize,
    pub(in crate::onnx) ends: Vec<u32>,
    pub(in crate::onnx) rules: Rules,
}

/// The answers to one input while they grow, all of the same length.
#[derive(Debug)]
pub(super) struct Beams {
    prompt: usize,
    running: Vec<Beam>,
    finished: Vec<Hypothesis>,
    done: bool,
}

#[derive(Clone, Debug)]
struct Beam {
    tokens: Vec<u32>,
    /// Log probability.
    score: f32,
    /// The running beam of the step before that it came of.
    parent: usize,
}

/// A running answer and a token that could be its next.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    parent: usize,
    token: u32,
    /// Log probability of both.
    score: f32,
}

/// The best few of very many candidates.
struct Best {
    count: usize,
    found: Vec<Candidate>,
    /// What a candidate has to be better than.
    floor: f32,
}

impl Beams {
    pub(super) fn new(prompt: &[u32]) -> Self {
        let start = Beam { tokens: prompt.to_vec(), score: 0.0, parent: 0 };
        Self { prompt: prompt.len(), running: vec![start], finished: Vec::new(), done: false }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The last token of each running answer, and which of the answers before it came of.
    pub(super) fn running(&self) -> impl Iterator<Item = (&[u32], usize)> {
        self.running.iter().map(|beam| (beam.tokens.as_slice(), beam.parent))
    }

    /// Lets the answers grow by a token. `logits` has `vocabulary` numbers for each running answer.
    pub(super) fn grow(&mut self, logits: &mut [f32], vocabulary: usize, settings: &Settings) {
        let mut candidates = self.candidates(logits, vocabulary, settings);
        let length = self.running[0].tokens.len() + 1;
        let ended = |token: u32| settings.ends.contains(&token) || length >= settings.max_length;
        let best = candidates.iter().take(settings.beams).filter(|candidate| ended(candidate.token));
        let answers: Vec<_> = best.map(|candidate| self.answer(candidate, length, settings)).collect();
        self.keep(answers, settings);
        candidates.retain(|candidate| !ended(candidate.token));
        candidates.truncate(settings.beams);
        let running = candidates.iter().map(|candidate| self.extended(candidate)).collect();
        self.running = running;
        self.done = self.running.is_empty() || self.is_settled(length - self.prompt, settings);
    }

    /// Tokens that are certain since the last step: the last of the only beam, and with several the answer once it is there.
    pub(super) fn news(&self, beams: usize, prompt: usize) -> &[u32] {
        let best = self.finished.first().map(|answer| answer.tokens.as_slice());
        match (self.done, beams) {
            (true, 1) => best.map_or(&[], |tokens| &tokens[tokens.len() - 1..]),
            (true, _) => best.map_or(&[], |tokens| &tokens[prompt..]),
            (false, 1) => &self.running[0].tokens[self.running[0].tokens.len() - 1..],
            (false, _) => &[],
        }
    }

    /// The best answer; the best unfinished one if none is finished.
    pub(super) fn best(self) -> Hypothesis {
        let unfinished =
            self.running.into_iter().map(|beam| Hypothesis { tokens: beam.tokens, score: beam.score });
        self.finished
            .into_iter()
            .chain(unfinished)
            .next()
            .unwrap_or(Hypothesis { tokens: Vec::new(), score: 0.0 })
    }

    /// The likeliest next tokens of all answers, best first.
    fn candidates(&self, logits: &mut [f32], vocabulary: usize, settings: &Settings) -> Vec<Candidate> {
        let mut best = Best::new(settings.beams * (1 + settings.ends.len()).max(2));
        for (parent, (beam, scores)) in
            self.running.iter().zip(logits.chunks_exact_mut(vocabulary)).enumerate()
        {
            log_softmax(scores);
            settings.rules.apply(scores, &beam.tokens, self.prompt, settings.max_length);
            for (token, score) in scores.iter().enumerate() {
                best.offer(Candidate { parent, token: token as u32, score: beam.score + score });
            }
        }
        best.finish()
    }

    fn answer(&self, candidate: &Candidate, length: usize, settings: &Settings) -> Hypothesis {
        let beam = self.extended(candidate);
        Hypothesis { score: beam.score / weight(length - self.prompt, settings), tokens: beam.tokens }
    }

    fn extended(&self, candidate: &Candidate) -> Beam {
        let mut tokens = self.running[candidate.parent].tokens.clone();
        tokens.push(candidate.token);
        Beam { tokens, score: candidate.score, parent: candidate.parent }
    }

    fn keep(&mut self, answers: Vec<Hypothesis>, settings: &Settings) {
        if settings.patience == Patience::None && self.finished.len() >= settings.beams {
            return;
        }
        self.finished.extend(answers);
        self.finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.finished.truncate(settings.beams);
    }

    /// Whether no better answer is to come.
    fn is_settled(&self, generated: usize, settings: &Settings) -> bool {
        if self.finished.len() < settings.beams {
            return false;
        }
        if settings.beams == 1 || settings.patience == Patience::None {
            return true;
        }
        let longest = settings.max_length.saturating_sub(self.prompt).max(1);
        let patient = settings.patience == Patience::Full && settings.length_penalty > 0.0;
        let length = if patient { longest } else { generated };
        let worst = self.finished.last().map_or(f32::NEG_INFINITY, |answer| answer.score);
        self.running[0].score / weight(length, settings) <= worst
    }
}

impl Best {
    fn new(count: usize) -> Self {
        Self { count, found: Vec::with_capacity(2 * count), floor: f32::NEG_INFINITY }
    }

    fn offer(&mut self, candidate: Candidate) {
        if candidate.score > self.floor {
            self.found.push(candidate);
            if self.found.len() == 2 * self.count {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        self.found.select_nth_unstable_by(self.count - 1, Candidate::best_first);
        self.found.truncate(self.count);
        self.floor = self.found[self.count - 1].score;
    }

    fn finish(mut self) -> Vec<Candidate> {
        self.found.sort_by(Candidate::best_first);
        self.found.truncate(self.count);
        self.found
    }
}

impl Candidate {
    fn best_first(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score)
    }
}

fn weight(length: usize, settings: &Settings) -> f32 {
    (length as f32).powf(settings.length_penalty)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const END: u32 = 0;

    fn settings(beams: usize, max_length: usize) -> Settings {
        Settings {
            beams,
            length_penalty: 1.0,
            patience: Patience::Usual,
            max_length,
            ends: vec![END],
            rules: Rules::default(),
        }
    }

    /// Logits of a made-up model: a table by the last token and the length.
    fn logits(tokens: &[u32], vocabulary: usize, seed: u32) -> Vec<f32> {
        let last = *tokens.last().unwrap();
        let mix = |token: u32| {
            seed.wrapping_add(last * 31 + token * 17 + tokens.len() as u32 * 7).wrapping_mul(2_654_435_761)
        };
        (0..vocabulary as u32).map(|token| (mix(token) >> 20) as f32 / 512.0).collect()
    }

    fn search(settings: &Settings, vocabulary: usize, seed: u32) -> Hypothesis {
        let mut beams = Beams::new(&[1]);
        while !beams.is_done() {
            let mut all: Vec<f32> =
                beams.running().flat_map(|(tokens, _)| logits(tokens, vocabulary, seed)).collect();
            beams.grow(&mut all, vocabulary, settings);
        }
        beams.best()
    }

    /// The best of all answers there are.
    fn exhaustive(
        tokens: &[u32],
        score: f32,
        settings: &Settings,
        vocabulary: usize,
        seed: u32,
    ) -> Hypothesis {
        let mut scores = logits(tokens, vocabulary, seed);
        log_softmax(&mut scores);
        let answers = scores.iter().enumerate().map(|(token, more)| {
            let longer = [tokens, &[token as u32]].concat();
            if token as u32 == END || longer.len() == settings.max_length {
                let score = (score + more) / (longer.len() - 1) as f32;
                return Hypothesis { tokens: longer, score };
            }
            exhaustive(&longer, score + more, settings, vocabulary, seed)
        });
        answers.max_by(|a, b| a.score.total_cmp(&b.score)).unwrap()
    }

    proptest! {
        #[test]
        fn as_many_beams_as_there_are_answers_find_the_best(seed in any::<u32>()) {
            let settings = Settings { patience: Patience::Full, ..settings(81, 5) };
            let (found, best) = (search(&settings, 3, seed), exhaustive(&[1], 0.0, &settings, 3, seed));
            prop_assert!((found.score - best.score).abs() < 1e-5, "{found:?} {best:?}");
        }

        #[test]
        fn one_beam_takes_the_likeliest_token_each_time(seed in any::<u32>()) {
            let found = search(&settings(1, 12), 5, seed);
            for length in 1..found.tokens.len() {
                let scores = logits(&found.tokens[..length], 5, seed);
                let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                prop_assert_eq!(scores[found.tokens[length] as usize], most);
            }
            prop_assert!(found.tokens.len() == 12 || found.tokens.ends_with(&[END]));
        }
    }
}
