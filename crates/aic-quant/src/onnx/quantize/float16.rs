//! Weights and computing in half floats.
//!
//! A node computes in half floats if its operator is one that is known to bear it, and if the types of all it reads are
//! known. All others keep 32 bits: those the standard forbids halves, those whose sums of squares or powers outgrow 65504,
//! those of unknown domains, and those with a constant that is larger than half floats go. Every value exists in the type of the node that makes it; a `Cast` stands where a node of
//! the other type reads it, once for all such nodes. Values between two nodes that keep 32 bits are never rounded.
use std::collections::HashMap;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::QuantizedWeight;
use super::int8::relative;
use super::work::{Pass, Work};
use crate::Result;
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto, TypeValue, ValueInfoProto, data_type};

/// Operators that compute as well in half floats. Normalizations and softmax sum in 32 bits within.
const HALVES: [&str; 50] = [
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "Div",
    "Dropout",
    "Einsum",
    "Elu",
    "Erf",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LayerNormalization",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Mul",
    "Neg",
    "PRelu",
    "Pad",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Sub",
    "Tanh",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
    "GroupNormalization",
];
/// Operators that keep 32 bits and put out the type they read.
const SAME: [&str; 30] = [
    "Ceil",
    "Cos",
    "CumSum",
    "Exp",
    "Floor",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Pow",
    "RMSNormalization",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "ReduceSumSquare",
    "Resize",
    "Round",
    "ScatterND",
    "SimplifiedLayerNormalization",
    "Sin",
    "Softplus",
    "Sqrt",
    "Sum",
    "TopK",
    "Trilu",
];

/// Numbers from here on are taken for infinity.
const AS_GOOD_AS_INFINITE: f32 = 1e30;

/// The type of a value, as far as this matters.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Type {
    /// 32 bits; a node that keeps 32 bits makes it.
    Single,
    /// What was 32 bits and is 16 now.
    Half,
    /// Integers, truth values, texts, other floats.
    Other,
}

/// The rewriting pass.
#[derive(Default)]
pub(super) struct Float16 {
    types: HashMap<String, Type>,
    /// The name a value has in the type that is not its own.
    casts: HashMap<String, String>,
    /// Constants that were looked at, and whether half floats hold them.
    fitting: HashMap<String, bool>,
    /// Depth of bodies, within which everything keeps 32 bits.
    bodies: usize,
}

