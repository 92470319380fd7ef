//! Products and convolutions wholly in 8 bits: [`Scheme::StaticInt8`](super::Scheme::StaticInt8).
//!
//! Their inputs, weights and outputs pass through `QuantizeLinear` and `DequantizeLinear`, and the runtime, seeing one of
//! these on all sides of an operator, takes one that computes with bytes instead. Where a `Relu` follows alone, it is the
//! `Relu`'s output that is quantized, and the range that cuts off what is below zero.
use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::calibration::{Calibration, Range};
use super::int8::{Format, scale};
use super::linear::{Linear, Transposes, transpose, transposes};
use super::work::{Pass, Work};
use super::{QuantizedWeight, WeightRange};
use crate::Result;
use crate::onnx::draft::Draft;
use crate::onnx::proto::{NodeProto, TensorProto, data_type};

/// The rewriting pass.
pub(super) struct Qdq {
    format: Format,
    transposes: Transposes,
    ranges: HashMap<String, Range>,
    /// Values that are quantized where they are made.
    outputs: HashSet<String>,
    /// Values that are quantized where they are read, and what they are called then.
    inputs: HashMap<String, String>,
    bodies: usize,
}

/// A node whose weights are to be quantized.
struct Target {
    input: String,
    weight: String,
    bias: Option<String>,
    /// Which dimension of the weight has a scale each.
    axis: usize,
    /// Whether the weight is to be turned around: it stands behind a `Transpose`.
    turned: bool,
}

impl Qdq {
    /// Rewrites the whole model; `input` is the file it came from.
    pub(super) fn run(work: &mut Work<'_>, calibration: &Calibration, input: &Path) -> Result<()> {
        let transposes = transposes(&work.draft);
        let format = match work.options.range {
            WeightRange::Signed => Format::SIGNED,
            WeightRange::Unsigned | WeightRange::SevenBits => Format::SEVEN_BITS,
        };
        let mut names = Vec::new();
        let mut outputs = HashSet::new();
        for node in work.draft.graph().node.iter().filter(|node| !work.is_excluded(node)) {
            if let Some(Ok(target)) = Target::of(node, &work.draft, &transposes) {
                let output = output_of(node, &work.draft);
                names.extend([target.input, output.clone()]);
                outputs.insert(output);
            }
        }
        names.sort();
        names.dedup();
        let ranges = calibration.ranges(&work.draft, input, &names)?;
        work.rewrite(&mut Self { format, transposes, ranges, outputs, inputs: HashMap::new(), bodies: 0 })
    }

    fn quantize(
        &mut self,
        work: &mut Work<'_>,
        mut node: NodeProto,
        target: &Target,
        out: &mut Vec<NodeProto>,
    ) -> Result<()> {
        let tensor = work.draft.constant(&target.weight).expect("a target has weights");
        let (mut shape, bytes_before) = (tensor.shape().unwrap_or_default(), tensor.bytes().unwrap_or(0));
        let mut values = work.draft.floats(&target.weight)?;
        if target.turned {
            values = transpose(&values, shape[1]);
            shape.reverse();
        }
        let channels = shape[target.axis];
        let inner = shape[target.axis + 1..].iter().product();
        let (input_scale, _) = affine(self.ranges[&target.input]);
        let bias = target.bias.as_ref().map(|name| Ok((name, work.draft.floats(name)?))).transpose()?;
        let floors = bias.as_ref().map_or(vec![0.0; channels], |(_, values)| floors(values, input_scale));
        let int8 = self.format.quantize_above(&values, &floors, inner);
        let base = &target.weight;
        let bytes_after = (int8.bytes.len() + 5 * int8.scales.len()) as u64;
        let bytes = work.draft.put(&format!("{base}_int8"), &shape, data_type::INT8, int8.bytes)?;
        let scales = work.draft.put_floats(&format!("{base}_scales"), &[channels], &int8.scales)?;
        let zeros =
            work.draft.put(&format!("{base}_zeros"), &[channels], data_type::INT8, vec![0; channels])?;
        let weight = work.draft.fresh(&format!("{base}_numbers"));
        let axis = target.axis as i64;
        out.push(
            NodeProto::new("DequantizeLinear", &[&bytes, &scales, &zeros], &[&weight]).with_int("axis", axis),
        );
        node.input[0] = self.input(work, &target.input, out)?;
        node.input[1] = weight;
        if let Some((name, values)) = bias {
            let [bytes, scales] = put_bias(work, name, &values, input_scale, &int8.scales)?;
            let name = work.draft.fresh(&format!("{bytes}_numbers"));
            out.push(NodeProto::new("DequantizeLinear", &[&bytes, &scales], &[&name]).with_int("axis", 0));
            node.input[2] = name;
        }
        work.done(QuantizedWeight {
            tensor: base.clone(),
            node: node.label().to_owned(),
            error: int8.error,
            bytes_before,
            bytes_after,
            clamped: 0,
        });
        self.put(work, node, out)
    }

