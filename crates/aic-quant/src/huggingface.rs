use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::gguf::{HUGGING_FACE_KEY, Metadata};
use crate::{Error, Result, TensorInfo, TensorSource, safetensors};

/// A model as Hugging Face stores it: a folder with `config.json`, `model.safetensors` and `tokenizer.json`.
///
/// Presented with the names and conventions of GGUF, so that it runs and [quantizes](crate::Quantizer) like one. Llama,
/// Mistral, Qwen 2 and Qwen 3; no rope scaling but `linear`. The weights may be in shards, listed by
/// `model.safetensors.index.json`.
///
/// Written to GGUF, the tokenizer goes along as `tokenizer.huggingface.json`, which this crate reads and llama.cpp does
/// not.
#[derive(Debug)]
pub struct HuggingFace {
    weights: safetensors::Folder,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    /// The stored tensor behind each of `tensors`, and how its rows are turned.
    originals: HashMap<String, Original>,
}

#[derive(Debug)]
struct Original {
    tensor: TensorInfo,
    /// How its rows change from halves to neighbours, if they do.
    turning: Option<Turning>,
}

impl HuggingFace {
    /// Opens the model in `folder`.
    ///
    /// # Errors
    /// [`Error::Io`] if a file is missing, [`Error::Metadata`] if `config.json` lacks a number,
    /// [`Error::Unsupported`] for other kinds of models.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let config = Json::read(folder.join("config.json"))?;
        let weights = safetensors::Folder::open(folder)?;
        let mut metadata = describe(&config)?;
        add_tokenizer(&mut metadata, folder, &config)?;
        let mut tensors = Vec::new();
        let mut originals = HashMap::new();
        for tensor in weights.tensors() {
            let Some(name) = translate(&tensor.name) else { continue };
            if name == "output.weight" && config.flag("tie_word_embeddings") {
                continue;
            }
            let turning =
                turned_heads(&name, &config)?.map(|heads| Turning::new(tensor, heads)).transpose()?;
            tensors.push(TensorInfo { name: name.clone(), ..tensor.clone() });
            originals.insert(name, Original { tensor: tensor.clone(), turning });
        }
        Ok(Self { weights, metadata, tensors, originals })
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
        let original = self.originals.get(&tensor.name).ok_or_else(missing)?;
        let Some(turning) = &original.turning else {
            return self.weights.read_into(&original.tensor, start, out);
        };
        let row_bytes = tensor.row_bytes().max(1);
        let first = start as usize / row_bytes;
        for (index, row) in out.chunks_mut(row_bytes).enumerate() {
            let from = turning.original(first + index) * row_bytes;
            self.weights.read_into(&original.tensor, from as u64, row)?;
        }
        Ok(())
    }
}

/// A JSON file whose values are read by key, with errors that name it.
pub(crate) struct Json {
    path: PathBuf,
    pub(crate) value: Value,
}

impl Json {
    fn read(path: PathBuf) -> Result<Self> {
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        let parsed = serde_json::from_slice(&text);
        let value = parsed.map_err(|error| Error::Malformed {
            format: "JSON",
            file: path.display().to_string(),
            offset: 0,
            problem: error.to_string(),
        })?;
        Ok(Self { path, value })
    }

    /// The file if it is there, otherwise an empty object.
    pub(crate) fn read_optional(path: PathBuf) -> Result<Self> {
        if path.exists() { Self::read(path) } else { Ok(Self { path, value: Value::Null }) }
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.value.get(key)?.as_str()
    }

