//! What may come next in an answer.
use std::ops::Range;

/// Changes to the log probabilities of the next token. Defaults to none.
#[derive(Clone, Debug, Default)]
pub(in crate::onnx) struct Rules {
    /// The token after the prompt.
    pub(in crate::onnx) forced_first: Option<u32>,
    /// The tokens one of which an answer that reaches its greatest length ends with.
    pub(in crate::onnx) forced_last: Vec<u32>,
    /// Tokens that never come.
    pub(in crate::onnx) suppressed: Vec<u32>,
    /// Tokens that do not come first.
    pub(in crate::onnx) suppressed_first: Vec<u32>,
    /// Sequences that never come.
    pub(in crate::onnx) forbidden: Vec<Vec<u32>>,
    /// No this many tokens come twice in the same order; 0 for no such rule.
    pub(in crate::onnx) unrepeated: usize,
    /// The order that Whisper's timestamps keep.
    pub(in crate::onnx) timestamps: Option<Timestamps>,
    /// Whether what is left sums to one again.
    pub(in crate::onnx) renormalized: bool,
}

/// Timestamps of Whisper: a segment starts and ends with one, they come in pairs and never go back; section 2.3 of
/// [Radford et al. 2022](https://arxiv.org/abs/2212.04356), as OpenAI's decoder has it.
#[derive(Clone, Debug)]
pub(in crate::onnx) struct Timestamps {
    /// The token of 0.00 seconds; all from here on are timestamps.
    pub(in crate::onnx) first: u32,
    /// The token that ends the text; text is all below it.
    pub(in crate::onnx) end: u32,
    /// How many steps the first timestamp may be from the start.
    pub(in crate::onnx) initial: Option<usize>,
}

impl Rules {
    /// Changes `scores`, the log probabilities of what follows `tokens`, of which the first `prompt` were given.
    pub(super) fn apply(&self, scores: &mut [f32], tokens: &[u32], prompt: usize, max_length: usize) {
        if self.unrepeated > 0 {
            suppress(scores, repeats(tokens, self.unrepeated));
        }
        suppress(scores, self.forbidden.iter().filter_map(|words| next_of(words, tokens)));
        if let Some(forced) = self.forced_first.filter(|_| tokens.len() == prompt) {
            force(scores, &[forced]);
        }
        if tokens.len() + 1 == max_length && !self.forced_last.is_empty() {
            force(scores, &self.forced_last);
        }
        suppress(scores, self.suppressed.iter().copied());
        if tokens.len() == prompt {
            suppress(scores, self.suppressed_first.iter().copied());
        }
        if let Some(timestamps) = &self.timestamps {
            timestamps.apply(scores, &tokens[prompt..]);
        }
        if self.renormalized {
            log_softmax(scores);
        }
    }
}

impl Timestamps {
    fn apply(&self, scores: &mut [f32], answer: &[u32]) {
        let (first, end) = (self.first as usize, self.end as usize);
        suppress_range(scores, first.saturating_sub(1)..first);
        let stamp = |back: usize| answer.len().checked_sub(back).map(|at| answer[at] >= self.first);
        let (last, before) = (stamp(1).unwrap_or(false), stamp(2).unwrap_or(true));
        match (last, before) {
            (true, true) => suppress_range(scores, first..usize::MAX),
            (true, false) => suppress_range(scores, 0..end),
            (false, _) => {}
        }
        if let Some(latest) = answer.iter().rev().find(|token| **token >= self.first) {
            // The end of a segment is where the next starts; a segment does not end where it starts.
            let least = if last && !before { *latest } else { latest.saturating_add(1) };
            suppress_range(scores, first..least as usize);
        }
        if answer.is_empty() {
            suppress_range(scores, 0..first);
            if let Some(initial) = self.initial {
                suppress_range(scores, first.saturating_add(initial).saturating_add(1)..usize::MAX);
            }
        }
        self.prefer_stamps(scores);
    }

    /// Lets a timestamp come where all together are likelier than any word.
    fn prefer_stamps(&self, scores: &mut [f32]) {
        let (text, stamps) = scores.split_at((self.first as usize).min(scores.len()));
        let likeliest = text.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum = log_sum(stamps);
        if sum > likeliest {
            suppress_range(scores, 0..self.first as usize);
        }
    }
}

/// The tokens that would make the last `count` tokens a repetition.
fn repeats(tokens: &[u32], count: usize) -> impl Iterator<Item = u32> {
    let known = tokens.len().checked_sub(count - 1).map(|at| &tokens[at..]);
    let windows = tokens.windows(count).filter(move |window| Some(&window[..count - 1]) == known);
    windows.map(move |window| window[count - 1])
}

