use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use super::{failed, special, tokens};
use crate::gguf::Metadata;
use crate::{Error, Result};

const PRE_KEY: &str = "tokenizer.ggml.pre";
const MERGES_KEY: &str = "tokenizer.ggml.merges";

/// How text is cut into words before merging; from the `tokenizer.json` of each family.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The families of byte-level BPE, which differ in how they cut words.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    Gpt2,
    Llama3,
    Qwen2,
}

/// Builds a byte-level BPE tokenizer: `tokenizer.ggml.model` is `gpt2`.
pub(super) fn build(metadata: &Metadata) -> Result<Tokenizer> {
    let family = Family::of(metadata)?;
    let tokens = tokens(metadata)?;
    let vocabulary: Vocab = tokens.iter().cloned().zip(0..).collect();
    let bpe = BPE::builder()
        .vocab_and_merges(vocabulary, merges(metadata)?)
        .ignore_merges(family == Family::Llama3)
        .build()
        .map_err(failed("build the vocabulary"))?;
    let mut tokenizer = Tokenizer::new(bpe);
    tokenizer.with_pre_tokenizer(Some(family.pre_tokenizer()?));
    tokenizer.with_decoder(Some(ByteLevel::new(false, false, false)));
    special::register(&mut tokenizer, metadata, tokens)?;
    Ok(tokenizer)
}

impl Family {
    fn of(metadata: &Metadata) -> Result<Self> {
        match metadata.string(PRE_KEY)? {
            None | Some("default" | "gpt-2" | "gpt2") => Ok(Self::Gpt2),
            Some("llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe") => Ok(Self::Llama3),
            Some("qwen2" | "deepseek-r1-qwen") => Ok(Self::Qwen2),
            Some(other) => Err(Error::Unsupported {
                what: "pre-tokenizer",
                name: other.to_owned(),
                supported: "gpt-2, llama-bpe, qwen2",
            }),
        }
    }

    fn pre_tokenizer(self) -> Result<PreTokenizerWrapper> {
        match self {
            Self::Gpt2 => Ok(ByteLevel::new(false, false, true).into()),
            Self::Llama3 => words(LLAMA3),
            Self::Qwen2 => words(QWEN2),
        }
    }
}

fn words(pattern: &str) -> Result<PreTokenizerWrapper> {
    let pattern = SplitPattern::Regex(pattern.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
        .map_err(failed("compile the pre-tokenizer"))?;
    Ok(Sequence::new(vec![split.into(), ByteLevel::new(false, false, false).into()]).into())
}

fn merges(metadata: &Metadata) -> Result<Merges> {
    let wrong = |problem: String| Error::metadata(MERGES_KEY, problem);
    let array = metadata.array(MERGES_KEY)?.ok_or_else(|| wrong("is missing".to_owned()))?;
    let lines = array.as_strings().ok_or_else(|| wrong("is not an array of strings".to_owned()))?;
    let pair = |line: &String| {
        let (left, right) =
            line.split_once(' ').ok_or_else(|| wrong(format!("has `{line}`, expected two tokens")))?;
        Ok((left.to_owned(), right.to_owned()))
    };
    lines.iter().map(pair).collect()
}

/// The 256 characters that stand for bytes in byte-level vocabularies, in byte order.
#[cfg(test)]
pub(super) fn byte_alphabet() -> impl Iterator<Item = char> {
    let mut next = 256_u32;
    (0_u32..256).map(move |byte| match byte {
        33..=126 | 161..=172 | 174..=255 => char::from_u32(byte).unwrap(),
        _ => {
            next += 1;
            char::from_u32(next - 1).unwrap()
        }
    })
}
