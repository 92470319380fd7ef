//! Weights that get a type together, and the types they can get.
use super::knapsack::Item;
use super::measurements::Measurements;
use crate::recipe::{Rules, choose, is_weight, layer, padded};
use crate::{DType, TensorInfo};

/// Weights of one source that get the same type.
#[derive(Debug)]
pub(super) struct Group {
    /// What measurements call it: the names of its weights, joined by `+`.
    pub(super) name: String,
    /// What its weights do, whatever their layer.
    pub(super) role: String,
    /// The layer of its weights; 0 for those of none.
    pub(super) layer: f64,
    /// The places of its weights among the tensors of the source.
    pub(super) members: Vec<usize>,
    /// For each candidate that makes a difference, the types of the members.
    pub(super) options: Vec<Vec<DType>>,
}

impl Group {
    /// The groups of all weights that no rule decides. With `tie`, queries, keys and values of a layer are one group, and so
    /// are the two inputs of its feed-forward part: kernels that fuse them need one type.
    pub(super) fn all(tensors: &[TensorInfo], rules: &Rules, candidates: &[DType], tie: bool) -> Vec<Self> {
        let mut groups: Vec<(String, Self)> = Vec::new();
        for (index, tensor) in tensors.iter().enumerate() {
            if !is_weight(tensor) || rules.find(tensor).is_some() {
                continue;
            }
            let key = if tie { tied(&tensor.name) } else { tensor.name.clone() };
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.join(index, tensor),
                None => groups.push((key, Self::of(index, tensor))),
            }
        }
        groups.into_iter().map(|(_, group)| group.with_options(tensors, candidates)).collect()
    }

    fn of(index: usize, tensor: &TensorInfo) -> Self {
        let (number, role) = layer(&tensor.name);
        Self {
            name: tensor.name.clone(),
            role: role.to_owned(),
            layer: number.unwrap_or(0) as f64,
            members: vec![index],
            options: Vec::new(),
        }
    }

    fn join(&mut self, index: usize, tensor: &TensorInfo) {
        self.name = format!("{}+{}", self.name, tensor.name);
        self.role = format!("{}+{}", self.role, layer(&tensor.name).1);
        self.members.push(index);
    }

    fn with_options(mut self, tensors: &[TensorInfo], candidates: &[DType]) -> Self {
        for candidate in candidates {
            let types = self.types(tensors, *candidate);
            if !self.options.contains(&types) {
                self.options.push(types);
            }
        }
        self
    }

    /// The types of the members when all are to become `candidate`.
    pub(super) fn types(&self, tensors: &[TensorInfo], candidate: DType) -> Vec<DType> {
        self.members.iter().map(|&member| choose(&tensors[member], candidate).dtype).collect()
    }

    /// The bytes of one option.
    pub(super) fn bytes(&self, tensors: &[TensorInfo], types: &[DType], alignment: u64) -> u64 {
        let bytes = |(member, dtype): (&usize, &DType)| {
            padded(
                dtype.bytes_of(&tensors[*member].shape).expect("the type was chosen to fit the shape"),
                alignment,
            )
        };
        self.members.iter().zip(types).map(bytes).fold(0, u64::saturating_add)
    }

    /// The error of one option: the sum over its members.
    pub(super) fn error(&self, tensors: &[TensorInfo], types: &[DType], measured: &Measurements) -> f64 {
        let error = |(member, dtype): (&usize, &DType)| measured.error(&tensors[*member].name, *dtype);
        self.members.iter().zip(types).map(|pair| error(pair).unwrap_or(f64::INFINITY)).sum()
    }

    /// The options as the knapsack wants them, and which of [`options`](Self::options) each is; impossible ones are left out,
    /// unless nothing else is left.
    pub(super) fn items(
        &self,
        tensors: &[TensorInfo],
        measured: &Measurements,
        sensitivity: f64,
        alignment: u64,
    ) -> Vec<(usize, Item)> {
        let item = |(at, types): (usize, &Vec<DType>)| {
            let damage = sensitivity * self.error(tensors, types, measured);
            (at, Item { bytes: self.bytes(tensors, types, alignment), damage })
        };
        let all: Vec<(usize, Item)> = self.options.iter().enumerate().map(item).collect();
        let possible: Vec<_> = all.iter().filter(|(_, item)| item.damage.is_finite()).copied().collect();
        if !possible.is_empty() {
            return possible;
        }
        all.into_iter().map(|(at, item)| (at, Item { damage: f64::MAX.sqrt(), ..item })).collect()
    }

    /// The option to measure with: the one nearest to 4.5 bits per weight, where most models end up. Its damage stands well
    /// above rounding, and is still in proportion to its error.
    pub(super) fn probe(&self, tensors: &[TensorInfo], measured: &Measurements) -> Option<&[DType]> {
        let bits = |types: &[DType]| {
            types.iter().map(|dtype| dtype.bits_per_weight()).sum::<f64>() / types.len() as f64
        };
        let distance = |types: &[DType]| (bits(types) - 4.5).abs();
        let telling = |error: f64| error > 0.0 && error.is_finite();
        let options = self.options.iter().filter(|types| telling(self.error(tensors, types, measured)));
        options.min_by(|a, b| distance(a).total_cmp(&distance(b))).map(Vec::as_slice)
    }
}

