use super::role::{Role, is_weight, layer};
use crate::gguf::{Array, Metadata, Value};
use crate::{DType, TensorSource};

/// A mixture of types that llama.cpp made popular: most weights in one type, the sensitive ones in better ones.
///
/// The rules are those of `llama_tensor_get_type_impl` in llama.cpp's `src/llama-quant.cpp`, ggml 0.25;
/// `tests/goldens/mixtures.txt` has what its tool chooses. One thing differs: a rule of the user's on some tensors changes
/// nothing about the others, while there it shifts the count of layers.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mixture {
    Q2_K,
    Q2_K_S,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
    Q6_K,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    IQ4_NL,
}

/// One row per mixture: name and the type of most weights.
const TABLE: &[(Mixture, &str, DType)] = &[
    (Mixture::Q2_K, "Q2_K", DType::Q2_K),
    (Mixture::Q2_K_S, "Q2_K_S", DType::Q2_K),
    (Mixture::Q3_K_S, "Q3_K_S", DType::Q3_K),
    (Mixture::Q3_K_M, "Q3_K_M", DType::Q3_K),
    (Mixture::Q3_K_L, "Q3_K_L", DType::Q3_K),
    (Mixture::Q4_K_S, "Q4_K_S", DType::Q4_K),
    (Mixture::Q4_K_M, "Q4_K_M", DType::Q4_K),
    (Mixture::Q5_K_S, "Q5_K_S", DType::Q5_K),
    (Mixture::Q5_K_M, "Q5_K_M", DType::Q5_K),
    (Mixture::Q6_K, "Q6_K", DType::Q6_K),
    (Mixture::Q4_0, "Q4_0", DType::Q4_0),
    (Mixture::Q4_1, "Q4_1", DType::Q4_1),
    (Mixture::Q5_0, "Q5_0", DType::Q5_0),
    (Mixture::Q5_1, "Q5_1", DType::Q5_1),
    (Mixture::Q8_0, "Q8_0", DType::Q8_0),
    (Mixture::IQ4_NL, "IQ4_NL", DType::IQ4_NL),
];