impl Float16 {
    /// Rewrites the whole model.
    pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
        let mut pass = Self::default();
        let keep = work.options.keep_io_types;
        pass.declare_inputs(work, keep);
        work.rewrite(&mut pass)?;
        pass.cast_outputs(work, keep);
        let float = |value: &ValueInfoProto| element_type(value) == Some(data_type::FLOAT);
        work.draft.graph_mut().value_info.retain(|value| !float(value));
        Ok(())
    }

    fn declare_inputs(&mut self, work: &mut Work<'_>, keep: bool) {
        for input in &mut work.draft.graph_mut().input {
            let single = element_type(input) == Some(data_type::FLOAT);
            let kind = match (single, keep) {
                (false, _) => Type::Other,
                (true, true) => Type::Single,
                (true, false) => Type::Half,
            };
            if kind == Type::Half {
                set_element_type(input, data_type::FLOAT16);
            }
            self.declare(input.name.as_deref().unwrap_or_default(), kind);
        }
    }

    /// Makes outputs what they are declared to be.
    fn cast_outputs(&mut self, work: &mut Work<'_>, keep: bool) {
        let wanted = if keep { Type::Single } else { Type::Half };
        let mut outputs = std::mem::take(&mut work.draft.graph_mut().output);
        for output in &mut outputs {
            let name = output.name.clone().unwrap_or_default();
            match self.kind(&name) {
                None | Some(Type::Other) => {}
                Some(kind) if kind == wanted => {}
                Some(_) => self.cast_output(work, &name, wanted),
            }
            if !keep && element_type(output) == Some(data_type::FLOAT) {
                set_element_type(output, data_type::FLOAT16);
            }
        }
        work.draft.graph_mut().output = outputs;
    }

    /// Gives the value another name everywhere, and its own to a copy of the wanted type.
    fn cast_output(&mut self, work: &mut Work<'_>, name: &str, wanted: Type) {
        let inner = work.draft.fresh(&format!("{name}_inner"));
        let graph = work.draft.graph_mut();
        for node in &mut graph.node {
            rename(node, name, &inner);
            node.output
                .iter_mut()
                .filter(|output| *output == name)
                .for_each(|output| output.clone_from(&inner));
        }
        graph.node.push(cast(&inner, name, wanted));
    }

    /// The type of a value; `None` if it is not known.
    fn kind(&self, name: &str) -> Option<Type> {
        self.types.get(name).copied()
    }

    fn declare(&mut self, name: &str, kind: Type) {
        self.types.insert(name.to_owned(), kind);
    }

    /// The type of an input of a node, constants included.
    fn input_kind(&self, work: &Work<'_>, name: &str) -> Option<Type> {
        match work.draft.constant(name) {
            _ if name.is_empty() => Some(Type::Other),
            Some(tensor) if tensor.is_float() => Some(Type::Single),
            Some(_) => Some(Type::Other),
            None => self.kind(name),
        }
    }

    /// Whether the node may compute in half floats, and has floats to compute with.
    fn bears_halves(&mut self, work: &mut Work<'_>, node: &NodeProto) -> Result<bool> {
        let kinds: Option<Vec<Type>> = node.input.iter().map(|name| self.input_kind(work, name)).collect();
        let floats = kinds.is_some_and(|kinds| kinds.iter().any(|kind| *kind != Type::Other));
        let known_outputs = node.is("Split") || node.output.iter().skip(1).all(String::is_empty);
        let main = self.bodies == 0 && !work.is_excluded(node);
        if !(main && floats && known_outputs && node.is_standard() && HALVES.contains(&node.op())) {
            return Ok(false);
        }
        for name in &node.input {
            if !self.fits_constant(work, name)? {
                work.left(node, "a constant is larger than half floats go");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether half floats hold the constant, if the name is that of one.
    fn fits_constant(&mut self, work: &mut Work<'_>, name: &str) -> Result<bool> {
        if !work.draft.constant(name).is_some_and(TensorProto::is_float) {
            return Ok(true);
        }
        if let Some(fits) = self.fitting.get(name) {
            return Ok(*fits);
        }
        let fits = fits(&work.draft.any_floats(name)?);
        self.fitting.insert(name.to_owned(), fits);
        Ok(fits)
    }

    /// The name of the value in half floats.
    fn half(&mut self, work: &mut Work<'_>, name: &str, out: &mut Vec<NodeProto>) -> Result<String> {
        match self.input_kind(work, name) {
            Some(Type::Single) if work.draft.constant(name).is_some() => self.half_constant(work, name),
            Some(Type::Single) => Ok(self.cast(work, name, Type::Half, out)),
            _ => Ok(name.to_owned()),
        }
    }

    fn half_constant(&mut self, work: &mut Work<'_>, name: &str) -> Result<String> {
        if let Some(half) = self.casts.get(name) {
            return Ok(half.clone());
        }
        let values = work.draft.any_floats(name)?;
        let tensor = work.draft.constant(name).expect("the caller saw the constant");
        let shape = tensor.shape().unwrap_or_default();
        let (weight, bytes_before) = (Work::is_weight(tensor), tensor.bytes().unwrap_or(0));
        let halves = Halves::of(&values);
        let bytes: Vec<u8> = halves.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes_after = bytes.len() as u64;
        let half = work.draft.put(&format!("{name}_float16"), &shape, data_type::FLOAT16, bytes)?;
        if weight || halves.clamped > 0 {
            let Halves { error, clamped, .. } = halves;
            let (tensor, node) = (name.to_owned(), String::new());
            work.done(QuantizedWeight { tensor, node, error, bytes_before, bytes_after, clamped });
        }
        self.casts.insert(name.to_owned(), half.clone());
        Ok(half)
    }

    fn cast(&mut self, work: &mut Work<'_>, name: &str, to: Type, out: &mut Vec<NodeProto>) -> String {
        if let Some(made) = self.casts.get(name) {
            return made.clone();
        }
        let suffix = if to == Type::Half { "float16" } else { "float32" };
        let made = work.draft.fresh(&format!("{name}_{suffix}"));
        out.push(cast(name, &made, to));
        self.declare(&made, to);
        self.casts.insert(name.to_owned(), made.clone());
        made
    }

    fn halve(&mut self, work: &mut Work<'_>, mut node: NodeProto, out: &mut Vec<NodeProto>) -> Result<()> {
        for input in &mut node.input {
            *input = self.half(work, input, out)?;
        }
        for output in &node.output {
            self.declare(output, Type::Half);
        }
        out.push(node);
        Ok(())
    }

    /// Lets the node compute as it did: what it or its bodies read in 16 bits is cast back before it.
    fn keep(&mut self, work: &mut Work<'_>, mut node: NodeProto, out: &mut Vec<NodeProto>) {
        let mut read = Vec::new();
        reads(&node, &mut read);
        for name in read {
            if self.kind(&name) == Some(Type::Half) {
                let single = self.cast(work, &name, Type::Single, out);
                rename(&mut node, &name, &single);
            }
        }
        for (at, output) in node.output.iter().enumerate() {
            if let Some(kind) = self.output_kind(work, &node, at) {
                self.declare(output, kind);
            }
        }
        let told = work.report.left.last().is_some_and(|left| left.node == node.label());
        if work.has_weights(&node) && !told {
            work.left(&node, "the operator computes in 32 bits");
        }
        out.push(node);
    }

    /// The type of an output of a node that computes as it did.
    fn output_kind(&self, work: &Work<'_>, node: &NodeProto, at: usize) -> Option<Type> {
        let of = |data_type| if data_type == data_type::FLOAT { Type::Single } else { Type::Other };
        let mut declared = work.draft.graph().value_info.iter();
        if let Some(value) = declared.find(|value| value.name.as_ref() == node.output.get(at)) {
            return element_type(value).map(of);
        }
        if let Some(body) = node.bodies().next().filter(|_| node.is("If")) {
            return body.output.get(at).and_then(element_type).map(of);
        }
        match node.op() {
            _ if !node.is_standard() => None,
            "Cast" => node.int("to").and_then(|to| i32::try_from(to).ok()).map(of),
            "ConstantOfShape" => {
                let tensor = node.attribute("value").and_then(|value| value.t.as_ref());
                Some(tensor.map_or(Type::Single, |tensor| of(tensor.data_type.unwrap_or_default())))
            }
            "Range" => self.input_kind(work, node.input.first()?),
            "And" | "ArgMax" | "ArgMin" | "Equal" | "Greater" | "GreaterOrEqual" | "IsInf" | "IsNaN"
            | "Less" | "LessOrEqual" | "NonZero" | "Not" | "Or" | "Shape" | "Size" | "Xor" => {
                Some(Type::Other)
            }
            op if at == 0 && (SAME.contains(&op) || HALVES.contains(&op)) => {
                let from = usize::from(op == "Where");
                self.input_kind(work, node.input.get(from)?).map(|kind| match kind {
                    Type::Other => Type::Other,
                    _ => Type::Single,
                })
            }
            _ => None,
        }
    }
}

impl Pass for Float16 {
    fn node(&mut self, work: &mut Work<'_>, node: NodeProto, out: &mut Vec<NodeProto>) -> Result<()> {
        if self.bodies > 0 {
            out.push(node);
        } else if self.bears_halves(work, &node)? {
            self.halve(work, node, out)?;
        } else {
            self.keep(work, node, out);
        }
        Ok(())
    }

    fn enter(&mut self) {
        self.bodies += 1;
    }

    fn leave(&mut self) {
        self.bodies -= 1;
    }
}

/// Numbers in 16 bits, and what that cost.
struct Halves {
    values: Vec<f16>,
    clamped: u64,
    error: f64,
}

impl Halves {
    /// Finite numbers stay finite, and a number alone, such as the ε that keeps a division from zero, does not vanish.
    fn of(values: &[f32]) -> Self {
        let largest = f32::from(f16::MAX);
        let mut halves = vec![f16::ZERO; values.len()];
        halves.convert_from_f32_slice(values);
        let (mut clamped, mut lost, mut all) = (0, 0.0, 0.0);
        for (half, value) in halves.iter_mut().zip(values) {
            if half.is_infinite() && value.is_finite() {
                *half = f16::from_f32(value.clamp(-largest, largest));
                clamped += 1;
            } else if value.is_finite() {
                lost += f64::from(half.to_f32() - value).powi(2);
                all += f64::from(*value).powi(2);
            }
        }
        if let ([half], [value]) = (halves.as_mut_slice(), values)
            && *half == f16::ZERO
            && *value != 0.0
        {
            *half = f16::from_bits(1).copysign(f16::from_f32(value.signum()));
        }
        Self { values: halves, clamped, error: relative(lost, all) }
    }
}

/// Whether numbers stay what they mean in half floats: they are small enough, or so large that they stand for no limit at
/// all, as in masks that are added before a softmax.
fn fits(values: &[f32]) -> bool {
    values.iter().all(|value| value.abs() <= f32::from(f16::MAX) || value.abs() >= AS_GOOD_AS_INFINITE)
}

fn cast(from: &str, to: &str, kind: Type) -> NodeProto {
    let kind = if kind == Type::Half { data_type::FLOAT16 } else { data_type::FLOAT };
    NodeProto::new("Cast", &[from], &[to]).with_int("to", kind.into())
}

/// What a node and its bodies read.
fn reads(node: &NodeProto, out: &mut Vec<String>) {
    out.extend(node.input.iter().cloned());
    for body in node.bodies() {
        body.node.iter().for_each(|node| reads(node, out));
        out.extend(body.output.iter().filter_map(|output| output.name.clone()));
    }
}

/// Makes a node and its bodies read `new` where they read `old`.
fn rename(node: &mut NodeProto, old: &str, new: &str) {
    node.input.iter_mut().filter(|input| *input == old).for_each(|input| new.clone_into(input));
    node.bodies_mut().for_each(|body| rename_body(body, old, new));
}

fn rename_body(body: &mut GraphProto, old: &str, new: &str) {
    body.node.iter_mut().for_each(|node| rename(node, old, new));
    let outputs = body.output.iter_mut().filter(|output| output.name.as_deref() == Some(old));
    outputs.for_each(|output| output.name = Some(new.to_owned()));
}

fn element_type(value: &ValueInfoProto) -> Option<i32> {
    match value.r#type.as_ref()?.value.as_ref()? {
        TypeValue::Tensor(tensor) => tensor.elem_type,
        _ => None,
    }
}

fn set_element_type(value: &mut ValueInfoProto, data_type: i32) {
    if let Some(TypeValue::Tensor(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
        tensor.elem_type = Some(data_type);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_half_floats_cannot_hold_is_clamped_counted_or_kept_from_vanishing() {
        assert!(fits(&[65504.0, f32::MIN, f32::INFINITY]));
        assert!(!fits(&[0.0, -65505.0]));

        let halves = Halves::of(&[1e30, -1e30, f32::NEG_INFINITY, 1.0]);
        assert_eq!(halves.values, [f16::MAX, f16::MIN, f16::NEG_INFINITY, f16::ONE]);
        assert_eq!(halves.clamped, 2);

        assert!(Halves::of(&[1e-12]).values[0] > f16::ZERO);
        assert_eq!(Halves::of(&[0.0]).values, [f16::ZERO]);
    }
}
