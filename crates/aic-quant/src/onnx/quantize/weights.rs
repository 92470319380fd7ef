//! Weights in 8 or 4 bits, inputs in floats: [`Scheme::DynamicInt8`](super::Scheme::DynamicInt8) and
//! [`Scheme::Int4`](super::Scheme::Int4).
//!
//! A product in 8 bits is `DynamicQuantizeLinear`, `MatMulInteger`, `Cast` and `Mul`, which ONNX Runtime melts into one
//! operator. Products of the same input (query, key and value) share its first step.
use std::collections::{HashMap, HashSet};

use super::QuantizedWeight;
use super::int4;
use super::int8::Format;
use super::linear::{Linear, Transposes, transpose, transposes};
use super::work::{Pass, Work};
use crate::Result;
use crate::onnx::message::MICROSOFT;
use crate::onnx::proto::{AttributeProto, NodeProto, TensorProto, attribute_type, data_type};

/// The `accuracy_level` of `MatMulNBits` that lets it turn inputs into blocks of 8 bits.
const INT8_INPUTS: i64 = 4;

/// The rewriting pass of both schemes.
pub(super) struct Weights {
    four_bits: bool,
    format: Format,
    transposes: Transposes,
    /// Constants that `Gather` reads rows of.
    tables: HashSet<String>,
    /// Those of them that are also the weights of a product.
    tied: HashSet<String>,
    /// Weights of products; a table that is read as one, too, may be here a second time.
    matrices: HashMap<(String, bool), Matrix>,
    rows: HashMap<String, Matrix>,
    zeros: HashMap<i32, String>,
    one: Option<String>,
    /// What nodes of this scope made: inputs in 8 bits, transposed tables. Outer scopes first.
    made: Vec<HashMap<String, [String; 3]>>,
}

/// Names of a quantized matrix's constants.
#[derive(Clone)]
struct Matrix {
    bytes: String,
    /// `[channels]`
    scales: String,
    /// `[rows, 1]`, of tables alone.
    column: String,
}

impl Weights {
    pub(super) fn new(work: &Work<'_>, four_bits: bool) -> Self {
        let transposes = transposes(&work.draft);
        let mut pass = Self {
            four_bits,
            format: Format::of(work.options.range),
            transposes,
            tables: HashSet::new(),
            tied: HashSet::new(),
            matrices: HashMap::new(),
            rows: HashMap::new(),
            zeros: HashMap::new(),
            one: None,
            made: vec![HashMap::new()],
        };
        if work.options.embeddings {
            pass.find_tables(work);
        }
        pass
    }

    /// Only the main graph is searched: a table read in a body alone is treated as any constant there.
    fn find_tables(&mut self, work: &Work<'_>) {
        let nodes = &work.draft.graph().node;
        let wanted = |node: &&NodeProto| is_lookup(node, work) && !work.is_excluded(node);
        self.tables = nodes.iter().filter(wanted).map(|node| node.input[0].clone()).collect();
        let products = nodes.iter().filter(|node| !work.is_excluded(node));
        let products = products.filter_map(|node| Linear::of(node, &work.draft, &self.transposes)?.ok());
        let tied = products.filter(|linear| linear.transposed && self.tables.contains(&linear.weight));
        self.tied = tied.map(|linear| linear.weight).collect();
    }

    fn product(
        &mut self,
        work: &mut Work<'_>,
        node: &NodeProto,
        linear: &Linear,
        out: &mut Vec<NodeProto>,
    ) -> Result<()> {
        let tied = linear.transposed && linear.alpha == 1.0 && self.tied.contains(&linear.weight);
        if self.four_bits && !tied {
            return self.blocks(work, node, linear, out);
        }
        let matrix =
            if tied { self.table(work, node, &linear.weight)? } else { self.matrix(work, node, linear)? };
        let bytes = if tied { self.transposed_table(work, &matrix, out) } else { matrix.bytes.clone() };
        let [quantized, scale, zero] = self.input(work, &linear.input, out);
        let mut inputs = vec![quantized.as_str(), &bytes, &zero];
        let weight_zero = self.zero(work, self.format)?;
        inputs.extend((!self.format.is_signed()).then_some(weight_zero.as_str()));
        let sums = work.draft.fresh(&format!("{}_sums", linear.output));
        out.push(NodeProto::new("MatMulInteger", &inputs, &[&sums]));
        let scales = matrix.scales.clone();
        scaled(work, &sums, &scale, &scales, linear.bias.as_deref(), &linear.output, out);
        Ok(())
    }

