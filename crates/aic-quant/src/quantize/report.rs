use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::run::Written;
use crate::DType;
use crate::recipe::{Plan, Planned};

/// What quantizing a model did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Every tensor, in the order of the file.
    pub tensors: Vec<TensorReport>,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Bytes of all tensors of the source.
    pub bytes_before: u64,
    /// Bytes of all tensors of the result.
    pub bytes_after: u64,
    /// The size of the written file.
    pub file_bytes: u64,
    /// Bytes of the source that an earlier run, which did not end, had done.
    pub resumed_bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// What became of one tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// Its type in the source.
    pub from: DType,
    /// Its type in the result.
    pub to: DType,
    /// Its bytes in the result.
    pub bytes: u64,
    /// The root of the squared error over the squared weights, measured on every sixteenth row; `None` if nothing was
    /// converted, or all weights are 0.
    pub error: Option<f64>,
    /// The type it was meant to get and why it did not, if so.
    pub substitution: Option<Substitution>,
}

/// Why a tensor did not become the type it was meant to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Substitution {
    /// The type meant.
    pub wanted: DType,
    /// Why not.
    pub reason: &'static str,
}

/// The tensors of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TypeShare {
    /// The type.
    pub dtype: DType,
    /// How many tensors have it.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Report {
    pub(super) fn new(plan: &Plan, file_bytes: u64, written: &Written, elapsed: Duration) -> Self {
        let tensors = plan.tensors().iter().zip(&written.squares);
        let error = |squares: &super::slab::Squares| {
            (squares.size > 0.0).then(|| (squares.error / squares.size).sqrt())
        };
        Self {
            tensors: tensors.map(|(planned, squares)| TensorReport::new(planned, error(squares))).collect(),
            parameters: plan.parameters(),
            bytes_before: plan.tensors().iter().map(|planned| planned.tensor.bytes).sum(),
            bytes_after: plan.bytes(),
            file_bytes,
            resumed_bytes: written.resumed_bytes,
            elapsed,
        }
    }

    /// Bits per weight of the result, substitutions included; 0 for a model without weights.
    pub fn bits_per_weight(&self) -> f64 {
        self.bytes_after as f64 * 8.0 / self.parameters.max(1) as f64
    }

    /// Bytes of the source read in a second, those of an earlier run left out.
    pub fn bytes_per_second(&self) -> f64 {
        (self.bytes_before - self.resumed_bytes) as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The types of the result with what they take, the largest first.
    pub fn types(&self) -> Vec<TypeShare> {
        let mut shares: Vec<TypeShare> = Vec::new();
        for tensor in &self.tensors {
            match shares.iter_mut().find(|share| share.dtype == tensor.to) {
                Some(share) => {
                    share.tensors += 1;
                    share.bytes += tensor.bytes;
                }
                None => shares.push(TypeShare { dtype: tensor.to, tensors: 1, bytes: tensor.bytes }),
            }
        }
        shares.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        shares
    }

    /// The tensors that did not become the type they were meant to.
    pub fn substitutions(&self) -> impl Iterator<Item = &TensorReport> {
        self.tensors.iter().filter(|tensor| tensor.substitution.is_some())
    }
}

impl TensorReport {
    fn new(planned: &Planned, error: Option<f64>) -> Self {
        Self {
            name: planned.tensor.name.clone(),
            from: planned.tensor.dtype,
            to: planned.dtype,
            bytes: planned.bytes(),
            error,
            substitution: planned.reason.map(|reason| Substitution { wanted: planned.wanted, reason }),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = (1 << 20) as f64;
        let (before, after) = (self.bytes_before as f64 / MIB, self.bytes_after as f64 / MIB);
        write!(f, "{before:.1} MiB to {after:.1} MiB, {:.2} bits per weight", self.bits_per_weight())?;
        write!(f, ", {} substitutions, {:.1} s", self.substitutions().count(), self.elapsed.as_secs_f64())
    }
}
