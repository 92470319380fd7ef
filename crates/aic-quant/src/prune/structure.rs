//! Heads and channels: which of them go, and what that cuts out of each tensor of a layer.
use std::collections::HashMap;
use std::ops::Range;

use super::cut::{Cut, check_plain};
use super::rows::each_row;
use super::saliency::Saliency;
use crate::engine::Config;
use crate::gguf::Metadata;
use crate::{Error, Result, TensorInfo, TensorSource};

/// A part of every layer that consists of equal units, some of which go.
pub(super) struct Structure {
    /// Units of each layer.
    units: usize,
    /// The matrix that the units' outputs meet. Each unit has equally many of its columns.
    reader: &'static str,
    /// The tensors that make the units' outputs. Each unit has equally many of their rows, or numbers of a bias.
    writers: &'static [&'static str],
}

impl Structure {
    /// Key-value heads with the query heads that share them.
    pub(super) fn heads(config: &Config) -> Self {
        Self {
            units: config.kv_heads,
            reader: "attn_output.weight",
            writers: &[
                "attn_q.weight",
                "attn_k.weight",
                "attn_v.weight",
                "attn_q.bias",
                "attn_k.bias",
                "attn_v.bias",
            ],
        }
    }

    /// Channels of the feed-forward network.
    pub(super) fn channels(config: &Config) -> Self {
        Self {
            units: config.feed_forward,
            reader: "ffn_down.weight",
            writers: &["ffn_gate.weight", "ffn_up.weight"],
        }
    }

    /// What is cut out of each tensor so that every layer keeps `keep` units; by the names of tensors.
    pub(super) fn cuts(
        &self,
        source: &dyn TensorSource,
        config: &Config,
        saliency: Saliency<'_>,
        keep: usize,
    ) -> Result<HashMap<String, Cut>> {
        if !(1..=self.units).contains(&keep) {
            let expected = "1 to as many as each layer has";
            return Err(Error::Option {
                option: "keep",
                value: format!("{keep} of {}", self.units),
                expected,
            });
        }
        let by_name: HashMap<_, _> = source.tensors().iter().map(|tensor| (&*tensor.name, tensor)).collect();
        let mut cuts = HashMap::new();
        for layer in 0..config.layers {
            self.cut_layer(source, &by_name, layer, saliency, keep, &mut cuts)?;
        }
        Ok(cuts)
    }

    fn cut_layer(
        &self,
        source: &dyn TensorSource,
        by_name: &HashMap<&str, &TensorInfo>,
        layer: usize,
        saliency: Saliency<'_>,
        keep: usize,
        cuts: &mut HashMap<String, Cut>,
    ) -> Result<()> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let missing = || Error::MissingTensor { name: name(self.reader) };
        let reader = *by_name.get(&*name(self.reader)).ok_or_else(missing)?;
        let kept = best(&self.scores(source, reader, saliency)?, keep);
        cuts.insert(reader.name.clone(), Cut::Columns(self.ranges(reader, reader.row_length(), &kept)?));
        for tensor in self.writers.iter().filter_map(|part| by_name.get(&*name(part))) {
            let ranges = self.ranges(tensor, tensor.shape.first().copied().unwrap_or(0), &kept)?;
            let is_bias = tensor.shape.len() == 1;
            cuts.insert(tensor.name.clone(), if is_bias { Cut::Columns(ranges) } else { Cut::Rows(ranges) });
        }
        Ok(())
    }

    /// The score of each unit: the sum of squares of the scores of the weights of `reader` that its outputs meet.
    fn scores(
        &self,
        source: &dyn TensorSource,
        reader: &TensorInfo,
        saliency: Saliency<'_>,
    ) -> Result<Vec<f64>> {
        check_plain(reader.dtype)?;
        let scorer = saliency.of(reader)?;
        let width = self.width(reader, reader.row_length())?;
        let mut scores = vec![0.0; self.units];
        each_row(source, reader, |row| {
            scorer.score(reader, row)?;
            for (score, weights) in scores.iter_mut().zip(row.chunks(width)) {
                *score += weights.iter().map(|weight| f64::from(*weight).powi(2)).sum::<f64>();
            }
            Ok(())
        })?;
        Ok(scores)
    }

    /// Where the units kept lie among the `length` rows or columns of `tensor`.
    fn ranges(&self, tensor: &TensorInfo, length: usize, kept: &[usize]) -> Result<Vec<Range<usize>>> {
        let width = self.width(tensor, length)?;
        Ok(kept.iter().map(|unit| unit * width..(unit + 1) * width).collect())
    }

    /// Rows or columns of one unit.
    fn width(&self, tensor: &TensorInfo, length: usize) -> Result<usize> {
        if length > 0 && length.is_multiple_of(self.units) {
            return Ok(length / self.units);
        }
        let problem =
            format!("has shape {:?}, which does not divide into {} parts", tensor.shape, self.units);
        Err(Error::tensor(&tensor.name, problem))
    }
}

/// The units of the `keep` highest scores, in order; of equal ones those further left.
fn best(scores: &[f64], keep: usize) -> Vec<usize> {
    let mut units: Vec<usize> = (0..scores.len()).collect();
    units.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    units.truncate(keep);
    units.sort_unstable();
    units
}

/// The metadata of `source` with `keep` key-value heads. The size of a head is written out, because readers take it for
/// the hidden size divided by the number of heads otherwise.
pub(super) fn with_heads(metadata: &Metadata, config: &Config, keep: usize) -> Metadata {
    let mut metadata = metadata.clone();
    let mut put = |name: &str, value: usize| {
        metadata.insert(format!("{}.{name}", config.architecture.name()), value as u32);
    };
    put("attention.head_count", config.heads / config.kv_heads * keep);
    put("attention.head_count_kv", keep);
    put("attention.key_length", config.head_size);
    put("attention.value_length", config.head_size);
    put("rope.dimension_count", config.rope_size);
    metadata
}

/// The metadata of `source` with `keep` channels.
pub(super) fn with_channels(metadata: &Metadata, config: &Config, keep: usize) -> Metadata {
    let mut metadata = metadata.clone();
    metadata.insert(format!("{}.feed_forward_length", config.architecture.name()), keep as u32);
    metadata
}