    /// The input in 8 bits, its scale and its zero point.
    fn input(&mut self, work: &mut Work<'_>, name: &str, out: &mut Vec<NodeProto>) -> [String; 3] {
        if let Some(made) = self.made.iter().find_map(|scope| scope.get(name)) {
            return made.clone();
        }
        let names = ["quantized", "scale", "zero"].map(|part| work.draft.fresh(&format!("{name}_{part}")));
        out.push(NodeProto::new("DynamicQuantizeLinear", &[name], &names.each_ref().map(String::as_str)));
        self.remember(name, &names);
        names
    }

    fn matrix(&mut self, work: &mut Work<'_>, node: &NodeProto, linear: &Linear) -> Result<Matrix> {
        let key = (linear.weight.clone(), linear.transposed);
        if let Some(matrix) = self.matrices.get(&key).filter(|_| linear.alpha == 1.0) {
            return Ok(matrix.clone());
        }
        let values = work.draft.floats(&linear.weight)?;
        let inner = if linear.transposed { linear.inputs } else { 1 };
        let mut int8 = self.format.quantize(&values, linear.outputs, inner);
        drop(values);
        if linear.transposed {
            int8.bytes = transpose(&int8.bytes, linear.inputs);
        }
        int8.scales.iter_mut().for_each(|scale| *scale *= linear.alpha);
        let shape = [linear.inputs, linear.outputs];
        let bytes_after = (int8.bytes.len() + 4 * int8.scales.len()) as u64;
        let base = &linear.weight;
        let bytes = work.draft.put(&format!("{base}_int8"), &shape, self.format.data_type(), int8.bytes)?;
        let scales = work.draft.put_floats(&format!("{base}_scales"), &[linear.outputs], &int8.scales)?;
        note(work, node, base, int8.error, bytes_after);
        let matrix = Matrix { bytes, scales, column: String::new() };
        if linear.alpha == 1.0 {
            self.matrices.insert(key, matrix.clone());
        }
        Ok(matrix)
    }

    /// A table in 8 bits, one scale for each row.
    fn table(&mut self, work: &mut Work<'_>, node: &NodeProto, name: &str) -> Result<Matrix> {
        if let Some(matrix) = self.rows.get(name) {
            return Ok(matrix.clone());
        }
        let values = work.draft.floats(name)?;
        let shape = work.draft.constant(name).and_then(TensorProto::shape).unwrap_or_default();
        let format = if self.tied.contains(name) { self.format } else { self.format.wide() };
        let int8 = format.quantize(&values, shape[0], shape[1]);
        let bytes_after = (int8.bytes.len() + 4 * int8.scales.len()) as u64;
        let matrix = Matrix {
            bytes: work.draft.put(&format!("{name}_int8"), &shape, format.data_type(), int8.bytes)?,
            column: work.draft.put_floats(&format!("{name}_column"), &[shape[0], 1], &int8.scales)?,
            scales: work.draft.put_floats(&format!("{name}_scales"), &[shape[0]], &int8.scales)?,
        };
        note(work, node, name, int8.error, bytes_after);
        self.rows.insert(name.to_owned(), matrix.clone());
        Ok(matrix)
    }

    /// The table as the second factor of a product. The runtime transposes it once, when it loads the model.
    fn transposed_table(&mut self, work: &mut Work<'_>, matrix: &Matrix, out: &mut Vec<NodeProto>) -> String {
        if let Some([made, ..]) = self.made.iter().find_map(|scope| scope.get(&matrix.bytes)) {
            return made.clone();
        }
        let name = work.draft.fresh(&format!("{}_transposed", matrix.bytes));
        let mut node = NodeProto::new("Transpose", &[&matrix.bytes], &[&name]);
        node.attribute.push(AttributeProto {
            name: Some("perm".to_owned()),
            ints: vec![1, 0],
            r#type: Some(attribute_type::INTS),
            ..AttributeProto::default()
        });
        out.push(node);
        self.remember(&matrix.bytes, &[name.clone(), String::new(), String::new()]);
        name
    }

    /// Rows of a table and their scales are looked up before they are multiplied.
    fn lookup(&mut self, work: &mut Work<'_>, node: &NodeProto, out: &mut Vec<NodeProto>) -> Result<()> {
        let matrix = self.table(work, node, &node.input[0])?;
        let (ids, output) = (&node.input[1], &node.output[0]);
        let [bytes, scales, numbers] =
            ["bytes", "scales", "numbers"].map(|part| work.draft.fresh(&format!("{output}_{part}")));
        let (one, zero) = (self.one(work)?, self.zero(work, self.format)?);
        out.push(NodeProto::new("Gather", &[&matrix.bytes, ids], &[&bytes]));
        out.push(NodeProto::new("Gather", &[&matrix.column, ids], &[&scales]));
        out.push(NodeProto::new("DequantizeLinear", &[&bytes, &one, &zero], &[&numbers]));
        out.push(NodeProto::new("Mul", &[&numbers, &scales], &[output]));
        Ok(())
    }

