//! Looking at models without loading them.
mod display;
mod fold;
mod folder;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::gguf::{File, Metadata, Split, Value, Warning, is_shard};
use crate::open::Kind;
use crate::{DType, Result, TensorInfo, TensorSource, safetensors};

/// What a model file is and holds, read from its header alone.
///
/// Printed, it is a summary for people: types, metadata, and tensors with the layers that are alike on one line.
/// [`Serialize`]d, it has everything in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// `GGUF 3`, `safetensors`.
    pub format: String,
    /// The files, shards in their order.
    pub files: Vec<ModelFile>,
    /// The architecture: `llama`, `qwen2` …
    pub architecture: Option<String>,
    /// The model's name.
    pub name: Option<String>,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Bits per number over all tensors, scales included; `None` without numbers.
    pub bits_per_weight: Option<f64>,
    /// The types of the tensors, the one with most bytes first.
    pub types: Vec<TypeUse>,
    /// The tokenizer, if one goes along.
    pub tokenizer: Option<TokenizerSummary>,
    /// How the model was quantized, as far as it says.
    pub quantization: Quantization,
    /// All metadata; of a folder, the values of `config.json`.
    pub metadata: Metadata,
    /// All tensors.
    pub tensors: Vec<TensorInfo>,
    /// What is wrong with the files and can be lived with.
    pub warnings: Vec<Warning>,
}

/// One file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// The tensors of one type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TypeUse {
    /// The type.
    #[serde(serialize_with = "crate::tensor::name")]
    pub dtype: DType,
    /// How many tensors have it.
    pub tensors: usize,
    /// Their numbers.
    pub parameters: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their part of the bytes of all tensors, 0 to 1.
    pub share: f64,
}

/// What is known of a tokenizer without building it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TokenizerSummary {
    /// The kind: `llama`, `gpt2` …, or `huggingface` for a whole `tokenizer.json`.
    pub model: Option<String>,
    /// How text is cut before: `llama-bpe`, `qwen2` …
    pub pre: Option<String>,
    /// How many tokens there are.
    pub vocabulary: Option<u64>,
    /// Special tokens by their roles (`bos`, `eos` …) and their ids.
    pub special: Vec<(String, u64)>,
    /// Whether a chat template goes along.
    pub chat_template: bool,
}

/// How a model was quantized, as far as its file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Quantization {
    /// The version of the block formats.
    pub version: Option<u64>,
    /// llama.cpp's name for the mixture of types, such as `Q4_K_M`, or its number.
    pub file_type: Option<String>,
    /// The file of the importance matrix.
    pub imatrix_file: Option<String>,
    /// The text the importance matrix was measured on.
    pub imatrix_dataset: Option<String>,
    /// How many matrices it had.
    pub imatrix_entries: Option<u64>,
    /// How many chunks of text were read for it.
    pub imatrix_chunks: Option<u64>,
}

/// Looks at the model at `path`: a GGUF file, all shards of a split one, a safetensors file, or a folder of these with
/// or without a `config.json`.
///
/// GGUF files are read [leniently](File::open_lenient), so that half a download can be looked at too.
///
/// ```no_run
/// let inspection = aic_quant::inspect("model-Q4_K_M.gguf")?;
/// println!("{inspection}");
/// # Ok::<(), aic_quant::Error>(())
/// ```
///
/// # Errors
/// As [`open`](crate::open), but for kinds of models that can be looked at and not run.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let path = path.as_ref();
    match Kind::of(path)? {
        Kind::Folder => folder::inspect(path),
        Kind::Safetensors => {
            let file = safetensors::File::open(path)?;
            let files = vec![ModelFile { path: path.to_owned(), bytes: file.size_bytes() }];
            Ok(Inspection::new("safetensors".to_owned(), files, Metadata::new(), file.tensors()))
        }
        Kind::Gguf => inspect_gguf(path),
    }
}

fn inspect_gguf(path: &Path) -> Result<Inspection> {
    let file = File::open_lenient(path)?;
    if is_shard(file.metadata())? {
        let split = Split::open_lenient(path)?;
        let shards = split.shards();
        let warnings = shards.iter().flat_map(File::warnings).cloned().collect();
        let format = format!("GGUF {}", shards[0].version());
        let inspection = Inspection::new(
            format,
            shards.iter().map(model_file).collect(),
            split.metadata().clone(),
            split.tensors(),
        );
        return Ok(Inspection { warnings, ..inspection });
    }
    let format = format!("GGUF {}", file.version());
    let inspection =
        Inspection::new(format, vec![model_file(&file)], file.metadata().clone(), file.tensors());
    Ok(Inspection { warnings: file.warnings().to_vec(), ..inspection })
}

fn model_file(file: &File) -> ModelFile {
    ModelFile { path: file.label().into(), bytes: file.size_bytes() }
}

