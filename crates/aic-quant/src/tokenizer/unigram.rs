use aho_corasick::{AhoCorasick, MatchKind};

use super::normalizer::Normalizer;
use super::sentencepiece::{scores, spell_out};
use super::spelling::Spelling;
use super::vocabulary::{Kind, Vocabulary};
use super::{Model, failed, special};
use crate::Result;
use crate::gguf::Metadata;

/// How much worse an unknown character is than the worst token.
const PENALTY: f32 = 10.0;

/// A unigram language model: of all ways to cut a text into tokens, the one with the highest sum of scores.
///
/// Viterbi search as in [Kudo 2018](https://arxiv.org/abs/1804.10959), over all tokens that end at a place, which one
/// automaton finds for the whole text. Sums are floats, as in SentencePiece, so that ways that are equally good on paper are
/// told apart alike; the `tokenizers` library has doubles.
pub(super) struct Unigram {
    normalizer: Normalizer,
    finder: AhoCorasick,
    tokens: Vec<u32>,
    scores: Vec<f32>,
    /// The score of a character that is no token.
    unknown_score: f32,
    unknown: Option<u32>,
    bytes: Box<[Option<u32>; 256]>,
}

/// The best way to cut the text up to some place.
#[derive(Clone, Copy)]
struct Path {
    score: f32,
    /// Where the last token starts, and which it is.
    start: usize,
    token: Option<u32>,
}

impl Unigram {
    /// The tokenizer of a file whose `tokenizer.ggml.model` is `t5`.
    pub(super) fn new(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self> {
        let scores = scores(metadata, vocabulary.len())?;
        let (tokens, texts): (Vec<u32>, Vec<&str>) = vocabulary
            .iter()
            .filter(|(_, text, kind)| *kind == Kind::Ordinary && !text.is_empty())
            .map(|(token, text, _)| (token, text))
            .unzip();
        let worst = tokens.iter().map(|token| scores[*token as usize]).fold(0.0, f32::min);
        let finder = AhoCorasick::builder().match_kind(MatchKind::Standard).build(texts);
        Ok(Self {
            normalizer: Normalizer::new(metadata, false)?,
            finder: finder.map_err(|error| failed("build the vocabulary")(error.into()))?,
            tokens,
            scores: scores.to_vec(),
            unknown_score: worst - PENALTY,
            unknown: special::id(metadata, "unknown", vocabulary.len())?.or(Some(2)),
            bytes: vocabulary.bytes(),
        })
    }

    /// The best path to each place of `text`, from its start on.
    fn paths(&self, text: &str) -> Vec<Path> {
        let none = Path { score: f32::NEG_INFINITY, start: 0, token: None };
        let mut paths = vec![none; text.len() + 1];
        paths[0].score = 0.0;
        let mut found = self.finder.find_overlapping_iter(text).peekable();
        for (from, letter) in text.char_indices() {
            let end = from + letter.len_utf8();
            let mut best = none;
            let mut known = false;
            while let Some(found) = found.next_if(|found| found.end() <= end) {
                let token = self.tokens[found.pattern().as_usize()];
                known |= found.start() == from;
                best.improve(
                    paths[found.start()].score + self.scores[token as usize],
                    found.start(),
                    Some(token),
                );
            }
            if !known {
                best.improve(paths[from].score + self.unknown_score, from, None);
            }
            paths[end] = best;
        }
        paths
    }
}

impl Path {
    /// Of two ways that are equally good, the one whose last token is longer remains.
    fn improve(&mut self, score: f32, start: usize, token: Option<u32>) {
        if score > self.score || (score == self.score && start < self.start) {
            *self = Self { score, start, token };
        }
    }
}

impl Model for Unigram {
    fn encode(&self, text: &str, _: &Vocabulary, out: &mut Vec<u32>) -> Result<()> {
        let text = self.normalizer.normalize(text);
        let paths = self.paths(&text);
        let mut pieces = Vec::new();
        let mut end = text.len();
        while end > 0 {
            let Path { start, token, .. } = paths[end];
            pieces.push((start..end, token));
            end = start;
        }
        for (range, token) in pieces.into_iter().rev() {
            match token {
                Some(token) => out.push(token),
                None => spell_out(&text[range], &self.bytes, self.unknown, out),
            }
        }
        Ok(())
    }

    fn spelling(&self) -> Spelling {
        Spelling::Spaces { strips_first: self.normalizer.adds_space() }
    }
}
