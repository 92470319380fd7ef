use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::TOKENS_KEY;
use crate::gguf::Metadata;
use crate::{Error, Result};

const TYPES_KEY: &str = "tokenizer.ggml.token_type";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A piece of text.
    Ordinary,
    /// Stands for text that no token spells.
    Unknown,
    /// Structure, such as the end of a turn; no part of the text.
    Control,
    /// A piece of text that is found before anything else, and never made by merging.
    UserDefined,
    /// A single byte, written `<0x0A>`.
    Byte,
}

impl Kind {
    /// GGUF's numbers. Tokens marked as unused are ordinary to SentencePiece, too.
    fn from_number(number: i64) -> Self {
        match number {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            6 => Self::Byte,
            _ => Self::Ordinary,
        }
    }
}

/// The tokens of a model: each one's text and kind, found by either number or text.
///
/// All texts lie in one string, because vocabularies have up to a quarter of a million.
pub(super) struct Vocabulary {
    text: String,
    /// Where each token's text ends.
    ends: Vec<usize>,
    kinds: Vec<Kind>,
    by_text: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Vocabulary {
    /// The tokens that `metadata` lists.
    pub(super) fn new(metadata: &Metadata) -> Result<Self> {
        let array = metadata.array(TOKENS_KEY)?.ok_or_else(|| Error::metadata(TOKENS_KEY, "is missing"))?;
        let wrong = || Error::metadata(TOKENS_KEY, "is not an array of strings");
        let texts = array.as_strings().ok_or_else(wrong)?;
        Self::from_tokens(texts.iter().zip(kinds(metadata, texts.len())?))
    }

    /// Of two tokens with one text, the later is found by it.
    pub(super) fn from_tokens(tokens: impl IntoIterator<Item = (impl AsRef<str>, Kind)>) -> Result<Self> {
        let hasher = DefaultHashBuilder::default();
        let mut vocabulary = Self {
            text: String::new(),
            ends: Vec::new(),
            kinds: Vec::new(),
            by_text: HashTable::new(),
            hasher,
        };
        for (text, kind) in tokens {
            vocabulary.push(text.as_ref(), kind)?;
        }
        vocabulary.by_text.shrink_to_fit(|token| {
            vocabulary.hasher.hash_one(text_of(&vocabulary.text, &vocabulary.ends, *token))
        });
        Ok(vocabulary)
    }

    fn push(&mut self, text: &str, kind: Kind) -> Result<()> {
        let many = || Error::metadata(TOKENS_KEY, "has more than 2^32 entries");
        let token = u32::try_from(self.len()).map_err(|_| many())?;
        self.text.push_str(text);
        self.ends.push(self.text.len());
        self.kinds.push(kind);
        let Self { text: all, ends, by_text, hasher, .. } = self;
        let hash = |token: &u32| hasher.hash_one(text_of(all, ends, *token));
        let same = |known: &u32| text_of(all, ends, *known) == text;
        match by_text.entry(hasher.hash_one(text), same, hash) {
            hashbrown::hash_table::Entry::Occupied(mut known) => *known.get_mut() = token,
            hashbrown::hash_table::Entry::Vacant(place) => drop(place.insert(token)),
        }
        Ok(())
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of `token`; empty if there is no such token.
    pub(super) fn text(&self, token: u32) -> &str {
        if (token as usize) < self.len() { text_of(&self.text, &self.ends, token) } else { "" }
    }

    /// What `token` is for; one that does not exist is unknown.
    pub(super) fn kind(&self, token: u32) -> Kind {
        self.kinds.get(token as usize).copied().unwrap_or(Kind::Unknown)
    }

    /// The token whose text is `text`, of whatever kind.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        let same = |token: &u32| text_of(&self.text, &self.ends, *token) == text;
        self.by_text.find(self.hasher.hash_one(text), same).copied()
    }

    /// The ordinary token whose text is `text`.
    pub(super) fn ordinary(&self, text: &str) -> Option<u32> {
        self.find(text).filter(|token| self.kind(*token) == Kind::Ordinary)
    }

    /// Makes `token` a control token, whatever the file says.
    pub(super) fn make_control(&mut self, token: u32) {
        self.kinds[token as usize] = Kind::Control;
    }

    /// Numbers, texts and kinds in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str, Kind)> {
        self.kinds.iter().zip(0_u32..).map(|(kind, token)| (token, self.text(token), *kind))
    }

    /// The token of each byte that has one.
    pub(super) fn bytes(&self) -> Box<[Option<u32>; 256]> {
        let mut bytes = Box::new([None; 256]);
        for (token, text, _) in self.iter().filter(|(.., kind)| *kind == Kind::Byte) {
            if let Some(byte) = byte(text) {
                bytes[usize::from(byte)] = Some(token);
            }
        }
        bytes
    }
}

/// The byte that a token such as `<0x0A>` stands for.
pub(super) fn byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_byte = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_byte.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

fn text_of<'a>(text: &'a str, ends: &[usize], token: u32) -> &'a str {
    let token = token as usize;
    let start = token.checked_sub(1).map_or(0, |previous| ends[previous]);
    &text[start..ends[token]]
}

/// Each token's kind; where the file has none, the tokens it names as special are control tokens.
fn kinds(metadata: &Metadata, tokens: usize) -> Result<Vec<Kind>> {
    let wrong = |problem: String| Error::metadata(TYPES_KEY, problem);
    let Some(array) = metadata.array(TYPES_KEY)? else { return named(metadata, tokens) };
    let numbers = array.to_i64().ok_or_else(|| wrong("is not an array of integers".to_owned()))?;
    if numbers.len() == tokens {
        return Ok(numbers.into_iter().map(Kind::from_number).collect());
    }
    Err(wrong(format!("has {} entries, expected {tokens}", numbers.len())))
}

fn named(metadata: &Metadata, tokens: usize) -> Result<Vec<Kind>> {
    let mut kinds = vec![Kind::Ordinary; tokens];
    for name in ["bos", "eos", "eot", "eom", "padding"] {
        if let Some(token) = super::special::id(metadata, name, tokens)? {
            kinds[token as usize] = Kind::Control;
        }
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_by_number_and_text() {
        let tokens =
            [("a", Kind::Ordinary), ("<s>", Kind::Control), ("", Kind::Ordinary), ("a", Kind::Ordinary)];
        let vocabulary = Vocabulary::from_tokens(tokens).unwrap();

        assert_eq!((vocabulary.text(1), vocabulary.kind(1)), ("<s>", Kind::Control));
        assert_eq!(vocabulary.find("a"), Some(3));
        assert_eq!(vocabulary.find("<s>"), Some(1));
        assert_eq!(vocabulary.ordinary("<s>"), None);
        assert_eq!(vocabulary.find("b"), None);
        assert_eq!((vocabulary.text(4), vocabulary.kind(4)), ("", Kind::Unknown));
    }

    #[test]
    fn only_two_digits_between_the_brackets_are_a_byte() {
        assert_eq!(byte("<0x0A>"), Some(10));
        for text in ["<0x0>", "<0x00A>", "<0xGG>", "0x0A", "<0x+1>", ""] {
            assert_eq!(byte(text), None, "{text}");
        }
    }
}
