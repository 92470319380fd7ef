use super::config::{Config, EMBEDDING};
use super::footprint::Footprints;
use super::held::{device_bytes, host_bytes};
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
    /// How many layers it has.
    pub layers: usize,
    /// How many of them, the first ones, run on the [device](ModelOptions::device) it was loaded to; the others run on the
    /// processor.
    pub device_layers: usize,
    /// The length of its hidden state, and of [embeddings](super::Model::embed).
    pub hidden: usize,
    /// The type most of its weights are held in, after quantizing while loading.
    pub dtype: DType,
    /// Bytes of its tensors in the file.
    pub file_bytes: u64,
    /// Bytes of its weights in memory, on the device and beside it.
    pub resident_bytes: u64,
    /// Bytes of weights that are read to make one token: all but an embedding that things are only looked up in.
    pub active_bytes: u64,
    /// Bits per weight as held.
    pub bits_per_weight: f64,
}

impl ModelInfo {
    pub(super) fn new(
        source: &dyn TensorSource,
        config: &Config,
        options: &ModelOptions,
        needs: &Footprints,
        held: &[(DType, u64)],
    ) -> Result<Self> {
        let metadata = source.metadata();
        let resident_bytes = needs.together().weights_bytes;
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
            layers: needs.layers,
            device_layers: needs.device_layers,
            hidden: config.hidden,
            dtype: most,
            file_bytes: source.tensors().iter().map(|tensor| tensor.bytes).sum(),
            resident_bytes,
            active_bytes: resident_bytes.saturating_sub(unread_bytes(source, options, needs)),
            bits_per_weight: bits / parameters.max(1) as f64,
        })
    }
}

/// Bytes of the embedding where things are only looked up in it: where another matrix makes the logits, or makes them elsewhere.
fn unread_bytes(source: &dyn TensorSource, options: &ModelOptions, needs: &Footprints) -> u64 {
    let find = |name: &str| source.tensors().iter().find(|tensor| tensor.name == name);
    let is_split = (1..needs.layers).contains(&needs.device_layers);
    match find(EMBEDDING).filter(|_| is_split || find("output.weight").is_some()) {
        None => 0,
        Some(embedding) if needs.device_layers == 0 => host_bytes(embedding, options.dtype),
        Some(embedding) => device_bytes(embedding, options.dtype),
    }
}

fn text(metadata: &Metadata, key: &str) -> Result<Option<String>> {
    Ok(metadata.string(key)?.map(str::to_owned))
}
