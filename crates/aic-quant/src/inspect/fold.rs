//! Layers that are alike, on one line.
use std::collections::HashMap;

use crate::{DType, TensorInfo};

/// Tensors that differ in the number of their layer only.
#[derive(Debug)]
pub(super) struct Fold<'a> {
    before: &'a str,
    layers: Vec<u32>,
    after: &'a str,
    pub(super) dtype: DType,
    pub(super) shape: &'a [usize],
    /// Of all of them.
    pub(super) bytes: u64,
    pub(super) count: usize,
}

/// Folds `tensors`, in the order of the first of each fold.
pub(super) fn fold(tensors: &[TensorInfo]) -> Vec<Fold<'_>> {
    let mut folds: Vec<Fold<'_>> = Vec::new();
    let mut positions = HashMap::new();
    for tensor in tensors {
        let (before, layer, after) = parts(&tensor.name);
        let key = (before, layer.is_some(), after, tensor.dtype, tensor.shape.as_slice());
        let at = *positions.entry(key).or_insert_with(|| {
            let (dtype, shape) = (tensor.dtype, tensor.shape.as_slice());
            folds.push(Fold { before, layers: Vec::new(), after, dtype, shape, bytes: 0, count: 0 });
            folds.len() - 1
        });
        folds[at].layers.extend(layer);
        folds[at].bytes = folds[at].bytes.saturating_add(tensor.bytes);
        folds[at].count += 1;
    }
    folds
}

/// A name around its first number between dots: `blk.`, 7, `.attn_q.weight`.
fn parts(name: &str) -> (&str, Option<u32>, &str) {
    let mut start = 0;
    for part in name.split('.') {
        let is_plain = part == "0" || !part.starts_with(['0', '+']);
        if let Some(number) = part.parse().ok().filter(|_| is_plain) {
            return (&name[..start], Some(number), &name[start + part.len()..]);
        }
        start += part.len() + 1;
    }
    (name, None, "")
}

impl Fold<'_> {
    /// The name, with the layers as ranges: `blk.0–3,7.attn_q.weight`.
    pub(super) fn name(&self) -> String {
        let mut layers = self.layers.clone();
        layers.sort_unstable();
        let ranges = layers.chunk_by(|a, b| b - a == 1).map(|range| match range {
            [one] => one.to_string(),
            many => format!("{}–{}", many[0], many[many.len() - 1]),
        });
        format!("{}{}{}", self.before, ranges.collect::<Vec<_>>().join(","), self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_between_dots_is_the_layer() {
        assert_eq!(parts("blk.12.attn_q.weight"), ("blk.", Some(12), ".attn_q.weight"));
        assert_eq!(parts("v.blk.0"), ("v.blk.", Some(0), ""));
        assert_eq!(parts("conv1d.weight"), ("conv1d.weight", None, ""));
        assert_eq!(parts("a.01.b"), ("a.01.b", None, ""));
        assert_eq!(parts("a.99999999999.b"), ("a.99999999999.b", None, ""));
        assert_eq!(parts("é.3.ü"), ("é.", Some(3), ".ü"));
    }

    #[test]
    fn layers_that_are_alike_are_one_line_with_their_ranges() {
        let tensor = |name: &str, dtype| TensorInfo::new(name, &[2, 32], dtype).unwrap();
        let layers = |dtype, layers: &[u32]| -> Vec<_> {
            layers.iter().map(|layer| tensor(&format!("blk.{layer}.w"), dtype)).collect()
        };
        let mut tensors = vec![tensor("embd", DType::F16)];
        tensors.extend(layers(DType::Q8_0, &[0, 2, 1, 7]));
        tensors.extend(layers(DType::Q4_0, &[3, 4, 5, 6]));

        let folds = fold(&tensors);

        let names: Vec<_> = folds.iter().map(Fold::name).collect();
        assert_eq!(names, ["embd", "blk.0–2,7.w", "blk.3–6.w"]);
        assert_eq!((folds[1].count, folds[1].bytes), (4, 4 * 68 * 2 / 2));
    }
}
