use std::fmt;
use std::time::Duration;

/// What quantizing an ONNX model did.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Bytes of the input, its external data included.
    pub bytes_before: u64,
    /// Bytes of the output, its external data included.
    pub bytes_after: u64,
    /// The tensors that became smaller.
    pub weights: Vec<QuantizedWeight>,
    /// The nodes whose weights stayed as they were.
    pub left: Vec<Left>,
    /// How long it took.
    pub elapsed: Duration,
}

/// A tensor that became smaller.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QuantizedWeight {
    /// The tensor's name in the input.
    pub tensor: String,
    /// The node it is a weight of, by its name, or its first output where it has none; empty for
    /// [`Float16`](super::Scheme::Float16), which converts tensors wherever they are read.
    pub node: String,
    /// Root mean square of what was lost, over that of the weights.
    pub error: f64,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes after, scales included.
    pub bytes_after: u64,
    /// Numbers beyond ±1e30, such as masks have, which became ±65504 in half floats. A node with a constant between these
    /// keeps 32 bits.
    pub clamped: u64,
}

/// A node whose weights stayed as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// The node's name, or its first output if it has none.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why.
    pub reason: String,
}

impl Report {
    /// The part of the bytes that is gone, 0 to 1; negative if the model grew.
    pub fn saved(&self) -> f64 {
        1.0 - self.bytes_after as f64 / self.bytes_before.max(1) as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = (1 << 20) as f64;
        let (before, after) = (self.bytes_before as f64 / MIB, self.bytes_after as f64 / MIB);
        write!(f, "{before:.1} MiB to {after:.1} MiB, {} weights", self.weights.len())?;
        write!(f, ", {} nodes left, {:.1} s", self.left.len(), self.elapsed.as_secs_f64())
    }
}
