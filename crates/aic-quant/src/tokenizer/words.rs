//! How texts are cut into words before merging, which every family of byte-level vocabularies does in its own way.
use regex::Regex;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::failed;
use crate::{Error, Result};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const MINICPM5: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+";
const BAILING: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+";
const SEED: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+";
const EXAONE4: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+"##;
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
/// Letters that have case, as DeepSeek's first models list them.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\u{295}-\u{2AF}\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}\u{3A3}-\u{3F5}\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}\u{1F5D}\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787}\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}]+";
const CJK: &str = r"[\u{800}-\u{9FA5}\u{AC00}-\u{D7FF}]+";

/// A family of byte-level vocabularies: what their texts go through before merging.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Family {
    /// Patterns applied in turn, each to what the one before has cut. Matches are pieces, and so is what lies between.
    ///
    /// A trailing `\s+` leaves the last character to what follows, see [`Step`].
    patterns: &'static [&'static str],
    /// Whether a word that is a token stays whole, even where merging would not lead to it.
    pub(super) keeps_known_words: bool,
    /// Whether texts start with the beginning-of-text token where the file does not say.
    pub(super) adds_bos: bool,
    /// Whether texts are composed first: a letter and its accent become one character (NFC).
    composes: bool,
}

const PLAIN: Family = Family { patterns: &[], keeps_known_words: false, adds_bos: false, composes: false };

impl Family {
    /// Gemma 4 merges whole lines.
    pub(super) const LINES: Self = Self { patterns: &[r"\n+"], ..PLAIN };

    /// The family that `tokenizer.ggml.pre` names, in the words of llama.cpp; `None` if the file is silent, which means
    /// `default`.
    pub(super) fn named(name: Option<&str>) -> Result<Self> {
        let Some(name) = name else {
            tracing::warn!("file names no pre-tokenizer; answers may suffer, convert the model anew");
            return Self::named(Some("default"));
        };
        Self::known(name).ok_or_else(|| Error::Unsupported {
            what: "pre-tokenizer",
            name: name.to_owned(),
            supported: "those of llama, qwen, deepseek, mistral (tekken), gemma, phi, gpt, smollm, falcon, starcoder, command-r, granite, exaone, glm and their kin",
        })
    }