    fn flag(&self, key: &str) -> bool {
        self.value.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn float(&self, key: &str) -> Option<f64> {
        let nested = || self.value.get("rope_parameters")?.get(key);
        self.value.get(key).or_else(nested)?.as_f64()
    }

    fn size(&self, key: &str) -> Result<u32> {
        self.optional_size(key).ok_or_else(|| self.wrong(key, "is missing or no number up to 2^32"))
    }

    pub(crate) fn optional_size(&self, key: &str) -> Option<u32> {
        self.value.get(key)?.as_u64()?.try_into().ok()
    }

    /// One id, or several.
    pub(crate) fn ids(&self, key: &str) -> Vec<u32> {
        let id = |value: &Value| value.as_u64().and_then(|id| id.try_into().ok());
        match self.value.get(key) {
            Some(Value::Array(values)) => values.iter().filter_map(id).collect(),
            Some(value) => id(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn wrong(&self, key: &str, problem: &str) -> Error {
        Error::metadata(key, format!("{problem} in {}", self.path.display()))
    }
}

/// The metadata a GGUF file of the model would have.
fn describe(config: &Json) -> Result<Metadata> {
    let architecture = architecture(config)?;
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", architecture);
    let mut put = |name: &str, value: u32| metadata.insert(format!("{architecture}.{name}"), value);
    put("block_count", config.size("num_hidden_layers")?);
    put("context_length", config.size("max_position_embeddings")?);
    put("embedding_length", config.size("hidden_size")?);
    put("feed_forward_length", config.size("intermediate_size")?);
    put("attention.head_count", config.size("num_attention_heads")?);
    put("attention.head_count_kv", kv_heads(config)?);
    if let Some(size) = config.optional_size("head_dim") {
        put("attention.key_length", size);
        put("attention.value_length", size);
    }
    let mut put = |name: &str, value: f64| metadata.insert(format!("{architecture}.{name}"), value as f32);
    put("rope.freq_base", config.float("rope_theta").unwrap_or(10_000.0));
    put("attention.layer_norm_rms_epsilon", config.float("rms_norm_eps").unwrap_or(1e-6));
    add_scaling(&mut metadata, config, architecture);
    Ok(metadata)
}

fn architecture(config: &Json) -> Result<&'static str> {
    match config.text("model_type") {
        Some("llama" | "mistral") => Ok("llama"),
        Some("qwen2") => Ok("qwen2"),
        Some("qwen3") => Ok("qwen3"),
        other => Err(Error::Unsupported {
            what: "model_type",
            name: other.unwrap_or_default().to_owned(),
            supported: "llama, mistral, qwen2, qwen3",
        }),
    }
}

fn kv_heads(config: &Json) -> Result<u32> {
    config.optional_size("num_key_value_heads").map_or_else(|| config.size("num_attention_heads"), Ok)
}

/// Passes rope scaling on; what the decoder does not know, it refuses by name.
fn add_scaling(metadata: &mut Metadata, config: &Json, architecture: &str) {
    let scaling = ["rope_scaling", "rope_parameters"].into_iter().find_map(|key| config.value.get(key));
    let Some(scaling) = scaling.filter(|scaling| scaling.is_object()) else { return };
    let kind = ["rope_type", "type"].into_iter().find_map(|key| scaling.get(key)).and_then(Value::as_str);
    let kind = kind.filter(|kind| *kind != "default").unwrap_or("none");
    metadata.insert(format!("{architecture}.rope.scaling.type"), kind);
    if let Some(factor) = scaling.get("factor").and_then(Value::as_f64) {
        metadata.insert(format!("{architecture}.rope.scaling.factor"), factor as f32);
    }
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
    let settings = Json::read_optional(folder.join("tokenizer_config.json"))?;
    if let Some(template) = settings.text("chat_template") {
        metadata.insert("tokenizer.chat_template", template);
    }
    Ok(())
}

/// The GGUF name of a tensor; `None` for those a decoder does not need.
fn translate(name: &str) -> Option<String> {
    match name {
        "lm_head.weight" => return Some("output.weight".to_owned()),
        "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
        "model.norm.weight" => return Some("output_norm.weight".to_owned()),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (module, kind) = part.rsplit_once('.')?;
    let module = match module {
        "input_layernorm" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        "post_attention_layernorm" => "ffn_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{module}.{kind}"))
}

/// Llama's queries and keys pair halves of a head when rotated; in GGUF they pair neighbours.
fn turned_heads(name: &str, config: &Json) -> Result<Option<usize>> {
    if architecture(config)? != "llama" {
        return Ok(None);
    }
    let module = name.rsplit('.').nth(1);
    match module {
        Some("attn_q") => Ok(Some(config.size("num_attention_heads")? as usize)),
        Some("attn_k") => Ok(Some(kv_heads(config)? as usize)),
        _ => Ok(None),
    }
}

/// Moves row `half · pairs + pair` of each head to `2 · pair + half`.
#[derive(Debug)]
struct Turning {
    pairs: usize,
}

impl Turning {
    fn new(tensor: &TensorInfo, heads: usize) -> Result<Self> {
        let rows = tensor.shape.first().copied().unwrap_or(0);
        if heads == 0 || rows == 0 || !rows.is_multiple_of(2 * heads) {
            return Err(Error::tensor(
                &tensor.name,
                format!("has {rows} rows, which {heads} heads cannot share"),
            ));
        }
        Ok(Self { pairs: rows / heads / 2 })
    }

    /// The stored row that becomes row `index`.
    fn original(&self, index: usize) -> usize {
        let (head, within) = (index / (2 * self.pairs), index % (2 * self.pairs));
        head * 2 * self.pairs + within % 2 * self.pairs + within / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn names_of_layers_are_translated_and_foreign_ones_dropped() {
        let name = |name| translate(name);
        assert_eq!(name("model.layers.11.self_attn.q_proj.weight").unwrap(), "blk.11.attn_q.weight");
        assert_eq!(name("model.layers.0.self_attn.k_proj.bias").unwrap(), "blk.0.attn_k.bias");
        assert_eq!(name("model.embed_tokens.weight").unwrap(), "token_embd.weight");
        assert_eq!(name("model.layers.0.self_attn.rotary_emb.inv_freq"), None);
        assert_eq!(name("vision.tower.weight"), None);
    }

    #[test]
    fn rows_of_halves_become_rows_of_neighbours() {
        let tensor = TensorInfo::new("q", &[8, 1], DType::I8).unwrap();
        let turning = Turning::new(&tensor, 2).unwrap();
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(|row| turning.original(row)), [0, 2, 1, 3, 4, 6, 5, 7]);
        assert!(Turning::new(&tensor, 3).is_err());
    }
}
