use std::collections::HashMap;
use std::fmt;

use super::cut::{Cut, check_plain};
use super::layers::{Layers, layer_of};
use super::structure::{Structure, with_channels, with_heads};
use super::zeros::{Pattern, Zeros};
use super::{Method, Report, Saliency};
use crate::engine::Config;
use crate::gguf::Metadata;
use crate::{Error, Result, TensorInfo, TensorSource};

/// The matrices of a layer whose weights can be zeroed one by one.
const MATRICES: [&str; 8] = [
    "attn_q.weight",
    "attn_k.weight",
    "attn_v.weight",
    "attn_qkv.weight",
    "attn_output.weight",
    "ffn_gate.weight",
    "ffn_up.weight",
    "ffn_down.weight",
];

/// A model as it is after pruning.
///
/// Reads of the original what it is asked for, and needs memory for about a mebibyte of rows. Types stay as they are.
pub struct Pruned<'a> {
    pub(super) source: &'a dyn TensorSource,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    origins: HashMap<String, Origin>,
}

/// Where a tensor comes from.
struct Origin {
    tensor: TensorInfo,
    cut: Cut,
}

impl<'a> Pruned<'a> {
    /// `source` after `method`. Reads the matrices that have to be compared as a whole, and nothing else.
    ///
    /// # Errors
    /// - [`Error::Option`] if a number is out of its range, or nothing would be left;
    /// - [`Error::UnsupportedDType`] for quantized matrices, unless only whole layers go: prune first, then quantize;
    /// - [`Error::Tensor`] if no importance of a matrix is known, if its rows do not divide into groups, or if it has
    ///   weights that are not numbers (with [`Method::Weights`] that may become known only when it is read);
    /// - [`Error::Unsupported`] and its like if parts are to be taken out of a model that this crate does not run.
    pub fn new(source: &'a dyn TensorSource, method: &Method<'_>) -> Result<Self> {
        match method {
            Method::Weights { saliency, pattern } => Self::weights(source, *saliency, *pattern),
            Method::Heads { saliency, keep } => {
                let config = separate(source)?;
                let cuts = Structure::heads(&config).cuts(source, &config, *saliency, *keep)?;
                Self::cut(source, with_heads(source.metadata(), &config, *keep), cuts)
            }
            Method::Channels { saliency, keep } => {
                let config = separate(source)?;
                let cuts = Structure::channels(&config).cuts(source, &config, *saliency, *keep)?;
                Self::cut(source, with_channels(source.metadata(), &config, *keep), cuts)
            }
            Method::Layers { remove } => {
                let config = Config::new(source)?;
                let layers = Layers::without(&config, remove)?;
                let metadata = layers.describe(source.metadata(), &config);
                Self::build(source, metadata, |tensor| {
                    Ok(layers.rename(&tensor.name).map(|name| (name, Cut::Nothing)))
                })
            }
        }
    }

    /// Counts the zeros, for which it reads every matrix of plain numbers.
    ///
    /// # Errors
    /// Whatever reading fails with.
    pub fn report(&self) -> Result<Report> {
        Report::new(self)
    }

    fn weights(source: &'a dyn TensorSource, saliency: Saliency<'_>, pattern: Pattern) -> Result<Self> {
        pattern.check()?;
        if !source.tensors().iter().any(is_layer_matrix) {
            return Err(Error::Empty { what: "list of matrices to prune" });
        }
        Self::build(source, source.metadata().clone(), |tensor| {
            let name = tensor.name.clone();
            if !is_layer_matrix(tensor) {
                return Ok(Some((name, Cut::Nothing)));
            }
            check_plain(tensor.dtype)?;
            Ok(Some((name, Cut::Weights(Zeros::new(source, tensor, saliency, pattern)?))))
        })
    }

    fn cut(source: &'a dyn TensorSource, metadata: Metadata, mut cuts: HashMap<String, Cut>) -> Result<Self> {
        Self::build(source, metadata, |tensor| {
            Ok(Some((tensor.name.clone(), cuts.remove(&tensor.name).unwrap_or(Cut::Nothing))))
        })
    }

    /// `part` says what each tensor is called now and what is left of it; `None` if the tensor goes.
    fn build(
        source: &'a dyn TensorSource,
        metadata: Metadata,
        mut part: impl FnMut(&TensorInfo) -> Result<Option<(String, Cut)>>,
    ) -> Result<Self> {
        let mut pruned = Self { source, metadata, tensors: Vec::new(), origins: HashMap::new() };
        for tensor in source.tensors() {
            if let Some((name, cut)) = part(tensor)? {
                pruned.tensors.push(TensorInfo { name: name.clone(), ..cut.of(tensor)? });
                pruned.origins.insert(name, Origin { tensor: tensor.clone(), cut });
            }
        }
        Ok(pruned)
    }
}

impl TensorSource for Pruned<'_> {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        let missing = || Error::MissingTensor { name: tensor.name.clone() };
        let origin = self.origins.get(&tensor.name).ok_or_else(missing)?;
        origin.cut.read(self.source, &origin.tensor, start, out)
    }
}

impl fmt::Debug for Pruned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pruned")
            .field("tensors", &self.tensors.len())
            .field("tensors_before", &self.source.tensors().len())
            .finish_non_exhaustive()
    }
}

/// The measures of a model whose heads and channels have matrices of their own to be cut out of.
fn separate(source: &dyn TensorSource) -> Result<Config> {
    let config = Config::new(source)?;
    if config.fused_qkv || config.fused_gate_up {
        return Err(Error::Unsupported {
            what: "pruning heads or channels of architecture",
            name: format!("{} (with fused matrices)", config.architecture.name()),
            supported: "models with separate attn_q, attn_k, attn_v, ffn_gate and ffn_up",
        });
    }
    Ok(config)
}

fn is_layer_matrix(tensor: &TensorInfo) -> bool {
    tensor.shape.len() == 2 && layer_of(&tensor.name).is_some_and(|(_, part)| MATRICES.contains(&part))
}