    /// Adds a node, and quantizes its output if that is wanted.
    fn put(&mut self, work: &mut Work<'_>, mut node: NodeProto, out: &mut Vec<NodeProto>) -> Result<()> {
        let wanted =
            self.bodies == 0 && node.output.first().is_some_and(|output| self.outputs.contains(output));
        if !wanted {
            out.push(node);
            return Ok(());
        }
        let name = node.output[0].clone();
        let raw = work.draft.fresh(&format!("{name}_raw"));
        node.output[0].clone_from(&raw);
        out.push(node);
        self.pair(work, &raw, &name, self.ranges[&name], out)
    }

    /// The value as its bytes have it.
    fn input(&mut self, work: &mut Work<'_>, name: &str, out: &mut Vec<NodeProto>) -> Result<String> {
        if self.outputs.contains(name) {
            return Ok(name.to_owned());
        }
        if let Some(made) = self.inputs.get(name) {
            return Ok(made.clone());
        }
        let made = work.draft.fresh(&format!("{name}_dequantized"));
        self.pair(work, name, &made, self.ranges[name], out)?;
        self.inputs.insert(name.to_owned(), made.clone());
        Ok(made)
    }

    /// `QuantizeLinear` and `DequantizeLinear`.
    fn pair(
        &self,
        work: &mut Work<'_>,
        from: &str,
        to: &str,
        range: Range,
        out: &mut Vec<NodeProto>,
    ) -> Result<()> {
        let (scale, zero) = affine(range);
        let scale = work.draft.put_floats(&format!("{to}_scale"), &[], &[scale])?;
        let zero = work.draft.put(&format!("{to}_zero"), &[], data_type::UINT8, vec![zero])?;
        let bytes = work.draft.fresh(&format!("{to}_bytes"));
        out.push(NodeProto::new("QuantizeLinear", &[from, &scale, &zero], &[&bytes]));
        out.push(NodeProto::new("DequantizeLinear", &[&bytes, &scale, &zero], &[to]));
        Ok(())
    }
}

impl Pass for Qdq {
    fn node(&mut self, work: &mut Work<'_>, node: NodeProto, out: &mut Vec<NodeProto>) -> Result<()> {
        if work.is_excluded(&node) || self.bodies > 0 {
            if work.has_weights(&node) {
                let reason =
                    if self.bodies > 0 { "in a branch or loop body" } else { "excluded by a pattern" };
                work.left(&node, reason);
            }
            out.push(node);
            return Ok(());
        }
        match Target::of(&node, &work.draft, &self.transposes) {
            Some(Ok(target)) => return self.quantize(work, node, &target, out),
            Some(Err(reason)) => work.left(&node, reason),
            None if work.has_weights(&node) && !self.transposes.contains_key(&node.output[0]) => {
                work.left(&node, "weights of this operator have no 8-bit form here");
            }
            None => {}
        }
        self.put(work, node, out)
    }

    fn enter(&mut self) {
        self.bodies += 1;
    }

    fn leave(&mut self) {
        self.bodies -= 1;
    }
}

