//! Which type each tensor of a model gets.
mod choice;
mod mixture;
mod overlay;
mod plan;
mod role;
mod rules;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub(crate) use choice::choose;
use mixture::Mixture;
pub use overlay::Overlay;
pub(crate) use overlay::{check_finite, weights};
pub use plan::{Plan, Planned};
pub(crate) use plan::{alignment, padded};
pub(crate) use role::{is_weight, layer};
pub(crate) use rules::Rules;

use crate::codec::check_encodable;
use crate::{Budget, DType, Error, Importance, Mix, Result, TensorSource};

/// What a model is to become: a type for every weight, and why.
///
/// A recipe is written as a name, and rules behind commas:
///
/// | name | meaning |
/// |---|---|
/// | `q4_k`, `q8_0`, `f16` … | every weight in that [type](DType) |
/// | `q4_k_m`, `q3_k_l` … | llama.cpp's mixture: sensitive weights in better types |
/// | `mostly_q4_0`, `mostly_iq4_nl` … | llama.cpp's mixture where it has the name of a type |
/// | `int8`, `int6`, `int5`, `int4` | `q8_0`, and the mixtures `q6_k`, `q5_k_m`, `q4_k_m` |
/// | `fp16`, `bf16`, `fp32` | plain floats |
/// | `dynamic`, `dynamic:4.5bpw` | [mixed by what each type costs](Mix), in the bytes of `q4_k_m` or of a [budget](Budget) |
///
/// A rule `pattern=type` gives a type to the weights whose names match a regular expression. The first rule that matches
/// decides, as with llama.cpp's `--tensor-type`. Vectors, and small matrices that llama.cpp leaves alone too (gates of
/// experts, convolutions of state-space models), are never quantized, whatever a rule says.
///
/// ```
/// use aic_quant::{DType, Recipe};
///
/// let recipe: Recipe = "q4_k_m,attn_v=q8_0,^output=f16".parse()?;
/// assert_eq!(recipe.to_string(), "Q4_K_M,attn_v=Q8_0,^output=F16");
///
/// let same = "int4".parse::<Recipe>()?.rule("attn_v", DType::Q8_0)?.rule("^output", DType::F16)?;
/// assert_eq!(recipe, same);
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    base: Base,
    rules: Rules,
}

/// What the weights become that no rule matches.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Base {
    Uniform(DType),
    Mixture(Mixture),
    /// Measured; in the bytes of `q4_k_m` without a budget.
    Dynamic(Option<Budget>),
}

/// Names people use, in lower case.
const ALIASES: &[(&str, Base)] = &[
    ("float32", Base::Uniform(DType::F32)),
    ("fp32", Base::Uniform(DType::F32)),
    ("float16", Base::Uniform(DType::F16)),
    ("fp16", Base::Uniform(DType::F16)),
    ("half", Base::Uniform(DType::F16)),
    ("bfloat16", Base::Uniform(DType::BF16)),
    ("int8", Base::Uniform(DType::Q8_0)),
    ("8bit", Base::Uniform(DType::Q8_0)),
    ("int6", Base::Mixture(Mixture::Q6_K)),
    ("6bit", Base::Mixture(Mixture::Q6_K)),
    ("int5", Base::Mixture(Mixture::Q5_K_M)),
    ("5bit", Base::Mixture(Mixture::Q5_K_M)),
    ("int4", Base::Mixture(Mixture::Q4_K_M)),
    ("4bit", Base::Mixture(Mixture::Q4_K_M)),
    ("dynamic", Base::Dynamic(None)),
];

impl Recipe {
    /// Every weight in `dtype`.
    pub fn uniform(dtype: DType) -> Self {
        Self { base: Base::Uniform(dtype), rules: Rules::default() }
    }

    /// Gives `dtype` to the weights whose names match `pattern`, a regular expression, unless an earlier rule matches.
    ///
    /// # Errors
    /// [`Error::Pattern`] if it is none, [`Error::Option`] if it is empty or has a `=`, which no name has.
    pub fn rule(mut self, pattern: &str, dtype: DType) -> Result<Self> {
        self.rules.add(pattern, dtype)?;
        Ok(self)
    }

    /// The type each tensor of `source` gets.
    ///
    /// All but `dynamic` recipes look at the header only. Those [try every weight](Mix::run) in every type, which takes its
    /// time, but do not run the model: use [`Mix`] to have it [run](Mix::measure), to follow it, or to end it. `importance`
    /// is what the model will be quantized with.
    ///
    /// # Errors
    /// [`Error::UnmatchedRule`] if a rule matches no weight, [`Error::UnsupportedDType`] if nothing can be turned into a
    /// type, [`Error::Metadata`] for an alignment that is none, and what [`Mix::run`] fails with.
    pub fn plan(&self, source: &dyn TensorSource, importance: Option<&Importance>) -> Result<Plan> {
        let (types, file_type) = match self.base {
            Base::Uniform(dtype) => (vec![dtype; source.tensors().len()], dtype.file_type()),
            Base::Mixture(mixture) => (mixture.types(source, importance.is_some()), mixture.file_type()),
            Base::Dynamic(budget) => return self.measure(source, importance, budget),
        };
        self.rules.check(source.tensors())?;
        let wanted = source.tensors().iter().zip(types);
        let planned =
            wanted.map(|(tensor, dtype)| Planned::new(tensor, self.rules.find(tensor).unwrap_or(dtype)));
        let plan = Plan::new(source, planned.collect())?.with_file_type(file_type);
        self.unchanged_or_encodable(&plan)?;
        Ok(plan)
    }

