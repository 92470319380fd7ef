//! Looking at a folder as Hugging Face stores models, of whatever kind.
use std::fs;
use std::path::Path;

use serde_json::Value as JsonValue;

use super::{Inspection, ModelFile, TokenizerSummary};
use crate::Result;
use crate::gguf::{Metadata, Value};
use crate::huggingface::Json;
use crate::safetensors::{File, Folder};

pub(super) fn inspect(path: &Path) -> Result<Inspection> {
    let config = Json::read_optional(path.join("config.json"))?;
    let weights = Folder::open(path)?;
    let file = |file: &File| ModelFile { path: file.label().into(), bytes: file.size_bytes() };
    let files = weights.files().iter().map(file).collect();
    let inspection = Inspection::new("safetensors".to_owned(), files, flat(&config), weights.tensors());
    Ok(Inspection {
        architecture: config.text("model_type").map(str::to_owned),
        name: config.text("_name_or_path").filter(|name| !name.is_empty()).map(str::to_owned),
        tokenizer: tokenizer(path, &config)?,
        ..inspection
    })
}

/// The values of a configuration; what nests is kept as JSON text.
fn flat(config: &Json) -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in config.value.as_object().into_iter().flatten() {
        metadata.insert(key, flat_value(value));
    }
    metadata
}

fn flat_value(value: &JsonValue) -> Value {
    match value {
        JsonValue::Bool(flag) => Value::Bool(*flag),
        JsonValue::String(text) => Value::String(text.clone()),
        JsonValue::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), ..) => Value::U64(number),
            (_, Some(number), _) => Value::I64(number),
            (.., number) => Value::F64(number.unwrap_or(f64::NAN)),
        },
        other => Value::String(other.to_string()),
    }
}

fn tokenizer(path: &Path, config: &Json) -> Result<Option<TokenizerSummary>> {
    if !fs::exists(path.join("tokenizer.json")).unwrap_or(false) {
        return Ok(None);
    }
    let settings = Json::read_optional(path.join("tokenizer_config.json"))?;
    let ids = |role: &str| {
        let ids = config.ids(&format!("{role}_token_id")).into_iter();
        ids.map(|id| (role.to_owned(), id.into())).collect::<Vec<_>>()
    };
    Ok(Some(TokenizerSummary {
        model: Some("huggingface".to_owned()),
        pre: None,
        vocabulary: config.optional_size("vocab_size").map(u64::from),
        special: ["bos", "eos", "pad"].into_iter().flat_map(ids).collect(),
        chat_template: settings.value.get("chat_template").is_some()
            || path.join("chat_template.jinja").exists(),
    }))
}