    /// A product whose weights are blocks of 4 bits.
    fn blocks(
        &mut self,
        work: &mut Work<'_>,
        node: &NodeProto,
        linear: &Linear,
        out: &mut Vec<NodeProto>,
    ) -> Result<()> {
        let mut values = work.draft.floats(&linear.weight)?;
        if !linear.transposed {
            values = transpose(&values, linear.outputs);
        }
        values.iter_mut().for_each(|value| *value *= linear.alpha);
        let (base, block) = (&linear.weight, work.options.block);
        let int4 = int4::quantize(&values, linear.inputs, block, work.options.symmetric);
        let blocks = linear.inputs.div_ceil(block);
        let zero_bytes = int4.zeros.as_ref().map_or(0, Vec::len);
        let bytes_after = (int4.bytes.len() + 4 * int4.scales.len() + zero_bytes) as u64;
        let shape = [linear.outputs, blocks, block / 2];
        let bytes = work.draft.put(&format!("{base}_int4"), &shape, data_type::UINT8, int4.bytes)?;
        let scales =
            work.draft.put_floats(&format!("{base}_scales"), &[linear.outputs, blocks], &int4.scales)?;
        let mut inputs = vec![linear.input.clone(), bytes, scales];
        if let Some(zeros) = int4.zeros {
            let shape = [linear.outputs, blocks.div_ceil(2)];
            inputs.push(work.draft.put(&format!("{base}_zeros"), &shape, data_type::UINT8, zeros)?);
        }
        note(work, node, base, int4.error, bytes_after);
        work.draft.import(MICROSOFT);
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let product = biased(work, linear.bias.as_deref(), &linear.output, |output| {
            NodeProto::new("MatMulNBits", &inputs, &[output])
                .in_domain(MICROSOFT)
                .with_int("K", linear.inputs as i64)
                .with_int("N", linear.outputs as i64)
                .with_int("bits", 4)
                .with_int("block_size", block as i64)
                .with_int("accuracy_level", INT8_INPUTS)
        });
        out.extend(product);
        Ok(())
    }

    fn convolution(&mut self, work: &mut Work<'_>, node: NodeProto, out: &mut Vec<NodeProto>) -> Result<()> {
        let tensor = work.draft.constant(&node.input[1]).expect("the caller saw the weights");
        let shape = tensor.shape().unwrap_or_default();
        let bias = node.input.get(2).filter(|name| !name.is_empty()).cloned();
        if bias.as_ref().is_some_and(|name| work.draft.constant(name).is_none()) {
            work.left(&node, "the bias is not constant");
            out.push(node);
            return Ok(());
        }
        let values = work.draft.floats(&node.input[1])?;
        let int8 = Format::UNSIGNED.quantize(&values, shape[0], values.len() / shape[0]);
        let base = node.input[1].clone();
        // One number for each output channel, to be spread over the picture.
        let mut channels = vec![1; shape.len() - 1];
        channels[0] = shape[0];
        let bytes_after = (int8.bytes.len() + 4 * int8.scales.len()) as u64;
        let bytes = work.draft.put(&format!("{base}_int8"), &shape, data_type::UINT8, int8.bytes)?;
        let scales = work.draft.put_floats(&format!("{base}_scales"), &channels, &int8.scales)?;
        let bias = match bias {
            Some(bias) => {
                let values = work.draft.floats(&bias)?;
                Some(work.draft.put_floats(&format!("{bias}_channels"), &channels, &values)?)
            }
            None => None,
        };
        note(work, &node, &base, int8.error, bytes_after);
        let [quantized, scale, zero] = self.input(work, &node.input[0], out);
        let sums = work.draft.fresh(&format!("{}_sums", node.output[0]));
        let weight_zero = self.zero(work, Format::UNSIGNED)?;
        let convolution = NodeProto::new("ConvInteger", &[&quantized, &bytes, &zero, &weight_zero], &[&sums]);
        out.push(NodeProto { attribute: node.attribute, ..convolution });
        scaled(work, &sums, &scale, &scales, bias.as_deref(), &node.output[0], out);
        Ok(())
    }