impl Mixture {
    /// Every mixture.
    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The mixture called `name`, in whatever case.
    pub(super) fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1.eq_ignore_ascii_case(name)).map(|row| row.0)
    }

    pub(super) fn name(self) -> &'static str {
        self.row().1
    }

    /// The type of most weights.
    fn own(self) -> DType {
        self.row().2
    }

    /// llama.cpp's code for a file of this mixture (`LLAMA_FTYPE_MOSTLY_…`).
    pub(super) fn file_type(self) -> Option<u32> {
        match self {
            Self::Q3_K_M => Some(12),
            Self::Q3_K_L => Some(13),
            Self::Q4_K_M => Some(15),
            Self::Q5_K_M => Some(17),
            Self::Q2_K_S => Some(21),
            _ => self.own().file_type(),
        }
    }

    fn row(self) -> &'static (Self, &'static str, DType) {
        TABLE.iter().find(|row| row.0 == self).expect("every mixture has its row")
    }

    /// The type each tensor of `source` is meant to get, in their order; what is no weight is left to the caller.
    ///
    /// `weighed` says that an importance matrix is at hand, which makes some exceptions needless and others useful.
    pub(super) fn types(self, source: &dyn TensorSource, weighed: bool) -> Vec<DType> {
        let traits = Traits::of(source, weighed);
        let tensors = source.tensors();
        let mut types = vec![self.own(); tensors.len()];
        let (mut values, mut downs) = (0, 0);
        for index in in_layer_order(source) {
            let (tensor, role) = (&tensors[index], Role::of(&tensors[index].name));
            if !is_weight(tensor) {
                continue;
            }
            types[index] = match role {
                Role::AttentionV => self.attention_v(&traits, next(&mut values)),
                Role::FeedForwardDown => {
                    let count = next(&mut downs);
                    let number = layer(&tensor.name).0.filter(|_| traits.experts > 1);
                    self.feed_forward_down(&traits, number.unwrap_or(count))
                }
                Role::AttentionK if traits.experts == 8 => DType::Q8_0,
                Role::AttentionOutput => self.attention_output(&traits),
                Role::Output => self.output(&traits),
                Role::TokenEmbedding if traits.tied => self.output(&traits),
                _ => self.own(),
            };
        }
        types
    }

    /// The output matrix, which is the embedding too where there is only one of them.
    fn output(self, traits: &Traits) -> DType {
        if traits.falcon || self == Self::Q8_0 { DType::Q8_0 } else { DType::Q6_K }
    }

    /// `nth` counts the matrices of this role from the first layer on.
    fn attention_v(self, traits: &Traits, nth: u64) -> DType {
        let shared = traits.queries_per_key >= 4;
        let dtype = match self {
            Self::Q2_K if !shared => DType::Q3_K,
            Self::Q2_K | Self::Q2_K_S if shared => DType::Q4_K,
            Self::Q3_K_M => DType::Q4_K.or(DType::Q5_K, nth < 2),
            Self::Q3_K_L => DType::Q5_K,
            Self::Q4_K_S => DType::Q4_K.or(DType::Q5_K, nth < 4),
            Self::Q4_K_M | Self::Q5_K_M => self.own().or(DType::Q6_K, more_bits(nth, traits.values)),
            Self::IQ4_NL => self.own().or(DType::Q5_K, shared),
            _ => self.own(),
        };
        match dtype {
            _ if traits.experts == 8 => DType::Q8_0,
            DType::Q3_K | DType::Q4_K if traits.seventy => DType::Q5_K,
            _ => dtype,
        }
    }

    fn attention_output(self, traits: &Traits) -> DType {
        match self {
            Self::Q3_K_L if traits.falcon => DType::Q4_K,
            _ if traits.falcon => self.own(),
            Self::Q2_K | Self::Q3_K_S | Self::Q3_K_M | Self::Q4_K_S | Self::Q4_K_M | Self::IQ4_NL
                if traits.experts == 8 =>
            {
                DType::Q5_K
            }
            _ if traits.experts == 8 => self.own(),
            Self::Q2_K => DType::Q3_K,
            Self::Q3_K_M => DType::Q4_K,
            Self::Q3_K_L => DType::Q5_K,
            _ => self.own(),
        }
    }

    fn feed_forward_down(self, traits: &Traits, layer: u64) -> DType {
        let Traits { layers, falcon, weighed, .. } = *traits;
        let first = layer < layers / 8;
        let more = more_bits(layer, layers);
        match self {
            Self::Q2_K => DType::Q3_K,
            Self::Q2_K_S => DType::Q2_K.or(DType::Q4_K, first),
            Self::Q3_K_M if layer < layers / 16 => DType::Q5_K,
            Self::Q3_K_M => DType::Q3_K.or(DType::Q4_K, !falcon || more),
            Self::Q3_K_L => DType::Q5_K.or(DType::Q4_K, falcon),
            Self::Q4_K_S => DType::Q4_K.or(DType::Q5_K, first && !falcon),
            Self::Q4_K_M if falcon && layer >= layers / 16 => DType::Q4_K.or(DType::Q5_K, more),
            Self::Q4_K_M => DType::Q4_K.or(DType::Q6_K, falcon || more),
            Self::Q5_K_M => DType::Q5_K.or(DType::Q6_K, more),
            Self::IQ4_NL => DType::IQ4_NL.or(DType::Q5_K, first && !weighed),
            // The first layers go astray in types without a minimum when weighed.
            Self::Q4_0 => DType::Q4_0.or(DType::Q4_1, first && weighed),
            Self::Q5_0 => DType::Q5_0.or(DType::Q5_1, first && weighed),
            _ => self.own(),
        }
    }
}

impl DType {
    /// `better` where `sensitive`, otherwise itself.
    fn or(self, better: Self, sensitive: bool) -> Self {
        if sensitive { better } else { self }
    }
}

