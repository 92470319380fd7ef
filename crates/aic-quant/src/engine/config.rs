use crate::gguf::{Array, Metadata};
use crate::{Error, Result, TensorSource};

const ARCHITECTURE_KEY: &str = "general.architecture";
/// The tensor with one row for each token.
pub(crate) const EMBEDDING: &str = "token_embd.weight";
const TOKENS_KEY: &str = "tokenizer.ggml.tokens";
/// Larger than any real layer count, width or context; keeps arithmetic on them from overflowing.
const LIMIT: u64 = 1 << 24;

/// The families of models the decoder runs. They differ in how positions are rotated and in small additions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
}

/// A model's measures, read from its metadata and checked against each other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) architecture: Architecture,
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    pub(crate) rope_size: usize,
    pub(crate) rope_base: f64,
    /// What positions are multiplied with before rotation.
    pub(crate) rope_scale: f64,
    pub(crate) epsilon: f64,
    pub(crate) context: usize,
    pub(crate) vocabulary: usize,
}

impl Architecture {
    fn parse(name: &str) -> Result<Self> {
        match name {
            "llama" => Ok(Self::Llama),
            "qwen2" => Ok(Self::Qwen2),
            "qwen3" => Ok(Self::Qwen3),
            _ => Err(Error::Unsupported {
                what: "architecture",
                name: name.to_owned(),
                supported: "llama (Llama 2 and 3, Mistral, SmolLM …), qwen2, qwen3",
            }),
        }
    }

    /// The name in metadata keys.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// Whether rotary positions pair neighbours (as GGUF files of llama do) rather than halves.
    pub(crate) fn rotates_neighbours(self) -> bool {
        self == Self::Llama
    }
}

impl Config {
    pub(crate) fn new(source: &dyn TensorSource) -> Result<Self> {
        let metadata = source.metadata();
        let name = metadata
            .string(ARCHITECTURE_KEY)?
            .ok_or_else(|| Error::metadata(ARCHITECTURE_KEY, "is missing"))?;
        let architecture = Architecture::parse(name)?;
        let keys = Keys { metadata, architecture: name };
        keys.refuse_experts()?;
        let hidden = keys.size("embedding_length")?;
        let heads = keys.size("attention.head_count")?;
        let head_size = match keys.optional_size("attention.key_length")? {
            Some(size) => size,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => return Err(keys.wrong("attention.head_count", heads, &format!("a divisor of {hidden}"))),
        };
        let config = Self {
            architecture,
            layers: keys.size("block_count")?,
            hidden,
            feed_forward: keys.size("feed_forward_length")?,
            heads,
            kv_heads: keys.optional_size("attention.head_count_kv")?.unwrap_or(heads),
            head_size,
            rope_size: keys.optional_size("rope.dimension_count")?.unwrap_or(head_size),
            rope_base: keys.positive("rope.freq_base")?.unwrap_or(10_000.0),
            rope_scale: keys.rope_scale()?,
            epsilon: keys.positive("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-5),
            context: keys.size("context_length")?,
            vocabulary: vocabulary(source, &keys)?,
        };
        config.check(&keys)?;
        Ok(config)
    }

    fn check(&self, keys: &Keys<'_>) -> Result<()> {
        if !self.heads.is_multiple_of(self.kv_heads) {
            let expected = format!("a divisor of the {} heads", self.heads);
            return Err(keys.wrong("attention.head_count_kv", self.kv_heads, &expected));
        }
        if self.rope_size > self.head_size || !self.rope_size.is_multiple_of(2) {
            let expected = format!("an even number up to the head size {}", self.head_size);
            return Err(keys.wrong("rope.dimension_count", self.rope_size, &expected));
        }
        let value_size = keys.optional_size("attention.value_length")?.unwrap_or(self.head_size);
        if value_size != self.head_size {
            return Err(keys.wrong("attention.value_length", value_size, &format!("{}", self.head_size)));
        }
        Ok(())
    }

    /// Numbers in all key (or value) heads of one layer and token.
    pub(crate) fn kv_size(&self) -> usize {
        self.kv_heads * self.head_size
    }

    /// Numbers in all query heads of one layer and token.
    pub(crate) fn query_size(&self) -> usize {
        self.heads * self.head_size
    }
}

/// Rows of the embedding, which must be one for each token.
fn vocabulary(source: &dyn TensorSource, keys: &Keys<'_>) -> Result<usize> {
    let missing = || Error::MissingTensor { name: EMBEDDING.to_owned() };
    let embedding = source.tensors().iter().find(|tensor| tensor.name == EMBEDDING);
    let rows = embedding.ok_or_else(missing)?.shape.first().copied().unwrap_or(0);
    let tokens = keys.metadata.array(TOKENS_KEY)?.map(Array::len);
    match tokens.filter(|tokens| *tokens != rows) {
        None => Ok(rows),
        Some(tokens) => Err(Error::metadata(
            TOKENS_KEY,
            format!("has {tokens} entries, but `{}` has {rows} rows", EMBEDDING),
        )),
    }
}

/// Reads `<architecture>.<name>` keys.
struct Keys<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn wrong(&self, name: &str, value: impl std::fmt::Display, expected: &str) -> Error {
        Error::metadata(self.key(name), format!("is {value}, expected {expected}"))
    }

    fn size(&self, name: &str) -> Result<usize> {
        self.optional_size(name)?.ok_or_else(|| Error::metadata(self.key(name), "is missing"))
    }

    fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        match self.metadata.unsigned(&self.key(name))? {
            Some(value) if !(1..=LIMIT).contains(&value) => {
                Err(self.wrong(name, value, &format!("1 to {LIMIT}")))
            }
            value => Ok(value.map(|value| value as usize)),
        }
    }

    fn positive(&self, name: &str) -> Result<Option<f64>> {
        match self.metadata.float(&self.key(name))? {
            Some(value) if !(value > 0.0 && value.is_finite()) => {
                Err(self.wrong(name, value, "a positive number"))
            }
            value => Ok(value),
        }
    }

    fn rope_scale(&self) -> Result<f64> {
        let kind = self.metadata.string(&self.key("rope.scaling.type"))?;
        match kind {
            None | Some("none") => Ok(1.0),
            Some("linear") => Ok(1.0 / self.positive("rope.scaling.factor")?.unwrap_or(1.0)),
            Some(other) => Err(self.wrong("rope.scaling.type", other, "none or linear")),
        }
    }

    fn refuse_experts(&self) -> Result<()> {
        match self.metadata.unsigned(&self.key("expert_count"))? {
            None | Some(0) => Ok(()),
            Some(count) => Err(self.wrong("expert_count", count, "0; mixtures of experts are not supported")),
        }
    }
}