impl Inspection {
    fn new(format: String, files: Vec<ModelFile>, metadata: Metadata, tensors: &[TensorInfo]) -> Self {
        let parameters = tensors.iter().map(TensorInfo::elements).fold(0, u64::saturating_add);
        let bytes = tensors.iter().map(|tensor| tensor.bytes).fold(0, u64::saturating_add);
        Self {
            format,
            files,
            architecture: text(&metadata, "general.architecture"),
            name: text(&metadata, "general.name"),
            parameters,
            bits_per_weight: (parameters > 0).then(|| bytes as f64 * 8.0 / parameters as f64),
            types: types(tensors, bytes),
            tokenizer: TokenizerSummary::new(&metadata),
            quantization: Quantization::new(&metadata),
            metadata,
            tensors: tensors.to_vec(),
            warnings: Vec::new(),
        }
    }

    /// The size of all files.
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }
}

fn types(tensors: &[TensorInfo], all_bytes: u64) -> Vec<TypeUse> {
    let mut types: Vec<TypeUse> = Vec::new();
    for tensor in tensors {
        let at = types.iter().position(|known| known.dtype == tensor.dtype).unwrap_or_else(|| {
            types.push(TypeUse { dtype: tensor.dtype, tensors: 0, parameters: 0, bytes: 0, share: 0.0 });
            types.len() - 1
        });
        types[at].tensors += 1;
        types[at].parameters = types[at].parameters.saturating_add(tensor.elements());
        types[at].bytes = types[at].bytes.saturating_add(tensor.bytes);
    }
    for known in &mut types {
        known.share = known.bytes as f64 / all_bytes.max(1) as f64;
    }
    types.sort_by_key(|known| std::cmp::Reverse(known.bytes));
    types
}

impl TokenizerSummary {
    fn new(metadata: &Metadata) -> Option<Self> {
        metadata.iter().find(|(key, _)| key.starts_with("tokenizer."))?;
        let special = metadata.iter().filter_map(|(key, value)| {
            let role = key.strip_prefix("tokenizer.ggml.")?.strip_suffix("_token_id")?;
            Some((role.to_owned(), value.as_u64()?))
        });
        let whole = metadata.contains(crate::gguf::HUGGING_FACE_KEY).then(|| "huggingface".to_owned());
        let tokens = metadata.get("tokenizer.ggml.tokens").and_then(Value::as_array);
        Some(Self {
            model: text(metadata, "tokenizer.ggml.model").or(whole),
            pre: text(metadata, "tokenizer.ggml.pre"),
            vocabulary: tokens.map(|tokens| tokens.len() as u64),
            special: special.collect(),
            chat_template: metadata.contains("tokenizer.chat_template"),
        })
    }
}

impl Quantization {
    fn new(metadata: &Metadata) -> Self {
        let number = |key| metadata.get(key).and_then(Value::as_u64);
        Self {
            version: number("general.quantization_version"),
            file_type: number("general.file_type").map(file_type_name),
            imatrix_file: text(metadata, "quantize.imatrix.file"),
            imatrix_dataset: text(metadata, "quantize.imatrix.dataset"),
            imatrix_entries: number("quantize.imatrix.entries_count"),
            imatrix_chunks: number("quantize.imatrix.chunks_count"),
        }
    }
}

/// The text at `key`; a value of another type is none, and is seen among the metadata.
fn text(metadata: &Metadata, key: &str) -> Option<String> {
    metadata.get(key)?.as_str().map(str::to_owned)
}

/// llama.cpp's name of a file type (`llama_ftype` in `llama.h`), or the number if it has none.
fn file_type_name(code: u64) -> String {
    const NAMES: &[(u64, &str)] = &[
        (0, "F32"),
        (1, "F16"),
        (2, "Q4_0"),
        (3, "Q4_1"),
        (7, "Q8_0"),
        (8, "Q5_0"),
        (9, "Q5_1"),
        (10, "Q2_K"),
        (11, "Q3_K_S"),
        (12, "Q3_K_M"),
        (13, "Q3_K_L"),
        (14, "Q4_K_S"),
        (15, "Q4_K_M"),
        (16, "Q5_K_S"),
        (17, "Q5_K_M"),
        (18, "Q6_K"),
        (19, "IQ2_XXS"),
        (20, "IQ2_XS"),
        (21, "Q2_K_S"),
        (22, "IQ3_XS"),
        (23, "IQ3_XXS"),
        (24, "IQ1_S"),
        (25, "IQ4_NL"),
        (26, "IQ3_S"),
        (27, "IQ3_M"),
        (28, "IQ2_S"),
        (29, "IQ2_M"),
        (30, "IQ4_XS"),
        (31, "IQ1_M"),
        (32, "BF16"),
        (36, "TQ1_0"),
        (37, "TQ2_0"),
        (38, "MXFP4_MOE"),
    ];
    let name = NAMES.iter().find(|(number, _)| *number == code);
    name.map_or_else(|| code.to_string(), |(_, name)| (*name).to_owned())
}
