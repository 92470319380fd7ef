use super::config::Config;
use super::footprint::Footprint;
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
    /// Estimated bytes in memory: weights and the packed copies kernels make of them.
    pub resident_bytes: u64,
    /// Bits per weight as held, packed copies left out.
    pub bits_per_weight: f64,
}

impl ModelInfo {
    pub(super) fn new(
        source: &dyn TensorSource,
        config: &Config,
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
            resident_bytes: footprint.weights_bytes + footprint.packed_bytes,
            bits_per_weight: bits / parameters.max(1) as f64,
        })
    }
}

fn text(metadata: &Metadata, key: &str) -> Result<Option<String>> {
    Ok(metadata.string(key)?.map(str::to_owned))
}
