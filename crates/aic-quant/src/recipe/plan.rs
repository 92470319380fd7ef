use super::{choose, is_weight};
use crate::{DType, Error, Result, TensorInfo, TensorSource};

/// The type each tensor of a model gets, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    tensors: Vec<Planned>,
    alignment: u64,
    file_type: Option<u32>,
}

/// One tensor and the type it gets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Planned {
    /// The tensor as it is.
    pub tensor: TensorInfo,
    /// The type it was meant to get; that of [`dtype`](Self::dtype) if it is no weight.
    pub wanted: DType,
    /// The type it gets.
    pub dtype: DType,
    /// Why it does not get the type it was meant to, if it does not.
    pub reason: Option<&'static str>,
}

impl Plan {
    /// A plan for the tensors of `source`, in their order.
    pub(crate) fn new(source: &dyn TensorSource, tensors: Vec<Planned>) -> Result<Self> {
        Ok(Self { tensors, alignment: alignment(source)?, file_type: None })
    }

    /// Every tensor of `source` in the type it has.
    ///
    /// # Errors
    /// [`Error::Metadata`] for an alignment that is none.
    pub fn keep(source: &dyn TensorSource) -> Result<Self> {
        let kept = source.tensors().iter().map(|tensor| Planned::exactly(tensor, tensor.dtype));
        Self::new(source, kept.collect())
    }

    /// The plan of a file that calls itself `file_type`.
    pub(super) fn with_file_type(self, file_type: Option<u32>) -> Self {
        Self { file_type, ..self }
    }

    /// The tensors, in the order of the file.
    pub fn tensors(&self) -> &[Planned] {
        &self.tensors
    }

    /// Bytes of all tensors as planned, with the padding between them: a file without its header.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(|planned| padded(planned.bytes(), self.alignment)).sum()
    }

    /// Numbers in all tensors.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().map(|planned| planned.tensor.elements()).sum()
    }

    /// Bits per weight as planned, substitutions and padding included; 0 for a model without weights.
    pub fn bits_per_weight(&self) -> f64 {
        self.bytes() as f64 * 8.0 / self.parameters().max(1) as f64
    }

    /// llama.cpp's code for a file of this kind (`LLAMA_FTYPE_MOSTLY_…`); `None` if there is none.
    pub(crate) fn file_type(&self) -> Option<u32> {
        self.file_type
    }

    /// The tensors that do not get the type they were meant to.
    pub fn substitutions(&self) -> impl Iterator<Item = &Planned> {
        self.tensors.iter().filter(|planned| planned.reason.is_some())
    }

    /// The plan, if every tensor gets the type it was meant to.
    ///
    /// # Errors
    /// [`Error::Substituted`] names all that do not.
    pub fn strict(self) -> Result<Self> {
        let tensors: Vec<Planned> = self.substitutions().cloned().collect();
        if tensors.is_empty() { Ok(self) } else { Err(Error::Substituted { tensors }) }
    }
}

impl Planned {
    /// `tensor`, which is to become `wanted`.
    pub(crate) fn new(tensor: &TensorInfo, wanted: DType) -> Self {
        let choice = choose(tensor, wanted);
        let wanted = if is_weight(tensor) { wanted } else { choice.dtype };
        Self { tensor: tensor.clone(), wanted, dtype: choice.dtype, reason: choice.substitution }
    }

    /// How many bytes one row takes as planned.
    pub(crate) fn row_bytes(&self) -> usize {
        self.tensor.row_length() / self.dtype.block_size() * self.dtype.block_bytes()
    }

    /// `tensor` in `dtype`, which it can have.
    pub(crate) fn exactly(tensor: &TensorInfo, dtype: DType) -> Self {
        Self { tensor: tensor.clone(), wanted: dtype, dtype, reason: None }
    }

    /// The tensor's bytes as planned.
    pub fn bytes(&self) -> u64 {
        self.dtype.bytes_of(&self.tensor.shape).expect("the type was chosen to fit the shape")
    }
}

/// What the start of every tensor is a multiple of in the file that `source` becomes.
pub(crate) fn alignment(source: &dyn TensorSource) -> Result<u64> {
    const DEFAULT: u64 = 32;
    Ok(source.metadata().unsigned("general.alignment")?.unwrap_or(DEFAULT).max(1))
}

/// `bytes` and the padding behind them.
pub(crate) fn padded(bytes: u64, alignment: u64) -> u64 {
    bytes.checked_next_multiple_of(alignment).unwrap_or(u64::MAX)
}
