//! Small conveniences on the messages: making nodes, reading attributes, measuring tensors.
use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type, data_type};

/// The domain of ONNX Runtime's own operators.
pub(super) const MICROSOFT: &str = "com.microsoft";

impl NodeProto {
    /// A node of the standard operators, named after its first output.
    pub(super) fn new(op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            input: owned(inputs),
            output: owned(outputs),
            name: outputs.first().map(|name| format!("{name}_{op}")),
            op_type: Some(op.to_owned()),
            ..Self::default()
        }
    }

    /// The same node with an attribute more.
    pub(super) fn with_int(mut self, name: &str, value: i64) -> Self {
        self.attribute.push(AttributeProto {
            name: Some(name.to_owned()),
            i: Some(value),
            r#type: Some(attribute_type::INT),
            ..AttributeProto::default()
        });
        self
    }

    /// The same node in another domain.
    pub(super) fn in_domain(mut self, domain: &str) -> Self {
        self.domain = Some(domain.to_owned());
        self
    }

    /// What the node does; empty if it does not say.
    pub(super) fn op(&self) -> &str {
        self.op_type.as_deref().unwrap_or_default()
    }

    /// Whether the node does what the standard calls `op`.
    pub(super) fn is(&self, op: &str) -> bool {
        self.op() == op && self.is_standard()
    }

    /// Whether the operator is ONNX's own.
    pub(super) fn is_standard(&self) -> bool {
        matches!(self.domain.as_deref(), None | Some("" | "ai.onnx"))
    }

    /// What reports call the node: its name, else its first output.
    pub(super) fn label(&self) -> &str {
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        name.or(self.output.first().map(String::as_str)).unwrap_or_default()
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    pub(super) fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name)?.f
    }

    /// The graphs the node holds: branches, loop bodies.
    pub(super) fn bodies(&self) -> impl Iterator<Item = &GraphProto> {
        self.attribute
            .iter()
            .flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs))
    }

    /// The graphs the node holds, to change them.
    pub(super) fn bodies_mut(&mut self) -> impl Iterator<Item = &mut GraphProto> {
        self.attribute
            .iter_mut()
            .flat_map(|attribute| attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs))
    }
}

impl TensorProto {
    /// A named tensor of bytes in memory.
    pub(super) fn new(name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> Self {
        Self {
            name: Some(name.to_owned()),
            dims: dims.iter().map(|dim| *dim as i64).collect(),
            data_type: Some(data_type),
            raw_data: Some(raw_data),
            ..Self::default()
        }
    }

    pub(super) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub(super) fn is_external(&self) -> bool {
        self.data_location == Some(super::proto::EXTERNAL)
    }

    pub(super) fn is_float(&self) -> bool {
        self.data_type == Some(data_type::FLOAT)
    }

    /// The dimensions; `None` if one is negative.
    pub(super) fn shape(&self) -> Option<Vec<usize>> {
        self.dims.iter().map(|dim| usize::try_from(*dim).ok()).collect()
    }

    /// How many numbers there are; `None` if that is no number.
    pub(super) fn elements(&self) -> Option<u64> {
        let dim = |product: u64, dim: &i64| product.checked_mul(u64::try_from(*dim).ok()?);
        self.dims.iter().try_fold(1, dim)
    }

    /// The bytes of the raw data; `None` for texts, unknown types and impossible shapes.
    pub(super) fn bytes(&self) -> Option<u64> {
        let bits = bits(self.data_type?)?;
        Some(self.elements()?.checked_mul(bits)?.div_ceil(8))
    }
}

/// Bits of one number of a type.
fn bits(data_type: i32) -> Option<u64> {
    Some(match data_type {
        1 | 6 | 12 => 32,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        21..=23 => 4,
        25 | 26 => 2,
        27 | 28 => 6,
        _ => return None,
    })
}

/// The everyday name of a type.
pub(super) fn type_name(data_type: Option<i32>) -> &'static str {
    match data_type.unwrap_or_default() {
        1 => "float32",
        10 => "float16",
        11 => "float64",
        16 => "bfloat16",
        2 | 3 | 6 | 7 => "integer",
        _ => "of another type",
    }
}