/// The last of `words`, if `tokens` end with the others.
fn next_of(words: &[u32], tokens: &[u32]) -> Option<u32> {
    let (last, others) = words.split_last()?;
    tokens.ends_with(others).then_some(*last)
}

fn suppress(scores: &mut [f32], tokens: impl IntoIterator<Item = u32>) {
    for token in tokens {
        if let Some(score) = scores.get_mut(token as usize) {
            *score = f32::NEG_INFINITY;
        }
    }
}

fn suppress_range(scores: &mut [f32], range: Range<usize>) {
    let end = range.end.min(scores.len());
    scores[range.start.min(end)..end].fill(f32::NEG_INFINITY);
}

/// Leaves only `tokens`, each as if it were certain.
fn force(scores: &mut [f32], tokens: &[u32]) {
    scores.fill(f32::NEG_INFINITY);
    for token in tokens {
        if let Some(score) = scores.get_mut(*token as usize) {
            *score = 0.0;
        }
    }
}

/// Makes logits the logarithms of probabilities.
pub(in crate::onnx) fn log_softmax(scores: &mut [f32]) {
    let sum = log_sum(scores);
    if sum.is_finite() {
        scores.iter_mut().for_each(|score| *score -= sum);
    }
}

fn log_sum(scores: &[f32]) -> f32 {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if most == f32::NEG_INFINITY {
        return most;
    }
    most + scores.iter().map(|score| (score - most).exp()).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(rules: &Rules, tokens: &[u32], prompt: usize, count: usize) -> Vec<u32> {
        let mut scores = vec![-1.0; count];
        rules.apply(&mut scores, tokens, prompt, 8);
        (0..count as u32).filter(|token| scores[*token as usize] > f32::NEG_INFINITY).collect()
    }

    #[test]
    fn pair_that_came_does_not_come_again() {
        let rules = Rules { unrepeated: 2, ..Rules::default() };
        assert_eq!(allowed(&rules, &[1, 2, 3, 1], 1, 5), [0, 1, 3, 4]);
        assert_eq!(allowed(&rules, &[], 0, 3), [0, 1, 2]);
        let single = Rules { unrepeated: 1, ..Rules::default() };
        assert_eq!(allowed(&single, &[1, 3], 1, 5), [0, 2, 4]);
    }

    #[test]
    fn forced_tokens_come_first_and_last_and_forbidden_ones_never() {
        let rules = Rules {
            forced_first: Some(3),
            forced_last: vec![1],
            suppressed: vec![2, 900],
            suppressed_first: vec![0],
            forbidden: vec![vec![4], vec![0, 3]],
            ..Rules::default()
        };
        assert_eq!(allowed(&rules, &[9], 1, 5), [3]);
        assert_eq!(allowed(&rules, &[9, 3], 1, 5), [0, 1, 3]);
        assert_eq!(allowed(&rules, &[9, 0], 1, 5), [0, 1]);
        assert_eq!(allowed(&rules, &[9; 7], 1, 5), [1]);
    }

    /// 0 and 1 are words, 2 ends, 3 is `notimestamps`, 4 to 9 are timestamps.
    #[test]
    fn timestamps_start_come_in_pairs_and_never_go_back() {
        let timestamps = Timestamps { first: 4, end: 2, initial: Some(2) };
        let allowed = |answer: &[u32]| {
            // Words far likelier than timestamps, so that these do not win together.
            let mut scores = vec![10.0, 10.0, 10.0, 10.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
            timestamps.apply(&mut scores, answer);
            (0..10).filter(|token| scores[*token] > f32::NEG_INFINITY).collect::<Vec<_>>()
        };
        assert_eq!(allowed(&[]), [4, 5, 6]);
        assert_eq!(allowed(&[5]), [0, 1, 2]);
        assert_eq!(allowed(&[5, 0]), [0, 1, 2, 6, 7, 8, 9]);
        assert_eq!(allowed(&[5, 0, 7]), [2, 7, 8, 9], "a pair");
        assert_eq!(allowed(&[5, 0, 7, 7]), [0, 1, 2]);
    }

    #[test]
    fn timestamps_likelier_together_than_any_word_come() {
        let timestamps = Timestamps { first: 4, end: 2, initial: None };
        let mut scores = vec![1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5];
        timestamps.apply(&mut scores, &[4, 0]);
        assert!(scores[..5].iter().all(|score| *score == f32::NEG_INFINITY), "{scores:?}");
    }

    #[test]
    fn log_probabilities_sum_to_one_and_nothing_left_stays_nothing() {
        let mut scores = vec![10.0, 11.0, f32::NEG_INFINITY];
        log_softmax(&mut scores);
        let sum: f32 = scores.iter().map(|score| score.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        let mut none = vec![f32::NEG_INFINITY; 3];
        log_softmax(&mut none);
        assert_eq!(none, [f32::NEG_INFINITY; 3]);
    }
}
