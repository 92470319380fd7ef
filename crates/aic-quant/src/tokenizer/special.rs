use super::vocabulary::{Kind, Vocabulary};
use crate::gguf::Metadata;
use crate::{Error, Result};

/// Control tokens that end an answer, whatever else the file says; as in llama.cpp.
const KNOWN_ENDS: [&str; 17] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<turn|>",
    "<end_of_utterance>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "[e~[",
    "<｜end▁of▁sentence｜>",
];
/// Where these are tokens, `<|end|>` ends a part of an answer only.
const HARMONY: [&str; 2] = ["<|return|>", "<|call|>"];

/// The tokens that start and end texts.
#[derive(Clone, Debug)]
pub(crate) struct Special {
    prefix: Option<u32>,
    suffix: Option<u32>,
    ends: Vec<u32>,
    bos_text: String,
    eos_text: String,
}

/// What holds for a kind of tokenizer where the file is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usual {
    /// The beginning- and end-of-text tokens.
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    /// Whether texts start and end with them.
    pub(super) adds_bos: bool,
    pub(super) adds_eos: bool,
}

impl Usual {
    pub(super) const LLAMA: Self = Self { bos: Some(1), eos: Some(2), adds_bos: true, adds_eos: false };
    pub(super) const GEMMA4: Self = Self { bos: None, eos: None, adds_bos: true, adds_eos: false };
    pub(super) const T5: Self = Self { bos: None, eos: Some(1), adds_bos: false, adds_eos: true };
    /// What BERT calls class and separator.
    pub(super) const BERT: Self = Self { bos: Some(101), eos: Some(102), adds_bos: true, adds_eos: true };
}

impl Special {
    /// What `metadata` says, and otherwise what is `usual`. Tokens that end answers become control tokens.
    pub(super) fn new(metadata: &Metadata, vocabulary: &mut Vocabulary, usual: Usual) -> Result<Self> {
        let count = vocabulary.len();
        let id = |name| id(metadata, name, count);
        let existing = |token: &u32| (*token as usize) < count;
        let bos = id("bos")?.or(id("cls")?).or(usual.bos.filter(existing));
        let eos = id("eos")?.or(id("seperator")?).or(usual.eos.filter(existing));
        let adds_bos = metadata.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(usual.adds_bos);
        let adds_eos = metadata.flag("tokenizer.ggml.add_eos_token")?.unwrap_or(usual.adds_eos);
        let mut ends: Vec<u32> = [eos, id("eot")?, id("eom")?].into_iter().flatten().collect();
        ends.extend(known_ends(vocabulary));
        ends.sort_unstable();
        ends.dedup();
        for end in &ends {
            vocabulary.make_control(*end);
        }
        let text =
            |token: Option<u32>| token.map(|token| vocabulary.text(token).to_owned()).unwrap_or_default();
        Ok(Self {
            prefix: bos.filter(|_| adds_bos),
            suffix: eos.filter(|_| adds_eos),
            bos_text: text(bos),
            eos_text: text(eos),
            ends,
        })
    }

    /// The token every text starts with, if the model wants one.
    pub(crate) fn prefix(&self) -> Option<u32> {
        self.prefix
    }

    /// The token every text ends with, if the model wants one; most that generate do not.
    pub(crate) fn suffix(&self) -> Option<u32> {
        self.suffix
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

/// Tokens that end answers by their names; a piece of text by such a name does not.
fn known_ends(vocabulary: &Vocabulary) -> Vec<u32> {
    let special = |text: &&str| {
        let token = vocabulary.find(text)?;
        matches!(vocabulary.kind(token), Kind::Control | Kind::UserDefined).then_some(token)
    };
    let harmony = HARMONY.iter().all(|text| special(text).is_some());
    let known = KNOWN_ENDS.iter().filter(|text| !(harmony && **text == "<|end|>"));
    known.filter_map(special).collect()
}

/// The id at `tokenizer.ggml.<name>_token_id`, of `count` tokens.
pub(super) fn id(metadata: &Metadata, name: &str, count: usize) -> Result<Option<u32>> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let Some(id) = metadata.unsigned(&key)? else { return Ok(None) };
    let small = u32::try_from(id).ok().filter(|id| (*id as usize) < count);
    small.map(Some).ok_or_else(|| Error::metadata(key, format!("is {id}, but there are {count} tokens")))
}
