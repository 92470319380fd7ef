use hashbrown::HashMap;

use super::merging::{Merge, Symbol, merge};
use super::spelling::{SPACE, Spelling, alphabet};
use super::vocabulary::Vocabulary;
use super::words::{Family, Words};
use super::{Model, special};
use crate::gguf::Metadata;
use crate::{Error, Result};

pub(super) const MERGES_KEY: &str = "tokenizer.ggml.merges";

/// Byte pair encoding by a list of merges.
pub(super) struct Bpe {
    words: Words,
    keeps_known_words: bool,
    merges: HashMap<(u32, u32), Merge>,
    letters: Letters,
    unknown: Option<u32>,
}

/// The smallest parts that words are merged from.
enum Letters {
    /// Bytes, as the characters that stand for them.
    Bytes { tokens: Box<[Option<u32>; 256]>, letters: Box<[char; 256]> },
    /// Characters, with `▁` for spaces and bytes for those that are no tokens. Gemma 4 does so.
    Characters { bytes: Box<[Option<u32>; 256]> },
}

impl Bpe {
    /// The tokenizer of a file whose `tokenizer.ggml.model` is `gpt2`.
    pub(super) fn new(metadata: &Metadata, vocabulary: &Vocabulary, family: Family) -> Result<Self> {
        let letters = alphabet();
        let tokens = letters.map(|letter| vocabulary.ordinary(letter.encode_utf8(&mut [0; 4])));
        let letters = Letters::Bytes { tokens: Box::new(tokens), letters: Box::new(letters) };
        Self::build(metadata, vocabulary, family, letters)
    }

    /// The tokenizer of a file whose `tokenizer.ggml.model` is `gemma4`.
    pub(super) fn of_characters(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self> {
        Self::build(metadata, vocabulary, Family::LINES, Letters::Characters { bytes: vocabulary.bytes() })
    }

    fn build(metadata: &Metadata, vocabulary: &Vocabulary, family: Family, letters: Letters) -> Result<Self> {
        Ok(Self {
            words: Words::new(family)?,
            keeps_known_words: family.keeps_known_words,
            merges: merges(metadata, vocabulary)?,
            letters,
            unknown: special::id(metadata, "unknown", vocabulary.len())?,
        })
    }

    fn word(&self, word: &str, vocabulary: &Vocabulary, out: &mut Vec<u32>) {
        match &self.letters {
            Letters::Bytes { tokens, letters } => {
                if let Some(known) = self.known(word, letters, vocabulary) {
                    return out.push(known);
                }
                let parts = word.bytes().map(|byte| (1, tokens[usize::from(byte)]));
                merge(
                    parts,
                    |left, right| self.pair(left, right),
                    |symbol| out.extend(symbol.token.or(self.unknown)),
                );
            }
            Letters::Characters { bytes } => {
                let part = |part: char| vocabulary.ordinary(part.encode_utf8(&mut [0; 4]));
                let parts = word.chars().map(|letter| (letter.len_utf8(), part(letter)));
                merge(
                    parts,
                    |left, right| self.pair(left, right),
                    |symbol| match symbol.token {
                        Some(token) => out.push(token),
                        None => out.extend(
                            word[symbol.range.clone()]
                                .bytes()
                                .filter_map(|byte| bytes[usize::from(byte)].or(self.unknown)),
                        ),
                    },
                );
            }
        }
    }

    /// The token that is the whole word, if words that are tokens stay whole.
    fn known(&self, word: &str, letters: &[char; 256], vocabulary: &Vocabulary) -> Option<u32> {
        if !self.keeps_known_words {
            return None;
        }
        let word: String = word.bytes().map(|byte| letters[usize::from(byte)]).collect();
        vocabulary.ordinary(&word)
    }

    fn pair(&self, left: &Symbol, right: &Symbol) -> Option<Merge> {
        self.merges.get(&(left.token?, right.token?)).copied()
    }
}

impl Model for Bpe {
    fn encode(&self, text: &str, vocabulary: &Vocabulary, out: &mut Vec<u32>) -> Result<()> {
        match self.letters {
            Letters::Bytes { .. } => self.words.visit(text, |word| self.word(word, vocabulary, out)),
            Letters::Characters { .. } => {
                let text: String = text.chars().map(|part| if part == ' ' { SPACE } else { part }).collect();
                self.words.visit(&text, |word| self.word(word, vocabulary, out));
            }
        }
        Ok(())
    }

    fn spelling(&self) -> Spelling {
        match self.letters {
            Letters::Bytes { .. } => Spelling::Bytes,
            Letters::Characters { .. } => Spelling::Spaces { strips_first: false },
        }
    }
}

fn merges(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<HashMap<(u32, u32), Merge>> {
    let wrong = |problem: String| Error::metadata(MERGES_KEY, problem);
    let array = metadata.array(MERGES_KEY)?.ok_or_else(|| wrong("is missing".to_owned()))?;
    let lines = array.as_strings().ok_or_else(|| wrong("is not an array of strings".to_owned()))?;
    let mut merges = HashMap::with_capacity(lines.len());
    let mut joined = String::new();
    for (line, order) in lines.iter().zip(0..) {
        let known = |part: &str| {
            vocabulary.find(part).ok_or_else(|| wrong(format!("has `{line}`, but `{part}` is no token")))
        };
        let (left, right) =
            halves(line).ok_or_else(|| wrong(format!("has `{line}`, expected two tokens")))?;
        joined.clear();
        joined.extend([left, right]);
        let token = known(&joined)?;
        // Of two merges of one pair, the first counts.
        merges.entry((known(left)?, known(right)?)).or_insert(Merge { order, token });
    }
    Ok(merges)
}

/// The two tokens of a merge; the first may itself start with the space that stands between them.
fn halves(line: &str) -> Option<(&str, &str)> {
    let (at, _) = line.char_indices().skip(1).find(|(_, letter)| *letter == ' ')?;
    Some((&line[..at], &line[at + 1..]))
}