/// The layers that get more bits: the first eighth, the last, and every third between them.
fn more_bits(layer: u64, layers: u64) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

/// What the rules ask about a model.
struct Traits {
    layers: u64,
    /// Query heads that share one head of keys and values.
    queries_per_key: u64,
    experts: u64,
    falcon: bool,
    /// The largest models, of 70 billion weights, whose values are small beside their queries.
    seventy: bool,
    /// Whether one matrix is embedding and output.
    tied: bool,
    /// Matrices of attention values, fused ones included.
    values: u64,
    /// Whether an importance matrix is at hand.
    weighed: bool,
}

impl Traits {
    fn of(source: &dyn TensorSource, weighed: bool) -> Self {
        let metadata = source.metadata();
        let names = || source.tensors().iter().map(|tensor| tensor.name.as_str());
        let architecture = metadata.get("general.architecture").and_then(Value::as_str).unwrap_or_default();
        let number = |key: &str| number(metadata, &format!("{architecture}.{key}"));
        let layers =
            number("block_count").or_else(|| names().filter_map(|name| Some(layer(name).0? + 1)).max());
        let (layers, heads) = (layers.unwrap_or(0), number("attention.head_count").unwrap_or(0));
        let key_heads = number("attention.head_count_kv").unwrap_or(heads);
        Self {
            layers,
            queries_per_key: heads.checked_div(key_heads).unwrap_or(0),
            experts: number("expert_count").unwrap_or(0),
            falcon: architecture == "falcon",
            seventy: match architecture {
                "llama" => layers == 80 && heads != key_heads,
                "qwen2" | "deci" | "olmo" => layers == 80,
                "jais2" => layers == 68,
                _ => false,
            },
            tied: !names().any(|name| name == "output.weight"),
            values: names().filter(|name| Role::of(name) == Role::AttentionV).count() as u64,
            weighed,
        }
    }
}

/// The number at `key`, or the first of several: some models say it for each layer.
fn number(metadata: &Metadata, key: &str) -> Option<u64> {
    match metadata.get(key)? {
        Value::Array(Array::U32(items)) => items.first().map(|n| u64::from(*n)),
        Value::Array(Array::I32(items)) => items.first().and_then(|n| u64::try_from(*n).ok()),
        value => value.as_u64(),
    }
}

/// The tensors' indices, those of no layer first, then layer by layer, by name within each: the order the rules count in.
fn in_layer_order(source: &dyn TensorSource) -> Vec<usize> {
    let tensors = source.tensors();
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&index| (layer(&tensors[index].name).0, tensors[index].name.as_str()));
    order
}

fn next(count: &mut u64) -> u64 {
    *count += 1;
    *count - 1
}

#[cfg(test)]
mod tests {
    use super::super::choose;
    use super::*;
    use crate::{Result, TensorInfo};

    /// The choices of llama.cpp's tool, made and explained by `mixtures.py` beside it.
    const GOLDEN: &str = include_str!("../../tests/goldens/mixtures.txt");

    struct Header {
        metadata: Metadata,
        tensors: Vec<TensorInfo>,
    }

    impl TensorSource for Header {
        fn metadata(&self) -> &Metadata {
            &self.metadata
        }

        fn tensors(&self) -> &[TensorInfo] {
            &self.tensors
        }

        fn read_into(&self, _tensor: &TensorInfo, _start: u64, _out: &mut [u8]) -> Result<()> {
            unreachable!("types are chosen from the header")
        }
    }

    /// One model of the table.
    struct Model {
        title: &'static str,
        layers: usize,
        header: Header,
        rows: Vec<Vec<&'static str>>,
    }

