use std::collections::HashMap;
use std::f64::consts::TAU;

use candle_core::quantized::QMatMul;
use candle_core::{Device, Tensor, Var};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::network::Supply;
use crate::engine::candle::compute;
use crate::engine::{Config, EMBEDDING};
use crate::gguf::Metadata;
use crate::{DType, Error, Result, TensorInfo, TensorSource, decode};

/// The measures a student may differ in from the model it starts as.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Size {
    pub(super) layers: Option<usize>,
    pub(super) hidden: Option<usize>,
    pub(super) feed_forward: Option<usize>,
}

/// What the student looks like, and which model its first weights are from.
pub(super) struct Blueprint<'a> {
    origin: &'a dyn TensorSource,
    origin_config: Config,
    pub(super) config: Config,
}

/// A tensor of the student.
struct Part<'a> {
    name: String,
    shape: Vec<usize>,
    /// The tensor it starts as; one of another shape only says that there is such a tensor.
    donor: &'a TensorInfo,
}

impl<'a> Blueprint<'a> {
    pub(super) fn new(origin: &'a dyn TensorSource, size: Size) -> Result<Self> {
        let origin_config = Config::new(origin)?;
        let mut config = origin_config.clone();
        config.layers = smaller("layers", size.layers, config.layers)?;
        config.hidden = smaller("hidden", size.hidden, config.hidden)?;
        config.feed_forward = smaller("feed_forward", size.feed_forward, config.feed_forward)?;
        Ok(Self { origin, origin_config, config })
    }

    /// The student's first weights: the origin's evenly chosen layers, random where the student is narrower.
    pub(super) fn parameters(&self, seed: u64, device: &Device) -> Result<Parameters> {
        let mut random = StdRng::seed_from_u64(seed);
        let parts = self.parts()?;
        let parameter = |part: Part<'_>| {
            let values = if part.donor.shape == part.shape {
                decode(&self.origin.read(part.donor)?, part.donor.dtype)?
            } else {
                self.drawn(&part, &mut random)
            };
            let value = Var::from_vec(values, part.shape.as_slice(), device);
            Ok((part.name, value.map_err(compute("preparing the student"))?))
        };
        Ok(Parameters { all: parts.into_iter().map(parameter).collect::<Result<_>>()? })
    }

    /// The student's tensors, in the order of the origin's.
    fn parts(&self) -> Result<Vec<Part<'a>>> {
        let by_name: HashMap<&str, &TensorInfo> =
            self.origin.tensors().iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let mut parts = Vec::new();
        for tensor in self.origin.tensors() {
            let name = tensor.name.as_str();
            let (donor, kind) = match layer_of(name) {
                None => (name.to_owned(), name),
                Some((layer, _)) if layer >= self.config.layers => continue,
                Some((layer, kind)) => (
                    format!("blk.{}.{kind}", spread(layer, self.config.layers, self.origin_config.layers)),
                    kind,
                ),
            };
            let donor = *by_name.get(donor.as_str()).ok_or(Error::MissingTensor { name: donor })?;
            parts.push(Part { name: name.to_owned(), shape: self.shape(name, kind)?, donor });
        }
        Ok(parts)
    }

    fn shape(&self, name: &str, kind: &str) -> Result<Vec<usize>> {
        let Config { hidden, feed_forward, vocabulary, head_size, .. } = self.config;
        let (queries, keys) = (self.config.query_size(), self.config.kv_size());
        Ok(match kind {
            EMBEDDING | "output.weight" => vec![vocabulary, hidden],
            "output_norm.weight" | "attn_norm.weight" | "ffn_norm.weight" => vec![hidden],
            "rope_freqs.weight" => vec![self.config.rope_size / 2],
            "attn_q.weight" => vec![queries, hidden],
            "attn_k.weight" | "attn_v.weight" => vec![keys, hidden],
            "attn_output.weight" => vec![hidden, queries],
            "attn_q.bias" => vec![queries],
            "attn_k.bias" | "attn_v.bias" => vec![keys],
            "attn_q_norm.weight" | "attn_k_norm.weight" => vec![head_size],
            "ffn_gate.weight" | "ffn_up.weight" => vec![feed_forward, hidden],
            "ffn_down.weight" => vec![hidden, feed_forward],
            _ => {
                return Err(Error::tensor(
                    name,
                    "is none of those that can be trained; take it out of the model",
                ));
            }
        })
    }

    /// Norms of 1 and biases of 0; matrices normal so that they keep the size of what they multiply, less for those that
    /// write to the residual stream, of which there are two in each layer (Radford et al. 2019, section 2.3).
    fn drawn(&self, part: &Part<'_>, random: &mut StdRng) -> Vec<f32> {
        let count = part.shape.iter().product();
        let &[_, inputs] = part.shape.as_slice() else {
            return vec![if part.name.ends_with("norm.weight") { 1.0 } else { 0.0 }; count];
        };
        let deviation = if part.name == EMBEDDING {
            0.02
        } else if part.name.ends_with("attn_output.weight") || part.name.ends_with("ffn_down.weight") {
            0.7 / (2.0 * inputs as f64 * self.config.layers as f64).sqrt()
        } else {
            0.7 / (inputs as f64).sqrt()
        };
        (0..count).map(|_| (normal(random) * deviation) as f32).collect()
    }

    /// After which of `teacher_layers` layers the teacher should be where the student is after each of its own.
    pub(super) fn counterparts(&self, teacher_layers: usize) -> Vec<usize> {
        let layers = self.config.layers;
        let before_next = |layer: usize| match layer + 1 < layers {
            true => spread(layer + 1, layers, teacher_layers).saturating_sub(1),
            false => teacher_layers - 1,
        };
        (0..layers).map(before_next).collect()
    }

    /// The origin's metadata with the student's measures and type.
    pub(super) fn metadata(&self, dtype: DType) -> Metadata {
        let mut metadata = self.origin.metadata().clone();
        let architecture = self.config.architecture.name();
        let mut size = |key: &str, value: usize| {
            metadata.insert(format!("{architecture}.{key}"), value as u32);
        };
        size("block_count", self.config.layers);
        size("embedding_length", self.config.hidden);
        size("feed_forward_length", self.config.feed_forward);
        if self.config.hidden != self.origin_config.hidden {
            // Readers would otherwise divide the new width by the number of heads.
            size("attention.key_length", self.config.head_size);
            size("attention.value_length", self.config.head_size);
            size("rope.dimension_count", self.config.rope_size);
        }
        for about_the_origin in OUTDATED {
            metadata.remove(about_the_origin);
        }
        metadata.insert("general.finetune", "distilled");
        metadata.insert("general.quantization_version", 2_u32);
        match file_type(dtype) {
            Some(code) => metadata.insert("general.file_type", code),
            None => metadata.remove("general.file_type"),
        };
        metadata
    }
}

