use std::cmp::Reverse;
use std::collections::HashMap;

use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};
use tokenizers::{Result as TokenizersResult, Tokenizer};

use super::{failed, special, tokens};
use crate::gguf::Metadata;
use crate::{Error, Result};

const SCORES_KEY: &str = "tokenizer.ggml.scores";
const SPACE_PREFIX_KEY: &str = "tokenizer.ggml.add_space_prefix";
/// What stands for a space in SentencePiece vocabularies.
const SPACE: &str = "▁";

/// Builds a SentencePiece BPE tokenizer with byte fallback: `tokenizer.ggml.model` is `llama`.
///
/// The vocabulary has scores instead of merges. As Hugging Face's converter does, every way of making a token out of
/// two others becomes a merge, in the order of the scores.
pub(super) fn build(metadata: &Metadata) -> Result<Tokenizer> {
    let tokens = tokens(metadata)?;
    let vocabulary: Vocab = tokens.iter().cloned().zip(0..).collect();
    let mut builder = BPE::builder()
        .vocab_and_merges(vocabulary, merges(tokens, scores(metadata, tokens.len())?))
        .byte_fallback(true)
        .fuse_unk(true);
    if let Some(unknown) = special::token(metadata, "unknown", tokens)? {
        builder = builder.unk_token(unknown.to_owned());
    }
    let mut tokenizer = Tokenizer::new(builder.build().map_err(failed("build the vocabulary"))?);
    let prefix = metadata.flag(SPACE_PREFIX_KEY)?.unwrap_or(true);
    let normalizer = normalizer(prefix).map_err(failed("build the normalizer"))?;
    tokenizer.with_normalizer(Some(normalizer)).map_err(failed("build the normalizer"))?;
    tokenizer.with_decoder(Some(decoder(prefix).map_err(failed("build the decoder"))?));
    special::register(&mut tokenizer, metadata, tokens)?;
    Ok(tokenizer)
}

fn scores(metadata: &Metadata, expected: usize) -> Result<&[f32]> {
    let wrong = |problem: &str| Error::metadata(SCORES_KEY, problem);
    let array = metadata.array(SCORES_KEY)?.ok_or_else(|| wrong("is missing"))?;
    let scores = array.as_f32().ok_or_else(|| wrong("is not an array of f32"))?;
    if scores.len() == expected {
        return Ok(scores);
    }
    Err(wrong(&format!("has {} entries, expected {expected}", scores.len())))
}

fn merges(tokens: &[String], scores: &[f32]) -> Merges {
    let ids: HashMap<&str, usize> =
        tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let mut merges = Vec::new();
    for (token, &score) in tokens.iter().zip(scores) {
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                merges.push((score, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| lengths(tokens, b).cmp(&lengths(tokens, a))));
    merges.into_iter().map(|(_, left, right)| (tokens[left].clone(), tokens[right].clone())).collect()
}

/// Among merges into tokens of one score, the one with the longer left side goes first.
fn lengths(tokens: &[String], merge: &(f32, usize, usize)) -> (usize, usize, Reverse<(usize, usize)>) {
    let (_, left, right) = *merge;
    (tokens[left].len(), tokens[right].len(), Reverse((left, right)))
}

fn normalizer(prefix: bool) -> TokenizersResult<NormalizerWrapper> {
    let spaces = Replace::new(" ", SPACE)?.into();
    let steps = if prefix { vec![Prepend::new(SPACE.to_owned()).into(), spaces] } else { vec![spaces] };
    Ok(Normalizers::new(steps).into())
}

fn decoder(prefix: bool) -> TokenizersResult<DecoderWrapper> {
    let mut steps: Vec<DecoderWrapper> =
        vec![Replace::new(SPACE, " ")?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if prefix {
        steps.push(Strip::new(' ', 1, 0).into());
    }
    Ok(Decoders::new(steps).into())
}
