use std::fmt;
use std::time::Duration;

use crate::recipe::Choice;
use crate::{DType, TensorInfo};

/// What quantizing a model did.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The types of the source.
    pub before: Vec<TypeShare>,
    /// The types of the result.
    pub after: Vec<TypeShare>,
    /// Tensors that did not become the type asked for.
    pub substitutions: Vec<Substitution>,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// The size of the written file.
    pub file_bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    pub(super) done_bytes: u64,
}

/// The tensors of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeShare {
    /// The type.
    pub dtype: DType,
    /// How many tensors have it.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A tensor that did not become the type asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    /// The tensor's name.
    pub tensor: String,
    /// The type asked for.
    pub wanted: DType,
    /// The type it has now.
    pub used: DType,
    /// Why.
    pub reason: &'static str,
}

impl Report {
    /// Bytes of all tensors of the source.
    pub fn bytes_before(&self) -> u64 {
        self.before.iter().map(|share| share.bytes).sum()
    }

    /// Bytes of all tensors of the result.
    pub fn bytes_after(&self) -> u64 {
        self.after.iter().map(|share| share.bytes).sum()
    }

    /// Bits per weight of the result, substitutions included; 0 for a model without weights.
    pub fn bits_per_weight(&self) -> f64 {
        self.bytes_after() as f64 * 8.0 / self.parameters.max(1) as f64
    }

    pub(super) fn add(&mut self, tensor: &TensorInfo, wanted: DType, choice: &Choice) {
        let used = choice.dtype;
        let bytes = used.bytes_of(&tensor.shape).expect("the type was chosen to fit the shape");
        count(&mut self.before, tensor.dtype, tensor.bytes);
        count(&mut self.after, used, bytes);
        self.parameters += tensor.elements();
        if let Some(reason) = choice.substitution {
            self.substitutions.push(Substitution { tensor: tensor.name.clone(), wanted, used, reason });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = (1 << 20) as f64;
        let (before, after) = (self.bytes_before() as f64 / MIB, self.bytes_after() as f64 / MIB);
        write!(f, "{before:.1} MiB to {after:.1} MiB, {:.2} bits per weight", self.bits_per_weight())?;
        write!(f, ", {} substitutions, {:.1} s", self.substitutions.len(), self.elapsed.as_secs_f64())
    }
}

fn count(shares: &mut Vec<TypeShare>, dtype: DType, bytes: u64) {
    match shares.iter_mut().find(|share| share.dtype == dtype) {
        Some(share) => {
            share.tensors += 1;
            share.bytes += bytes;
        }
        None => shares.push(TypeShare { dtype, tensors: 1, bytes }),
    }
}
