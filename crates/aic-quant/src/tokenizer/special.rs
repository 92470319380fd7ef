use tokenizers::{AddedToken, Tokenizer};

use super::failed;
use crate::gguf::Metadata;
use crate::{Error, Result};

const TYPES_KEY: &str = "tokenizer.ggml.token_type";
/// Token types of GGUF files, as llama.cpp numbers them.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
/// Control tokens that end an answer even where the file names no `eot_token_id`.
const KNOWN_ENDS: [&str; 4] = ["<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>"];

/// The tokens that start and end texts.
#[derive(Clone, Debug)]
pub(crate) struct Special {
    bos: Option<u32>,
    add_bos: bool,
    ends: Vec<u32>,
    bos_text: String,
    eos_text: String,
}

impl Special {
    pub(super) fn new(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Self> {
        let bos = id(metadata, "bos")?;
        let eos = id(metadata, "eos")?;
        let named = [eos, id(metadata, "eot")?, id(metadata, "eom")?];
        let mut ends: Vec<u32> = named.into_iter().flatten().collect();
        let added = tokenizer.get_added_vocabulary();
        ends.extend(
            KNOWN_ENDS
                .into_iter()
                .filter(|end| added.is_special_token(end))
                .filter_map(|end| tokenizer.token_to_id(end)),
        );
        ends.sort_unstable();
        ends.dedup();
        let text = |id: Option<u32>| id.and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default();
        let add_bos = metadata
            .flag("tokenizer.ggml.add_bos_token")?
            .unwrap_or_else(|| adds_bos(metadata, tokenizer, bos));
        Ok(Self { bos, add_bos, ends, bos_text: text(bos), eos_text: text(eos) })
    }

    /// The token every text starts with, if the model wants one.
    pub(crate) fn prefix(&self) -> Option<u32> {
        self.bos.filter(|_| self.add_bos)
    }

    /// Whether `token` ends an answer.
    pub(crate) fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The tokens that end an answer.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The beginning-of-text token written out, for chat templates; empty if there is none.
    pub(crate) fn bos_text(&self) -> &str {
        &self.bos_text
    }

    /// The end-of-text token written out; empty if there is none.
    pub(crate) fn eos_text(&self) -> &str {
        &self.eos_text
    }
}

/// Where the file says nothing: what `tokenizer.json` does to an empty text, or what llama.cpp assumes.
fn adds_bos(metadata: &Metadata, tokenizer: &Tokenizer, bos: Option<u32>) -> bool {
    if tokenizer.get_post_processor().is_some() {
        let empty = tokenizer.encode_fast("", true).ok();
        return empty.is_some_and(|empty| bos.is_some() && empty.get_ids().first().copied() == bos);
    }
    let is =
        |key, wanted: &[&str]| metadata.string(key).ok().flatten().is_some_and(|name| wanted.contains(&name));
    is("tokenizer.ggml.model", &["llama"]) || is("tokenizer.ggml.pre", &["llama-bpe", "llama3", "llama-v3"])
}

/// The id at `tokenizer.ggml.<name>_token_id`.
fn id(metadata: &Metadata, name: &str) -> Result<Option<u32>> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let Some(id) = metadata.unsigned(&key)? else { return Ok(None) };
    let known = metadata.array(super::TOKENS_KEY)?.map_or(usize::MAX, crate::gguf::Array::len);
    let small = u32::try_from(id).ok().filter(|id| (*id as usize) < known);
    small.map(Some).ok_or_else(|| Error::metadata(key, format!("is {id}, but there are {known} tokens")))
}

/// The text of the token at `tokenizer.ggml.<name>_token_id`.
pub(super) fn token<'a>(metadata: &Metadata, name: &str, tokens: &'a [String]) -> Result<Option<&'a str>> {
    Ok(id(metadata, name)?.and_then(|id| tokens.get(id as usize)).map(String::as_str))
}

/// Tells the tokenizer which of its tokens are never made by merging: control tokens, which text leaves out, and
/// user-defined ones, which it keeps.
pub(super) fn register(tokenizer: &mut Tokenizer, metadata: &Metadata, tokens: &[String]) -> Result<()> {
    let types = types(metadata, tokens)?;
    let of = |wanted: i64| {
        tokens.iter().zip(&types).filter(move |(_, kind)| **kind == wanted).map(|(token, _)| token)
    };
    let control: Vec<_> = of(CONTROL).map(|token| AddedToken::from(token.clone(), true)).collect();
    let user: Vec<_> =
        of(USER_DEFINED).map(|token| AddedToken::from(token.clone(), false).normalized(false)).collect();
    tokenizer.add_special_tokens(control).map_err(failed("add control tokens"))?;
    tokenizer.add_tokens(user).map_err(failed("add user-defined tokens"))?;
    Ok(())
}

/// Each token's type; where the file has none, the tokens it names as special are control tokens.
fn types(metadata: &Metadata, tokens: &[String]) -> Result<Vec<i64>> {
    let wrong = |problem: String| Error::metadata(TYPES_KEY, problem);
    let Some(array) = metadata.array(TYPES_KEY)? else { return named(metadata, tokens.len()) };
    let types = array.to_i64().ok_or_else(|| wrong("is not an array of integers".to_owned()))?;
    if types.len() == tokens.len() {
        return Ok(types);
    }
    Err(wrong(format!("has {} entries, expected {}", types.len(), tokens.len())))
}

fn named(metadata: &Metadata, tokens: usize) -> Result<Vec<i64>> {
    let mut types = vec![0; tokens];
    for name in ["bos", "eos", "eot", "eom", "padding"] {
        if let Some(id) = id(metadata, name)? {
            types[id as usize] = CONTROL;
        }
    }
    Ok(types)
}