/// What tied weights share.
fn tied(name: &str) -> String {
    let parts = [("attn_q.", "attn_qkv."), ("attn_k.", "attn_qkv."), ("attn_v.", "attn_qkv.")];
    let fed =
        [("ffn_gate.", "ffn_up."), ("ffn_gate_exps.", "ffn_up_exps."), ("ffn_gate_shexp.", "ffn_up_shexp.")];
    let found = parts.iter().chain(&fed).find(|(part, _)| name.contains(part));
    found.map_or_else(|| name.to_owned(), |(part, whole)| name.replace(part, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> Vec<TensorInfo> {
        let tensor = |name: &str, shape: &[usize]| TensorInfo::new(name, shape, DType::F16).unwrap();
        vec![
            tensor("blk.0.attn_norm.weight", &[256]),
            tensor("blk.0.attn_q.weight", &[8, 256]),
            tensor("blk.0.attn_k.weight", &[8, 256]),
            tensor("blk.0.attn_v.weight", &[8, 256]),
            tensor("blk.0.ffn_gate.weight", &[8, 256]),
            tensor("blk.0.ffn_up.weight", &[8, 256]),
            tensor("blk.0.ffn_down.weight", &[8, 96]),
            tensor("output.weight", &[8, 256]),
        ]
    }

    fn groups(tie: bool) -> Vec<Group> {
        let mut rules = Rules::default();
        rules.add("^output", DType::Q6_K).unwrap();
        Group::all(&tensors(), &rules, &[DType::Q8_0, DType::Q5_0, DType::Q4_K], tie)
    }

    #[test]
    fn weights_are_tied_only_on_request_and_ruled_ones_left_out() {
        assert_eq!(groups(false).len(), 6);
        let tied = groups(true);
        assert_eq!(tied.len(), 3);
        assert_eq!(tied[0].name, "blk.0.attn_q.weight+blk.0.attn_k.weight+blk.0.attn_v.weight");
        assert_eq!(tied[0].role, "attn_q.weight+attn_k.weight+attn_v.weight");
        assert_eq!(tied[1].members, [4, 5]);
    }

    #[test]
    fn candidates_that_fall_back_to_another_are_one_option() {
        let groups = groups(false);
        assert_eq!(groups[0].options, [[DType::Q8_0], [DType::Q5_0], [DType::Q4_K]]);
        assert_eq!(groups[5].options, [[DType::Q8_0], [DType::Q5_0]]);
        assert_eq!(groups[5].bytes(&tensors(), &[DType::Q5_0], 32), 544);
    }
}
