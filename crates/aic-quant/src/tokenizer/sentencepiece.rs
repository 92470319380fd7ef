use super::merging::{Merge, Symbol, merge};
use super::normalizer::Normalizer;
use super::spelling::Spelling;
use super::vocabulary::Vocabulary;
use super::{Model, SCORES_KEY, special};
use crate::gguf::Metadata;
use crate::{Error, Result};

/// SentencePiece's byte pair encoding: neighbours merge whenever they are a token together, the highest score first.
///
/// Characters that are no tokens become bytes, or the unknown token if the vocabulary has no bytes.
pub(super) struct SentencePiece {
    normalizer: Normalizer,
    /// Each token's place in the order of merges; the lowest goes first.
    orders: Vec<u32>,
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
}

impl SentencePiece {
    /// The tokenizer of a file whose `tokenizer.ggml.model` is `llama`.
    pub(super) fn new(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self> {
        Ok(Self {
            normalizer: Normalizer::new(metadata, true)?,
            orders: scores(metadata, vocabulary.len())?.iter().map(|score| order(*score)).collect(),
            bytes: vocabulary.bytes(),
            unknown: special::id(metadata, "unknown", vocabulary.len())?.or(Some(0)),
        })
    }
}

impl Model for SentencePiece {
    fn encode(&self, text: &str, vocabulary: &Vocabulary, out: &mut Vec<u32>) -> Result<()> {
        let text = self.normalizer.normalize(text);
        let parts = text.char_indices().map(|(at, letter)| {
            let length = letter.len_utf8();
            (length, vocabulary.ordinary(&text[at..at + length]))
        });
        let pair = |left: &Symbol, right: &Symbol| {
            let token = vocabulary.ordinary(&text[left.range.start..right.range.end])?;
            Some(Merge { order: self.orders[token as usize], token })
        };
        merge(parts, pair, |symbol| match symbol.token {
            Some(token) => out.push(token),
            None => spell_out(&text[symbol.range.clone()], &self.bytes, self.unknown, out),
        });
        Ok(())
    }

    fn spelling(&self) -> Spelling {
        Spelling::Spaces { strips_first: self.normalizer.adds_space() }
    }
}

/// Appends the bytes of `text` as tokens; if any has none, the unknown token instead, once for a run of unknown text.
pub(super) fn spell_out(text: &str, bytes: &[Option<u32>; 256], unknown: Option<u32>, out: &mut Vec<u32>) {
    let start = out.len();
    for byte in text.bytes() {
        let Some(token) = bytes[usize::from(byte)] else {
            out.truncate(start);
            let unknown = unknown.filter(|unknown| out.last() != Some(unknown));
            return out.extend(unknown);
        };
        out.push(token);
    }
}

/// Each token's score.
pub(super) fn scores(metadata: &Metadata, expected: usize) -> Result<&[f32]> {
    let wrong = |problem: &str| Error::metadata(SCORES_KEY, problem);
    let array = metadata.array(SCORES_KEY)?.ok_or_else(|| wrong("is missing"))?;
    let scores = array.as_f32().ok_or_else(|| wrong("is not an array of f32"))?;
    if scores.len() == expected {
        return Ok(scores);
    }
    Err(wrong(&format!("has {} entries, expected {expected}", scores.len())))
}

/// A number that is lower for higher scores: the bits of a float order like integers, negative ones the other way round.
fn order(score: f32) -> u32 {
    let score = score + 0.0; // -0.0 is 0.0
    let bits = score.to_bits();
    if score.is_sign_negative() { bits } else { !bits & (u32::MAX >> 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn higher_scores_go_first(a: f32, b: f32) {
            assert_eq!(order(a).cmp(&order(b)), b.partial_cmp(&a).unwrap());
        }
    }

    #[test]
    fn zeros_are_alike() {
        assert_eq!(order(0.0), order(-0.0));
        assert!(order(f32::INFINITY) < order(1.0) && order(-1.0) < order(f32::NEG_INFINITY));
    }

    #[test]
    fn text_without_bytes_is_unknown_once() {
        let mut bytes = [None; 256];
        bytes[usize::from(b'a')] = Some(7);
        let mut out = Vec::new();
        for text in ["a", "é", "aé", "a"] {
            spell_out(text, &bytes, Some(0), &mut out);
        }
        assert_eq!(out, [7, 0, 7]);
    }
}