    /// The zero point of weights.
    fn zero(&mut self, work: &mut Work<'_>, format: Format) -> Result<String> {
        if let Some(name) = self.zeros.get(&format.data_type()) {
            return Ok(name.clone());
        }
        let name = work.draft.put("weights_zero", &[], format.data_type(), vec![format.zero()])?;
        self.zeros.insert(format.data_type(), name.clone());
        Ok(name)
    }

    fn one(&mut self, work: &mut Work<'_>) -> Result<String> {
        if let Some(name) = &self.one {
            return Ok(name.clone());
        }
        let name = work.draft.put_floats("weights_one", &[], &[1.0])?;
        Ok(self.one.insert(name).clone())
    }

    fn remember(&mut self, name: &str, made: &[String; 3]) {
        let scope = self.made.last_mut().expect("the outermost scope is never left");
        scope.insert(name.to_owned(), made.clone());
    }
}

impl Pass for Weights {
    fn node(&mut self, work: &mut Work<'_>, node: NodeProto, out: &mut Vec<NodeProto>) -> Result<()> {
        if work.is_excluded(&node) {
            if work.has_weights(&node) {
                work.left(&node, "excluded by a pattern");
            }
            out.push(node);
            return Ok(());
        }
        match Linear::of(&node, &work.draft, &self.transposes) {
            Some(Ok(linear)) if work.draft.constant(&linear.weight).is_some_and(Work::is_weight) => {
                return self.product(work, &node, &linear, out);
            }
            Some(Err(reason)) => work.left(&node, reason),
            _ if self.tables.contains(&node.input.first().cloned().unwrap_or_default())
                && is_lookup(&node, work) =>
            {
                return self.lookup(work, &node, out);
            }
            _ if !self.four_bits && is_convolution(&node, work) => return self.convolution(work, node, out),
            _ if work.has_weights(&node) && !self.transposes.contains_key(&node.output[0]) => {
                let scheme = if self.four_bits { "4-bit" } else { "8-bit" };
                work.left(&node, format!("weights of this operator have no {scheme} form here"));
            }
            _ => {}
        }
        out.push(node);
        Ok(())
    }

    fn enter(&mut self) {
        self.made.push(HashMap::new());
    }

    fn leave(&mut self) {
        self.made.pop();
    }
}

/// `output = sums · (scale · scales) + bias`, in floats.
fn scaled(
    work: &mut Work<'_>,
    sums: &str,
    scale: &str,
    scales: &str,
    bias: Option<&str>,
    output: &str,
    out: &mut Vec<NodeProto>,
) {
    let [floats, product] = ["floats", "scale"].map(|part| work.draft.fresh(&format!("{output}_{part}")));
    out.push(NodeProto::new("Cast", &[sums], &[&floats]).with_int("to", data_type::FLOAT.into()));
    out.push(NodeProto::new("Mul", &[scale, scales], &[&product]));
    out.extend(biased(work, bias, output, |output| NodeProto::new("Mul", &[&floats, &product], &[output])));
}

/// A node, and the addition of a bias to what it puts out if there is one.
fn biased(
    work: &mut Work<'_>,
    bias: Option<&str>,
    output: &str,
    node: impl FnOnce(&str) -> NodeProto,
) -> Vec<NodeProto> {
    let Some(bias) = bias else { return vec![node(output)] };
    let unbiased = work.draft.fresh(&format!("{output}_unbiased"));
    vec![node(&unbiased), NodeProto::new("Add", &[&unbiased, bias], &[output])]
}

fn note(work: &mut Work<'_>, node: &NodeProto, tensor: &str, error: f64, bytes_after: u64) {
    let bytes_before = work.draft.constant(tensor).and_then(TensorProto::bytes).unwrap_or(0);
    work.done(QuantizedWeight {
        tensor: tensor.to_owned(),
        node: node.label().to_owned(),
        error,
        bytes_before,
        bytes_after,
        clamped: 0,
    });
}

/// Whether the node looks up rows of a constant matrix.
fn is_lookup(node: &NodeProto, work: &Work<'_>) -> bool {
    let [table, _] = node.input.as_slice() else { return false };
    let matrix =
        work.draft.constant(table).is_some_and(|tensor| tensor.dims.len() == 2 && Work::is_weight(tensor));
    node.is("Gather") && matrix && node.int("axis").unwrap_or(0) == 0
}

/// Whether the node is a convolution with constant weights.
fn is_convolution(node: &NodeProto, work: &Work<'_>) -> bool {
    let weight = node.input.get(1).and_then(|name| work.draft.constant(name));
    node.is("Conv") && weight.is_some_and(|tensor| tensor.dims.len() >= 3 && Work::is_weight(tensor))
}
