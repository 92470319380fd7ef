//! Folders as Hugging Face stores models.
mod describe;
mod family;
mod json;
mod origin;
mod rope;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use self::describe::{describe, head_size, kv_heads};
use self::family::Family;
pub(crate) use self::json::Json;
use self::origin::Origin;
use self::rope::Rope;
use crate::gguf::{HUGGING_FACE_KEY, Metadata};
use crate::{Error, Result, TensorInfo, TensorSource, safetensors};

/// A model as Hugging Face stores it: a folder with `config.json`, `model.safetensors` and `tokenizer.json`.
///
/// Presented with the names and conventions of GGUF, so that it runs and [quantizes](crate::Quantizer) like one: Llama,
/// Mistral, Qwen 2 and 3, Phi 3 and 4, Gemma 1 to 3 (of a model that sees images, what reads and writes text), and BERT. The
/// weights may be in shards, listed by `model.safetensors.index.json`.
///
/// Written to GGUF, the tokenizer goes along as `tokenizer.huggingface.json`, which this crate reads and llama.cpp does
/// not.
#[derive(Debug)]
pub struct HuggingFace {
    weights: safetensors::Folder,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    /// What is behind each of `tensors`.
    origins: HashMap<String, Origin>,
}

impl HuggingFace {
    /// Opens the model in `folder`.
    ///
    /// # Errors
    /// [`Error::Io`] if a file is missing, [`Error::Metadata`] if `config.json` lacks a number,
    /// [`Error::Unsupported`] for other kinds of models.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let whole = Json::read(folder.join("config.json"))?;
        let text = whole.part("text_config").filter(|_| whole.text("model_type") == Some("gemma3"));
        let config = text.as_ref().unwrap_or(&whole);
        let weights = safetensors::Folder::open(folder)?;
        let family = Family::of(config)?;
        let rope = (family != Family::Bert).then(|| Rope::new(config, head_size(config)?)).transpose()?;
        let mut metadata = describe(family, config, rope.as_ref())?;
        add_pooling(&mut metadata, family, folder)?;
        add_tokenizer(&mut metadata, folder, &whole)?;
        let mut origins = Vec::new();
        let heads = [config.size("num_attention_heads")?, kv_heads(config)?];
        for tensor in weights.tensors() {
            let Some(name) = family.translate(&text_part(&tensor.name)) else { continue };
            if name == "output.weight" && whole.flag("tie_word_embeddings") == Some(true) {
                continue;
            }
            let origin = Origin::new(family, &name, tensor, heads)?;
            origins.push((name, origin));
        }
        for (name, factors) in rope.map_or(Ok(Vec::new()), |rope| rope.factors())? {
            let bytes = factors.iter().flat_map(|factor| factor.to_le_bytes()).collect();
            origins.push((name.to_owned(), Origin::Made(bytes)));
        }
        let tensors = origins.iter().map(|(name, origin)| origin.info(name)).collect::<Result<_>>()?;
        Ok(Self { weights, metadata, tensors, origins: origins.into_iter().collect() })
    }
}

impl TensorSource for HuggingFace {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        let missing = || Error::MissingTensor { name: tensor.name.clone() };
        self.origins.get(&tensor.name).ok_or_else(missing)?.read_into(&self.weights, start, out)
    }
}

/// The name a tensor would have in a model that is all text.
fn text_part(name: &str) -> String {
    match name.strip_prefix("language_model.") {
        Some(rest) => rest.to_owned(),
        None => name.replacen("model.language_model.", "model.", 1),
    }
}

/// How the vectors of tokens become one, as sentence-transformers writes it down.
fn add_pooling(metadata: &mut Metadata, family: Family, folder: &Path) -> Result<()> {
    let pooling = Json::read_optional(folder.join("1_Pooling").join("config.json"))?;
    let kinds =
        [("pooling_mode_mean_tokens", 1_u32), ("pooling_mode_cls_token", 2), ("pooling_mode_lasttoken", 3)];
    if let Some((_, kind)) = kinds.into_iter().find(|(key, _)| pooling.flag(key) == Some(true)) {
        metadata.insert(format!("{}.pooling_type", family.architecture()), kind);
    }
    Ok(())
}

fn add_tokenizer(metadata: &mut Metadata, folder: &Path, config: &Json) -> Result<()> {
    let path = folder.join("tokenizer.json");
    let tokenizer = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    metadata.insert(HUGGING_FACE_KEY, tokenizer);
    let ends = config.ids("eos_token_id");
    for (name, id) in ["eos", "eot", "eom"].iter().zip(ends) {
        metadata.insert(format!("tokenizer.ggml.{name}_token_id"), id);
    }
    if let Some(id) = config.ids("bos_token_id").first() {
        metadata.insert("tokenizer.ggml.bos_token_id", *id);
    }
    if let Some(template) = chat_template(folder)? {
        metadata.insert("tokenizer.chat_template", template);
    }
    Ok(())
}

/// The template of a file of its own, or of the tokenizer's settings; of several there the one called `default`.
fn chat_template(folder: &Path) -> Result<Option<String>> {
    let path = folder.join("chat_template.jinja");
    if path.exists() {
        return fs::read_to_string(&path).map(Some).map_err(Error::io("read", &path));
    }
    let settings = Json::read_optional(folder.join("tokenizer_config.json"))?;
    let named =
        || settings.value.get("chat_template")?.as_array()?.iter().find(|one| one["name"] == "default");
    let one = settings.text("chat_template").or_else(|| named()?.get("template")?.as_str());
    Ok(one.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_is_found_wherever_folders_have_it() {
        let folder = tempfile::tempdir().unwrap();
        let template = || chat_template(folder.path()).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(template(), None);

        write("tokenizer_config.json", r#"{"chat_template": "one"}"#);
        assert_eq!(template().as_deref(), Some("one"));

        let several = r#"{"chat_template": [{"name": "rag", "template": "x"}, {"name": "default", "template": "two"}]}"#;
        write("tokenizer_config.json", several);
        assert_eq!(template().as_deref(), Some("two"));

        write("chat_template.jinja", "three");
        assert_eq!(template().as_deref(), Some("three"));
    }
}
