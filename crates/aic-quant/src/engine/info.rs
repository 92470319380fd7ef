use super::config::{Config, EMBEDDING};
use super::footprint::{Footprint, held_bytes};
use super::options::ModelOptions;
use crate::gguf::Metadata;
use crate::{DType, Result, TensorInfo, TensorSource};

/// What is known about a loaded model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The name its makers gave it.
    pub name: Option<String>,
    /// A sentence about it.
    pub description: Option<String>,
    /// Its licence, usually an SPDX identifier.
    pub license: Option<String>,
    /// The family, such as `llama`.
    pub architecture: String,
    /// How many numbers its tensors have.
    pub parameters: u64,
    /// Tokens it was made for; [`Model::max_context`](super::Model::max_context) is what it was loaded for.
    pub context_length: usize,
    /// How many tokens it knows.
    pub vocabulary: usize,
    /// The length of its hidden state, and of [embeddings](super::Model::embed).
    pub hidden: usize,
    /// The type most of its weights are held in, after quantizing while loading.
    pub dtype: DType,
    /// Bytes of its tensors in the file.
    pub file_bytes: u64,
    /// Bytes of its weights in memory.
    pub resident_bytes: u64,
    /// Bytes of weights that are read to make one token: all but an embedding that is not the matrix of the logits too.
    pub active_bytes: u64,
    /// Bits per weight as held.
    pub bits_per_weight: f64,
}

impl ModelInfo {
    pub(super) fn new(
        source: &dyn TensorSource,
        config: &Config,
        options: &ModelOptions,
        footprint: &Footprint,
        held: &[(DType, u64)],
    ) -> Result<Self> {
        let metadata = source.metadata();
        let parameters: u64 = source.tensors().iter().map(TensorInfo::elements).sum();
        let most = held.iter().max_by_key(|(_, elements)| *elements).map_or(DType::F32, |(dtype, _)| *dtype);
        let bits: f64 = held.iter().map(|(dtype, elements)| dtype.bits_per_weight() * *elements as f64).sum();
        Ok(Self {
            name: text(metadata, "general.name")?,
            description: text(metadata, "general.description")?,
            license: text(metadata, "general.license")?,
            architecture: config.architecture.name().to_owned(),
            parameters,
            context_length: config.context,
            vocabulary: config.vocabulary,
            hidden: config.hidden,
            dtype: most,
            file_bytes: source.tensors().iter().map(|tensor| tensor.bytes).sum(),
            resident_bytes: footprint.weights_bytes,
            active_bytes: footprint.weights_bytes - unread_bytes(source, options),
            bits_per_weight: bits / parameters.max(1) as f64,
        })
    }
}

/// Bytes of the embedding, if it is only looked things up in.
fn unread_bytes(source: &dyn TensorSource, options: &ModelOptions) -> u64 {
    let find = |name: &str| source.tensors().iter().find(|tensor| tensor.name == name);
    match (find("output.weight"), find(EMBEDDING)) {
        (Some(_), Some(embedding)) => held_bytes(embedding, options),
        _ => 0,
    }
}

fn text(metadata: &Metadata, key: &str) -> Result<Option<String>> {
    Ok(metadata.string(key)?.map(str::to_owned))
}