/// What is no longer true of the student.
const OUTDATED: [&str; 5] =
    ["general.size_label", "general.parameter_count", "split.no", "split.count", "split.tensors.count"];

/// llama.cpp's code for a file that is mostly of one type (`LLAMA_FTYPE_MOSTLY_…`).
fn file_type(dtype: DType) -> Option<u32> {
    match dtype {
        DType::F32 => Some(0),
        DType::F16 => Some(1),
        DType::BF16 => Some(32),
        _ => None,
    }
}

fn smaller(option: &'static str, wanted: Option<usize>, most: usize) -> Result<usize> {
    match wanted {
        None => Ok(most),
        Some(size) if (1..=most).contains(&size) => Ok(size),
        Some(size) => Err(Error::Option {
            option,
            value: size.to_string(),
            expected: "at least 1 and no more than the model has that the student starts as",
        }),
    }
}

/// `blk.3.attn_q.weight` is layer 3 and `attn_q.weight`.
fn layer_of(name: &str) -> Option<(usize, &str)> {
    let (layer, kind) = name.strip_prefix("blk.")?.split_once('.')?;
    Some((layer.parse().ok()?, kind))
}

/// The layer of `many` that stands where `layer` does among `few`: first for first, last for last, evenly between.
fn spread(layer: usize, few: usize, many: usize) -> usize {
    match few - 1 {
        0 => 0,
        steps => (layer * (many - 1) + steps / 2) / steps,
    }
}

/// A standard normal number (Box and Muller 1958).
pub(super) fn normal(random: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (TAU * random.random::<f64>()).cos()
}

/// The student's weights by name, in the order of its file.
pub(super) struct Parameters {
    pub(super) all: Vec<(String, Var)>,
}

impl Parameters {
    /// How many numbers there are.
    pub(super) fn count(&self) -> u64 {
        self.all.iter().map(|(_, value)| value.elem_count() as u64).sum()
    }

    /// For a network that learns.
    pub(super) fn tracked(&self) -> impl Supply {
        Shared {
            by_name: self.all.iter().map(|(name, value)| (name.clone(), value.as_tensor().clone())).collect(),
        }
    }

    /// For a network that shares the weights and keeps no notes for a gradient.
    pub(super) fn detached(&self) -> impl Supply {
        let detached = |(name, value): &(String, Var)| (name.clone(), value.as_detached_tensor());
        Shared { by_name: self.all.iter().map(detached).collect() }
    }
}

struct Shared {
    by_name: HashMap<String, Tensor>,
}

impl Supply for Shared {
    fn matrix(&mut self, name: &str, _: [usize; 2]) -> Result<Option<QMatMul>> {
        Ok(self.by_name.get(name).cloned().map(QMatMul::Tensor))
    }

    fn vector(&mut self, name: &str, _: usize) -> Result<Option<Tensor>> {
        Ok(self.by_name.get(name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_spread_from_the_first_to_the_last() {
        let spread = |few, many| (0..few).map(|layer| spread(layer, few, many)).collect::<Vec<_>>();
        assert_eq!(spread(4, 4), [0, 1, 2, 3]);
        assert_eq!(spread(2, 4), [0, 3]);
        assert_eq!(spread(3, 12), [0, 6, 11]);
        assert_eq!(spread(1, 4), [0]);
    }
}
