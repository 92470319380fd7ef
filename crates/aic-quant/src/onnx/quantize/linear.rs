//! Products with a constant matrix, however the model writes them.
use std::collections::HashMap;

use crate::onnx::draft::Draft;
use crate::onnx::message::type_name;
use crate::onnx::proto::NodeProto;

/// `output = alpha · input · weight + bias`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Linear {
    pub(super) input: String,
    /// A constant of the model, of 32-bit floats.
    pub(super) weight: String,
    /// Whether the constant is `[outputs, inputs]` rather than `[inputs, outputs]`.
    pub(super) transposed: bool,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) alpha: f32,
    pub(super) bias: Option<String>,
    pub(super) output: String,
}

/// Constants that the main graph reads transposed, by the name of the transposition.
pub(super) type Transposes = HashMap<String, String>;

pub(super) fn transposes(draft: &Draft) -> Transposes {
    let transpose = |node: &NodeProto| {
        let [input] = node.input.as_slice() else { return None };
        let swaps = node.attribute("perm").is_none_or(|perm| perm.ints == [1, 0]);
        let matrix = draft.constant(input)?.dims.len() == 2;
        (node.is("Transpose") && swaps && matrix).then(|| (node.output.first().cloned(), input.clone()))
    };
    let found = draft.graph().node.iter().filter_map(transpose);
    found.filter_map(|(output, input)| Some((output?, input))).collect()
}

impl Linear {
    /// The product that `node` is; `None` if it has no constant matrix, `Err` with the reason if the matrix has to stay.
    pub(super) fn of(
        node: &NodeProto,
        draft: &Draft,
        transposes: &Transposes,
    ) -> Option<Result<Self, String>> {
        if !(node.is("MatMul") || node.is("Gemm")) {
            return None;
        }
        let [input, weight, bias @ ..] = node.input.as_slice() else { return None };
        let (weight, swapped) = transposes.get(weight).map_or((weight, false), |origin| (origin, true));
        let tensor = draft.constant(weight)?;
        if draft.constant(input).is_some() {
            return Some(Err("both factors are constant".to_owned()));
        }
        if !tensor.is_float() {
            return Some(Err(format!("the weights are {}, expected float32", type_name(tensor.data_type))));
        }
        let Some([first, second]) = tensor.shape().and_then(|shape| <[usize; 2]>::try_from(shape).ok())
        else {
            return Some(Err(format!("the weights have {} dimensions, expected 2", tensor.dims.len())));
        };
        if first == 0 || second == 0 {
            return Some(Err("there are no weights".to_owned()));
        }
        let flag = |name| node.int(name).unwrap_or(0) != 0;
        let bias = bias.first().filter(|name| !name.is_empty()).cloned();
        if flag("transA") || (bias.is_some() && node.float("beta").is_some_and(|beta| beta != 1.0)) {
            return Some(Err("transA or beta is set".to_owned()));
        }
        let transposed = swapped != flag("transB");
        let (inputs, outputs) = if transposed { (second, first) } else { (first, second) };
        Some(Ok(Self {
            input: input.clone(),
            weight: weight.clone(),
            transposed,
            inputs,
            outputs,
            alpha: node.float("alpha").unwrap_or(1.0),
            bias,
            output: node.output.first()?.clone(),
        }))
    }
}

/// `[columns, rows]` of `[rows, columns]`.
pub(super) fn transpose<T: Copy>(values: &[T], columns: usize) -> Vec<T> {
    let rows = values.len() / columns;
    let mut out = Vec::with_capacity(values.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| values[row * columns + column]));
    }
    out
}