    fn measure(
        &self,
        source: &dyn TensorSource,
        importance: Option<&Importance>,
        budget: Option<Budget>,
    ) -> Result<Plan> {
        let usual = || {
            Self { base: Base::Mixture(Mixture::Q4_K_M), rules: Rules::default() }.plan(source, importance)
        };
        let budget = budget.map_or_else(|| usual().map(|plan| Budget::Bytes(plan.bytes())), Ok)?;
        let mix = Mix::new(source, budget).rules(self.rules.clone());
        let mix = importance.into_iter().fold(mix, Mix::importance);
        Ok(mix.run()?.plan)
    }

    fn unchanged_or_encodable(&self, plan: &Plan) -> Result<()> {
        if let Base::Uniform(dtype) = self.base {
            check_encodable(dtype)?;
        }
        self.rules.dtypes().try_for_each(check_encodable)?;
        let changed = plan.tensors().iter().filter(|planned| planned.dtype != planned.tensor.dtype);
        changed.map(|planned| planned.dtype).try_for_each(check_encodable)
    }
}

impl FromStr for Recipe {
    type Err = Error;

    /// Reads a name and rules; upper and lower case, `-` and `_` are the same in names.
    fn from_str(text: &str) -> Result<Self> {
        let mut pieces = text.split(',');
        let base = pieces.next().unwrap_or_default().parse()?;
        let mut recipe = Self { base, rules: Rules::default() };
        let mut rule = String::new();
        for piece in pieces {
            // A comma may be part of a pattern, as in `blk\.\d{1,2}`: a rule ends with the piece that has its `=`.
            rule.push_str(piece);
            match rule.split_once('=') {
                Some((pattern, dtype)) => recipe = recipe.rule(pattern, dtype.parse()?)?,
                None => {
                    rule.push(',');
                    continue;
                }
            }
            rule.clear();
        }
        if rule.is_empty() { Ok(recipe) } else { Err(unknown(rule.trim_end_matches(','))) }
    }
}

impl FromStr for Base {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wanted = name.trim().to_ascii_lowercase().replace('-', "_");
        if let Some(budget) = wanted.strip_prefix("dynamic:") {
            return Ok(Self::Dynamic(Some(budget.parse()?)));
        }
        let alias = ALIASES.iter().find(|(alias, _)| *alias == wanted).map(|(_, base)| *base);
        let mixture = |name| Mixture::named(name).map(Self::Mixture);
        alias
            .or_else(|| wanted.strip_prefix("mostly_").and_then(mixture))
            .or_else(|| wanted.parse().ok().map(Self::Uniform))
            .or_else(|| mixture(&wanted))
            .ok_or_else(|| unknown(name))
    }
}

/// Which tensors llama.cpp's mixture `Q4_K_M` gives more bits than the others.
pub(crate) fn favoured(source: &dyn TensorSource) -> Vec<bool> {
    Mixture::Q4_K_M.types(source, false).into_iter().map(|dtype| dtype != DType::Q4_K).collect()
}

fn unknown(name: &str) -> Error {
    Error::UnknownRecipe { name: name.to_owned() }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base, self.rules)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform(dtype) => dtype.fmt(f),
            Self::Mixture(mixture) if mixture.name().parse::<DType>().is_ok() => {
                write!(f, "MOSTLY_{}", mixture.name())
            }
            Self::Mixture(mixture) => f.write_str(mixture.name()),
            Self::Dynamic(None) => f.write_str("dynamic"),
            Self::Dynamic(Some(budget)) => write!(f, "dynamic:{budget}"),
        }
    }
}