    fn known(name: &str) -> Option<Self> {
        let cutting = |patterns| Self { patterns, ..PLAIN };
        Some(match name {
            "default" => cutting(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"]),
            "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0"
            | "lfm2" | "jina-v5-nano" => {
                Self { keeps_known_words: true, adds_bos: true, ..cutting(&[LLAMA3]) }
            }
            "dbrx" | "smaug-bpe" | "chatglm-bpe" => cutting(&[LLAMA3]),
            "glm4" | "glm5" => Self { keeps_known_words: true, ..cutting(&[LLAMA3]) },
            "minicpm5" => Self { keeps_known_words: true, ..cutting(&[r"\p{N}{1,3}", MINICPM5]) },
            "qwen2" => Self { composes: true, ..cutting(&[QWEN2]) },
            "qwen35" => cutting(&[QWEN35]),
            "deepseek-r1-qwen" | "kormo" | "f2llmv2" | "stablelm2" | "hunyuan" | "megrez" | "solar-open"
            | "grok-2" => cutting(&[QWEN2]),
            "tekken" => Self { keeps_known_words: true, adds_bos: true, ..cutting(&[TEKKEN]) },
            "gpt-4o" | "llama4" | "kanana2" | "talkie" | "minimax-m2" => cutting(&[GPT4O]),
            "deepseek-llm" => cutting(&[
                r"[\r\n]",
                DEEPSEEK_LETTERS,
                r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
                r"\s+$",
                CJK,
                r"\p{N}+",
            ]),
            "deepseek-coder" => cutting(&[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, r"\p{N}"]),
            "deepseek-v3" | "hunyuan-dense" | "joyai-llm" | "hy_v4" => {
                cutting(&[r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3])
            }
            "falcon" => cutting(&[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"]),
            "gpt-2" | "gpt2" | "phi-2" | "jina-es" | "jina-de" | "gigachat" | "jina-v2-es" | "jina-v2-de"
            | "a.x-4.0" | "mellum" | "roberta-bpe" | "jina-v1-en" | "jina-v2-code" | "jais" | "trillion"
            | "granite-docling" => cutting(&[GPT2]),
            "mpt" | "olmo" | "modern-bert" => Self { composes: true, ..cutting(&[GPT2]) },
            "starcoder" | "refact" | "smollm" | "codeshell" | "exaone" | "minerva-7b" | "mellum2" => {
                cutting(&[r"\p{N}", GPT2])
            }
            "command-r" => Self { composes: true, ..cutting(&[r"\p{N}", GPT2]) },
            "poro-chat" | "bloom" | "gpt3-finnish" => cutting(&[BLOOM]),
            "viking" => cutting(&[BLOOM, r"\p{N}"]),
            "bailingmoe" | "bailingmoe2" | "llada-moe" => cutting(&[BAILING]),
            "seed-coder" => cutting(&[SEED]),
            "exaone4" => cutting(&[GPT2]),
            "exaone-moe" => cutting(&[EXAONE4]),
            _ => return None,
        })
    }
}

/// Cuts texts into words.
pub(super) struct Words {
    steps: Vec<Step>,
    composes: bool,
}

impl Words {
    pub(super) fn new(family: Family) -> Result<Self> {
        let steps = family.patterns.iter().map(|pattern| Step::new(pattern)).collect::<Result<_>>()?;
        Ok(Self { steps, composes: family.composes })
    }

    /// Hands out the words of `text` in order; together they are the text, composed if the family wants that.
    pub(super) fn visit(&self, text: &str, mut visit: impl FnMut(&str)) {
        if self.composes && is_nfc_quick(text.chars()) != IsNormalized::Yes {
            return cut(&self.steps, &text.nfc().collect::<String>(), &mut visit);
        }
        cut(&self.steps, text, &mut visit);
    }
}

fn cut(steps: &[Step], text: &str, visit: &mut dyn FnMut(&str)) {
    let Some((step, rest)) = steps.split_first() else { return visit(text) };
    let mut start = 0;
    while let Some((from, to)) = step.find(text, start) {
        if start < from {
            cut(rest, &text[start..from], visit);
        }
        cut(rest, &text[from..to], visit);
        start = to;
    }
    if start < text.len() {
        cut(rest, &text[start..], visit);
    }
}

/// One pattern.
///
/// The originals end in `\s+(?!\S)|\s+`: white space before a word leaves its last character to that word, as in
/// `" "` + `" word"`. That takes back a step, which a search in linear time cannot; so the pattern ends in `\s+`, and the
/// step back is made here. Where `\s*[\r\n]+` stands before it, white space up to a line's end is a match of its own.
struct Step {
    pattern: Regex,
    leaves_last: bool,
    ends_lines: bool,
}

impl Step {
    fn new(pattern: &str) -> Result<Self> {
        let leaves_last = pattern.ends_with(r"|\s+");
        let ends_lines = pattern.contains(r"|\s*[\r\n]");
        let pattern =
            Regex::new(pattern).map_err(|error| failed("compile the pre-tokenizer")(error.into()))?;
        Ok(Self { pattern, leaves_last, ends_lines })
    }

    /// The first match from `start` on that is not empty.
    fn find(&self, text: &str, start: usize) -> Option<(usize, usize)> {
        let found = self.pattern.find_at(text, start)?;
        let end = if self.leaves_last { self.end(found.as_str(), &text[found.end()..]) } else { found.len() };
        Some((found.start(), found.start() + end))
    }

    /// How much of a match before `rest` remains.
    fn end(&self, found: &str, rest: &str) -> usize {
        let before_a_word = rest.starts_with(|next: char| !next.is_whitespace());
        let own = self.ends_lines && found.ends_with(['\r', '\n']);
        if !before_a_word || own || !found.chars().all(char::is_whitespace) {
            return found.len();
        }
        match found.char_indices().next_back() {
            Some((last, _)) if last > 0 => last,
            _ => found.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    fn words(family: &str, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        Words::new(Family::named(Some(family)).unwrap())
            .unwrap()
            .visit(text, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn white_space_before_a_word_leaves_it_the_last_character() {
        assert_eq!(words("gpt-2", "a   b"), ["a", "  ", " b"]);
        assert_eq!(words("gpt-2", "a\t\tb  "), ["a", "\t", "\t", "b", "  "]);
        assert_eq!(words("gpt-2", "a\n\nb"), ["a", "\n", "\n", "b"]);
        assert_eq!(words("llama-bpe", "a \n\nb"), ["a", " \n\n", "b"]);
        assert_eq!(words("llama-bpe", "a \n\n  b"), ["a", " \n\n", " ", " b"]);
        assert_eq!(words("llama-bpe", "a\u{3000}\u{3000}b"), ["a", "\u{3000}", "\u{3000}b"]);
    }

    #[test]
    fn families_cut_digits_and_contractions_in_their_own_ways() {
        assert_eq!(words("llama-bpe", "We'LL 12345"), ["We", "'LL", " ", "123", "45"]);
        assert_eq!(words("qwen2", "we'll 123"), ["we", "'ll", " ", "1", "2", "3"]);
        assert_eq!(words("gpt-2", "We'LL 12345"), ["We", "'", "LL", " 12345"]);
        assert_eq!(words("smollm", "a 123"), ["a", " ", "1", "2", "3"]);
        assert_eq!(words("tekken", "camelCase"), ["camel", "Case"]);
        assert_eq!(words("deepseek-v3", "漢字 1234"), ["漢字", " ", "123", "4"]);
    }

    #[test]
    fn letters_and_their_accents_are_composed_where_the_family_wants_it() {
        assert_eq!(words("qwen2", "e\u{301}"), ["é"]);
        assert_eq!(words("llama-bpe", "e\u{301}").concat(), "e\u{301}");
    }

    #[test]
    fn unknown_family_is_an_error_that_names_it() {
        let error = Family::named(Some("qwen9")).unwrap_err();
        assert!(error.to_string().starts_with("pre-tokenizer `qwen9` is not supported"), "{error}");
    }

    /// Families with every kind of pattern; compiled once, because that takes longer than cutting.
    static FAMILIES: LazyLock<Vec<(&str, Words)>> = LazyLock::new(|| {
        [
            "default",
            "gpt-2",
            "llama-bpe",
            "qwen2",
            "qwen35",
            "tekken",
            "gpt-4o",
            "deepseek-llm",
            "deepseek-v3",
            "bloom",
            "exaone-moe",
        ]
        .map(|name| (name, Words::new(Family::named(Some(name)).unwrap()).unwrap()))
        .into()
    });

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]
        #[test]
        fn words_of_any_text_are_the_text(text in "\\PC{0,20}|[ \\t\\r\\na'sLl1２漢\u{301}\u{a0}]{0,20}") {
            for (name, words) in FAMILIES.iter() {
                let mut out = Vec::new();
                words.visit(&text, |word| out.push(word.to_owned()));
                assert!(out.iter().all(|word| !word.is_empty()), "{name}");
                let expected = if words.composes { text.nfc().collect() } else { text.clone() };
                assert_eq!(out.concat(), expected, "{name}");
            }
        }
    }
}
