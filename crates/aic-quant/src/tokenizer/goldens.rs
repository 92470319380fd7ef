//! The ids that the reference libraries make of hard texts; `tests/goldens/tokenizers/make.py` has asked them.
use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::gguf::File;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/tokenizers");
/// Vocabularies that can spell every text, without changing it first.
const FAITHFUL: [&str; 7] = ["gpt-2", "llama-bpe", "smollm", "tekken", "deepseek-v3", "falcon", "gemma"];

/// A text and its tokens.
type Case = (String, Vec<u32>);

static CASES: LazyLock<BTreeMap<String, Vec<Case>>> = LazyLock::new(|| {
    let cases = std::fs::read_to_string(format!("{FOLDER}/cases.json")).unwrap();
    serde_json::from_str(&cases).unwrap()
});

static TOKENIZERS: LazyLock<BTreeMap<&str, Tokenizer>> = LazyLock::new(|| {
    let read = |name: &'static String| {
        let file = File::open(format!("{FOLDER}/{name}.gguf")).unwrap();
        (name.as_str(), Tokenizer::new(file.metadata(), usize::MAX).unwrap())
    };
    CASES.keys().map(read).collect()
});

fn pieces(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<String> {
    tokens.iter().map(|token| tokenizer.vocabulary.text(*token).to_owned()).collect()
}

#[test]
fn ids_are_those_of_the_reference_libraries() {
    for (name, cases) in CASES.iter() {
        let tokenizer = &TOKENIZERS[name.as_str()];
        assert!(cases.len() > 100);
        for (text, expected) in cases {
            let tokens = tokenizer.encode(text).unwrap();
            let (got, wanted) = (pieces(tokenizer, &tokens), pieces(tokenizer, expected));
            assert_eq!(&tokens, expected, "{name} {text:?}\n got {got:?}\nwant {wanted:?}");
        }
    }
}

#[test]
fn texts_come_back_whole_and_token_by_token() {
    for (name, cases) in CASES.iter().filter(|(name, _)| FAITHFUL.contains(&name.as_str())) {
        let tokenizer = &TOKENIZERS[name.as_str()];
        let lossy = |text: &str| text.contains("<|im_") || (name == "gemma" && text.contains('▁'));
        for (text, tokens) in cases.iter().filter(|(text, _)| !lossy(text)) {
            assert_eq!(&tokenizer.decode(tokens), text, "{name}");
        }
    }
}

/// What takes quadratic time would take hours here.
#[test]
fn long_runs_of_one_character_are_cut_at_once() {
    for (name, tokenizer) in TOKENIZERS.iter() {
        for letter in ["a", " ", "1", "🦀", "ab "] {
            let text = letter.repeat((1 << 16) / letter.len());
            let tokens = tokenizer.encode(&text).unwrap();
            if FAITHFUL.contains(name) {
                assert!(tokenizer.decode(&tokens) == text, "{name} {letter:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_comes_back(text in "\\PC{0,30}|[ -~\\t\\n\\ré🦀한\u{301}\u{a0}]{0,30}|.{0,30}") {
        prop_assume!(!text.contains('▁'));
        for name in FAITHFUL {
            let tokenizer = &TOKENIZERS[name];
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()), text.as_str(), "{}", name);
        }
        let llama = &TOKENIZERS["llama"];
        prop_assert_eq!(llama.decode(&llama.encode(&text).unwrap()), text);
    }

    #[test]
    fn streamed_pieces_are_whole_characters_and_together_the_text(tokens in prop::collection::vec(0..800_u32, 0..40)) {
        for (name, tokenizer) in TOKENIZERS.iter() {
            let mut bytes = Vec::new();
            let first = tokens.iter().position(|token| tokenizer.is_text(*token));
            for (index, token) in tokens.iter().enumerate() {
                tokenizer.write(*token, Some(index) == first, &mut bytes);
            }
            let expected = String::from_utf8_lossy(&bytes);
            prop_assert_eq!(tokenizer.decode(&tokens), expected.as_ref(), "{}", name);
        }
    }
}
