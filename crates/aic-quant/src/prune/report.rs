use std::fmt;

use super::Pruned;
use super::cut::check_plain;
use super::rows::each_row;
use crate::{Result, TensorInfo, TensorSource};

/// What pruning left of a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The zeros of every matrix of plain numbers; those that were not touched too.
    pub matrices: Vec<Sparsity>,
    /// Numbers in all tensors before.
    pub parameters_before: u64,
    /// Numbers in all tensors after, zeros included.
    pub parameters_after: u64,
    /// Bytes of all tensors before.
    pub bytes_before: u64,
    /// Bytes of all tensors after. Zeros take as many as other numbers.
    pub bytes_after: u64,
}

/// How much of one matrix is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sparsity {
    /// The matrix's name.
    pub tensor: String,
    /// Numbers it has.
    pub elements: u64,
    /// How many of them are zero.
    pub zeros: u64,
}

impl Report {
    pub(super) fn new(pruned: &Pruned<'_>) -> Result<Self> {
        let plain = |tensor: &&TensorInfo| tensor.shape.len() > 1 && check_plain(tensor.dtype).is_ok();
        let matrices = pruned.tensors().iter().filter(plain);
        let (before, after) = (pruned.source.tensors(), pruned.tensors());
        let elements = |tensors: &[TensorInfo]| -> u64 { tensors.iter().map(TensorInfo::elements).sum() };
        let bytes = |tensors: &[TensorInfo]| -> u64 { tensors.iter().map(|tensor| tensor.bytes).sum() };
        Ok(Self {
            matrices: matrices.map(|tensor| Sparsity::of(pruned, tensor)).collect::<Result<_>>()?,
            parameters_before: elements(before),
            parameters_after: elements(after),
            bytes_before: bytes(before),
            bytes_after: bytes(after),
        })
    }

    /// Zeros in all matrices.
    pub fn zeros(&self) -> u64 {
        self.matrices.iter().map(|matrix| matrix.zeros).sum()
    }
}

impl Sparsity {
    fn of(source: &dyn TensorSource, tensor: &TensorInfo) -> Result<Self> {
        let mut zeros = 0;
        each_row(source, tensor, |row| {
            zeros += row.iter().filter(|weight| **weight == 0.0).count() as u64;
            Ok(())
        })?;
        Ok(Self { tensor: tensor.name.clone(), elements: tensor.elements(), zeros })
    }

    /// The share of zeros, from 0 to 1; 0 for an empty matrix.
    pub fn share(&self) -> f64 {
        self.zeros as f64 / self.elements.max(1) as f64
    }
}

/// One line: parameters, bytes and zeros, and that zeros do not make the file smaller.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = (1 << 20) as f64;
        let [parameters, bytes] = [
            (self.parameters_before as f64 / 1e6, self.parameters_after as f64 / 1e6),
            (self.bytes_before as f64 / MIB, self.bytes_after as f64 / MIB),
        ];
        write!(f, "{:.1} to {:.1} million parameters", parameters.0, parameters.1)?;
        write!(f, ", {:.1} MiB to {:.1} MiB", bytes.0, bytes.1)?;
        match self.zeros() {
            0 => Ok(()),
            zeros => write!(
                f,
                "; {:.1} % are zeros, which take as much room as other numbers until the file is packed",
                100.0 * zeros as f64 / self.parameters_after.max(1) as f64
            ),
        }
    }
}