impl Target {
    fn of(node: &NodeProto, draft: &Draft, transposes: &Transposes) -> Option<Result<Self, String>> {
        let target = if node.is("Conv") {
            Self::convolution(node, draft)?
        } else {
            match Linear::of(node, draft, transposes)? {
                Err(reason) => return Some(Err(reason)),
                Ok(linear) => Self {
                    turned: linear.weight != node.input[1],
                    axis: usize::from(node.int("transB").unwrap_or(0) == 0),
                    input: linear.input,
                    weight: linear.weight,
                    bias: linear.bias,
                },
            }
        };
        if !draft.constant(&target.weight).is_some_and(Work::is_weight) {
            return None;
        }
        let axis = if target.turned { 1 - target.axis } else { target.axis };
        let channels = draft.constant(&target.weight)?.dims[axis];
        let vector = |bias: &TensorProto| bias.is_float() && bias.dims == [channels];
        if target.bias.as_ref().is_some_and(|bias| !draft.constant(bias).is_some_and(vector)) {
            return Some(Err("the bias is not a constant with a number for each output".to_owned()));
        }
        Some(Ok(target))
    }

    fn convolution(node: &NodeProto, draft: &Draft) -> Option<Self> {
        let [input, weight, bias @ ..] = node.input.as_slice() else { return None };
        draft.constant(weight).filter(|tensor| tensor.dims.len() >= 3)?;
        let bias = bias.first().filter(|name| !name.is_empty()).cloned();
        Some(Self { input: input.clone(), weight: weight.clone(), bias, axis: 0, turned: false })
    }
}

/// The value to quantize after a node: its own output, or that of the `Relu` that alone reads it.
fn output_of(node: &NodeProto, draft: &Draft) -> String {
    let own = &node.output[0];
    let mut nodes = draft.graph().node.iter();
    let relu = nodes.find(|next| next.is("Relu") && next.input.first() == Some(own));
    let alone = relu.filter(|_| draft.readers(own) == 1);
    alone.map_or(own, |relu| &relu.output[0]).clone()
}

/// The least scales of weights with which each bias is at most 2^30 steps.
fn floors(bias: &[f32], input_scale: f32) -> Vec<f32> {
    bias.iter().map(|value| value.abs() / input_scale / (1 << 30) as f32).collect()
}

/// Adds the bias in 32 bits, with the scales that sums of products have, and returns the names of both.
fn put_bias(
    work: &mut Work<'_>,
    name: &str,
    values: &[f32],
    input_scale: f32,
    scales: &[f32],
) -> Result<[String; 2]> {
    let scales: Vec<f32> = scales.iter().map(|of_weight| scale(of_weight * input_scale)).collect();
    let step =
        |(value, scale): (&f32, &f32)| (f64::from(*value) / f64::from(*scale)).round_ties_even() as i32;
    let raw = values.iter().zip(&scales).flat_map(|both| step(both).to_le_bytes()).collect();
    Ok([
        work.draft.put(&format!("{name}_int32"), &[values.len()], data_type::INT32, raw)?,
        work.draft.put_floats(&format!("{name}_scales"), &[scales.len()], &scales)?,
    ])
}

/// Scale and zero point of unsigned bytes that hold the range.
fn affine(range: Range) -> (f32, u8) {
    let step = scale((range.high - range.low) / 255.0);
    let zero = (-range.low / step).round_ties_even().clamp(0.0, 255.0);
    (step, zero as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bias_of_tiny_weights_fits_32_bits() {
        let floors = floors(&[1e6, 0.0], 1e-3);
        let int8 = Format::SEVEN_BITS.quantize_above(&[1e-9, 0.64], &floors, 1);

        assert!(1e6 / (int8.scales[0] * 1e-3) < i32::MAX as f32);
        assert_eq!(int8.scales[1], 0.01);
    }

    #[test]
    fn range_of_nothing_has_a_scale_that_divides() {
        assert_eq!(affine(Range { low: 0.0, high: 0.0 }), (1.0, 0));
        assert_eq!(affine(Range { low: -1.0, high: 1.55 }), (0.01, 100));
    }
}