    fn models() -> Vec<Model> {
        let mut models: Vec<Model> = Vec::new();
        for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "model" => models.push(Model::new(&words)),
                "tensor" => models.last_mut().unwrap().add(words[1], words[2]),
                _ => models.last_mut().unwrap().rows.push(words),
            }
        }
        models
    }

    impl Model {
        fn new(words: &[&'static str]) -> Self {
            let number = |at: usize| words[at].split_once('=').unwrap().1.parse::<u32>().unwrap();
            let mut metadata = Metadata::new();
            metadata.insert("general.architecture", words[2]);
            let keys = ["block_count", "attention.head_count", "attention.head_count_kv", "expert_count"];
            for (at, key) in keys.iter().enumerate() {
                metadata.insert(format!("{}.{key}", words[2]), number(3 + at));
            }
            let header = Header { metadata, tensors: Vec::new() };
            Self { title: words[1], layers: number(3) as usize, header, rows: Vec::new() }
        }

        fn add(&mut self, name: &str, shape: &str) {
            let shape: Vec<usize> = shape.split('x').map(|size| size.parse().unwrap()).collect();
            let dtype = if is_helper(name, &shape) { DType::F32 } else { DType::F16 };
            for layer in 0..self.layers_of(name) {
                let name = name.replace('*', &layer.to_string());
                self.header.tensors.push(TensorInfo::new(name, &shape, dtype).unwrap());
            }
        }

        fn layers_of(&self, name: &str) -> usize {
            if name.contains('*') { self.layers } else { 1 }
        }

        /// The letters the table has for a weight in a mixture.
        fn expected(&self, mixture: Mixture, name: &str, weighed: bool) -> String {
            let row = self.rows.iter().find(|row| row[0] == mixture.name() && row[1] == name);
            let own = letter(mixture.own()).to_string();
            let letters = row.map_or(own.as_str(), |row| {
                let weighed_letters = row.get(3).filter(|_| weighed);
                weighed_letters.map_or(row[2], |letters| letters.strip_prefix("imatrix=").unwrap())
            });
            if letters.len() == 1 { letters.repeat(self.layers_of(name)) } else { letters.to_owned() }
        }
    }

    /// Converters leave these in full precision.
    fn is_helper(name: &str, shape: &[usize]) -> bool {
        shape.len() == 1 || name.contains("inp") || name.contains("conv1d") || !name.ends_with("weight")
    }

    fn letter(dtype: DType) -> char {
        let legend = GOLDEN.lines().next().unwrap();
        let entry = legend.split(' ').find(|entry| entry.ends_with(&format!("={dtype}")));
        entry.unwrap().chars().next().unwrap()
    }

    #[test]
    fn every_mixture_of_every_model_is_what_llama_cpp_chooses() {
        let mut compared = 0;
        for model in models() {
            for (mixture, weighed) in Mixture::all().flat_map(|mixture| [(mixture, false), (mixture, true)]) {
                let types = mixture.types(&model.header, weighed);
                let mut tensors = model.header.tensors.iter().zip(types);
                while let Some((first, wanted)) = tensors.next() {
                    let name = match layer(&first.name) {
                        (Some(_), part) => format!("blk.*.{part}"),
                        (None, name) => name.to_owned(),
                    };
                    let rest = tensors.by_ref().take(model.layers_of(&name) - 1);
                    let all = std::iter::once((first, wanted)).chain(rest);
                    let chosen: String = all.map(|(t, wanted)| letter(choose(t, wanted).dtype)).collect();
                    if first.shape.len() > 1 {
                        let expected = model.expected(mixture, &name, weighed);
                        assert_eq!(chosen, expected, "{} {} {name} {weighed}", model.title, mixture.name());
                        compared += chosen.len();
                    }
                }
            }
        }
        assert!(compared > 80_000, "{compared}");
    }

    #[test]
    fn layers_are_counted_from_names_when_metadata_does_not_tell() {
        let tensors = (0..16).map(|n| format!("blk.{n}.ffn_down.weight"));
        let tensors = tensors.map(|name| TensorInfo::new(name, &[1, 256], DType::F16).unwrap()).collect();
        let header = Header { metadata: Metadata::new(), tensors };

        let types = Mixture::Q4_K_M.types(&header, false);

        let better: Vec<usize> = (0..16).filter(|&n| types[n] == DType::Q6_K).collect();
        assert_eq!(better, [0, 1, 4, 7, 10, 13, 14, 15]);
    }
}
