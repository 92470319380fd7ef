use std::collections::BTreeMap;

use serde::Deserialize;

use super::Patience;
use crate::onnx::folder::Folder;
use crate::{Error, Result};

/// What `config.json` and `generation_config.json` say about answers; the second wins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::onnx) struct Config {
    pub(in crate::onnx) decoder_start_token_id: Option<u32>,
    pub(in crate::onnx) bos_token_id: Option<OneOrMany>,
    pub(in crate::onnx) eos_token_id: Option<OneOrMany>,
    pub(in crate::onnx) pad_token_id: Option<u32>,
    pub(in crate::onnx) forced_bos_token_id: Option<u32>,
    pub(in crate::onnx) forced_eos_token_id: Option<OneOrMany>,
    pub(in crate::onnx) bad_words_ids: Option<Vec<Vec<u32>>>,
    pub(in crate::onnx) suppress_tokens: Option<Vec<i64>>,
    pub(in crate::onnx) begin_suppress_tokens: Option<Vec<i64>>,
    pub(in crate::onnx) no_repeat_ngram_size: Option<usize>,
    pub(in crate::onnx) renormalize_logits: Option<bool>,
    pub(in crate::onnx) max_length: Option<usize>,
    pub(in crate::onnx) num_beams: Option<usize>,
    pub(in crate::onnx) length_penalty: Option<f32>,
    pub(in crate::onnx) early_stopping: Option<EarlyStopping>,
    /// Tokens that the positions of encoder and decoder reach for.
    pub(in crate::onnx) max_position_embeddings: Option<usize>,
    pub(in crate::onnx) max_target_positions: Option<usize>,
    pub(in crate::onnx) max_source_positions: Option<usize>,
    // Whisper's own.
    pub(in crate::onnx) is_multilingual: Option<bool>,
    pub(in crate::onnx) lang_to_id: Option<BTreeMap<String, u32>>,
    pub(in crate::onnx) task_to_id: Option<BTreeMap<String, u32>>,
    pub(in crate::onnx) no_timestamps_token_id: Option<u32>,
    pub(in crate::onnx) max_initial_timestamp_index: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(in crate::onnx) enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(in crate::onnx) enum EarlyStopping {
    Flag(bool),
    /// The one word it can be is `never`.
    Word(String),
}

impl Config {
    pub(in crate::onnx) fn read(folder: &Folder<'_>) -> Result<Self> {
        type Object = serde_json::Map<String, serde_json::Value>;
        let mut all: Object = folder.settings("config.json")?;
        let generation: Object = folder.settings("generation_config.json")?;
        all.extend(generation.into_iter().filter(|(_, value)| !value.is_null()));
        Self::deserialize(serde_json::Value::Object(all))
            .map_err(|error| Error::metadata("generation_config.json", format!("cannot be used: {error}")))
    }

    /// The token that answers start with.
    pub(in crate::onnx) fn start(&self) -> Result<u32> {
        let first = self.bos_token_id.as_ref().and_then(|tokens| tokens.to_vec().first().copied());
        self.decoder_start_token_id
            .or(first)
            .ok_or_else(|| Error::metadata("decoder_start_token_id", "is missing in generation_config.json"))
    }

    /// The tokens that answers end with; the first is the usual one.
    pub(in crate::onnx) fn ends(&self) -> Result<Vec<u32>> {
        let ends = self.eos_token_id.as_ref().map(OneOrMany::to_vec).unwrap_or_default();
        if ends.is_empty() {
            return Err(Error::metadata("eos_token_id", "is missing in generation_config.json"));
        }
        Ok(ends)
    }

    pub(in crate::onnx) fn patience(&self) -> Patience {
        match &self.early_stopping {
            Some(EarlyStopping::Flag(true)) => Patience::None,
            Some(EarlyStopping::Word(word)) if word == "never" => Patience::Full,
            Some(EarlyStopping::Flag(false) | EarlyStopping::Word(_)) | None => Patience::Usual,
        }
    }
}

impl OneOrMany {
    pub(in crate::onnx) fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::One(token) => vec![*token],
            Self::Many(tokens) => tokens.clone(),
        }
    }
}