impl Serialize for Recipe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{File, Metadata, Writer};

    fn source(tensors: &[(&str, &[usize])]) -> File {
        let mut writer = Writer::new(Metadata::new());
        tensors.iter().for_each(|(name, shape)| writer.tensor(*name, shape, DType::F16).unwrap());
        File::from_bytes(writer.to_vec(|tensor| Ok(vec![0; tensor.bytes as usize])).unwrap()).unwrap()
    }

    fn small() -> File {
        source(&[
            ("token_embd.weight", &[8, 256]),
            ("blk.0.attn_norm.weight", &[256]),
            ("blk.0.attn_q.weight", &[8, 256]),
            ("blk.0.attn_v.weight", &[8, 96]),
            ("blk.0.ffn_gate_inp.weight", &[8, 256]),
            ("blk.0.ffn_down_exps.weight", &[2, 8, 256]),
            ("output.weight", &[8, 256]),
        ])
    }

    fn types(recipe: &str) -> Vec<DType> {
        let plan = recipe.parse::<Recipe>().unwrap().plan(&small(), None).unwrap();
        plan.tensors().iter().map(|planned| planned.dtype).collect()
    }

    #[test]
    fn every_written_form_reads_back_as_the_same_recipe() {
        let names = DType::all().map(|dtype| dtype.to_string());
        let mixtures = Mixture::all().map(|mixture| format!("mostly_{}", mixture.name()));
        let others =
            ["dynamic", "dynamic:4.5bpw", "dynamic:900MB", "int5", r"q6-k, blk\.(1|2)\d{1,2}\.=q4_k ,x=f16"];
        for text in names.chain(mixtures).chain(others.map(str::to_owned)) {
            let recipe: Recipe = text.parse().unwrap();
            assert_eq!(recipe.to_string().parse::<Recipe>().unwrap(), recipe, "{text}");
            let json = serde_json::to_string(&recipe).unwrap();
            assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe, "{text}");
        }
    }

    #[test]
    fn names_of_types_are_uniform_and_names_of_mixtures_are_not() {
        let [f16, f32, q4, q5, q6] = [DType::F16, DType::F32, DType::Q4_K, DType::Q5_0, DType::Q6_K];
        assert_eq!(types("q4_k"), [q4, f32, q4, q5, f16, q4, q4]);
        assert_eq!(types("int4")[6], q6);
        assert_eq!(types("Q4-K-M"), types("int4"));
        assert_eq!(types("mostly_q4_0")[6], q6);
        assert_eq!(types("q4_0")[6], DType::Q4_0);
    }

    #[test]
    fn first_rule_that_matches_a_weight_decides() {
        let chosen = types(r"q4_k,attn_v=q8_0,blk\.0\.=q6_k,attn_q=f16");
        let [f16, f32, q4, q6, q8] = [DType::F16, DType::F32, DType::Q4_K, DType::Q6_K, DType::Q8_0];
        assert_eq!(chosen, [q4, f32, q6, q8, f16, q6, q4]);
    }

    #[test]
    fn rule_for_no_weight_is_refused_with_names_like_it() {
        for pattern in ["attn_vv", "attn_norm", "ffn_gate_inp"] {
            let recipe = Recipe::uniform(DType::Q8_0).rule(pattern, DType::F16).unwrap();
            let error = recipe.plan(&small(), None).unwrap_err();
            let Error::UnmatchedRule { near, .. } = &error else { panic!("{error}") };
            assert_eq!(near.len(), 3);
            if pattern == "attn_vv" {
                assert_eq!(near[0], "attn_v");
                assert!(error.to_string().contains("`attn_vv`"), "{error}");
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "int3", "q4_k_x", "q4_k,", "q4_k,attn_v", "dynamic:", "dynamic:many", "mostly_int4"]
        {
            assert!(text.parse::<Recipe>().is_err(), "{text}");
        }
        assert!(matches!("q4_k,attn_v=q9".parse::<Recipe>(), Err(Error::UnknownDType { .. })));
        assert!(matches!("q4_k,(=q8_0".parse::<Recipe>(), Err(Error::Pattern { .. })));
        assert!(matches!("q4_k,=q8_0".parse::<Recipe>(), Err(Error::Option { .. })));
        assert!(matches!(Recipe::uniform(DType::F16).rule("a=b", DType::F16), Err(Error::Option { .. })));
    }

    #[test]
    fn types_that_nothing_can_be_turned_into_are_refused() {
        for text in ["iq1_s", "q8_0,attn_q=iq2_xs"] {
            let plan = text.parse::<Recipe>().unwrap().plan(&small(), None);
            assert!(matches!(plan, Err(Error::UnsupportedDType { .. })), "{text}");
        }
    }

    #[test]
    fn strict_plans_name_every_substitution() {
        let recipe: Recipe = "q4_k".parse().unwrap();
        assert!(recipe.plan(&source(&[("output.weight", &[8, 256])]), None).unwrap().strict().is_ok());

        let error = recipe.plan(&small(), None).unwrap().strict().unwrap_err();

        let Error::Substituted { tensors } = &error else { panic!("{error}") };
        assert_eq!(tensors.len(), 1);
        assert_eq!((tensors[0].wanted, tensors[0].dtype), (DType::Q4_K, DType::Q5_0));
        assert!(error.to_string().contains("`blk.0.attn_v.weight` gets Q5_0 in place of Q4_K"), "{error}");
    }

    #[test]
    fn bytes_count_the_padding_between_tensors() {
        let plan = Recipe::uniform(DType::Q8_0).plan(&source(&[("output.weight", &[3, 32])]), None).unwrap();
        assert_eq!(plan.bytes(), 128);
        assert_eq!(plan.bits_per_weight(), 128.0 * 8.0 / 96.0);
    }
}
