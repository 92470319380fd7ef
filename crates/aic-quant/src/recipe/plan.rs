use super::Choice;
use crate::{DType, TensorInfo, TensorSource};

/// The type each tensor of a model gets, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    tensors: Vec<Planned>,
}

/// One tensor and the type it gets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Planned {
    /// The tensor as it is.
    pub tensor: TensorInfo,
    /// The type it was meant to get.
    pub wanted: DType,
    /// The type it gets.
    pub dtype: DType,
    /// Why it does not get the type it was meant to, if it does not.
    pub reason: Option<&'static str>,
}

impl Plan {
    pub(crate) fn new(tensors: Vec<Planned>) -> Self {
        Self { tensors }
    }

    /// Every tensor of `source` in the type it has.
    pub fn keep(source: &dyn TensorSource) -> Self {
        Self::new(source.tensors().iter().map(Planned::kept).collect())
    }

    /// The tensors, in the order of the file.
    pub fn tensors(&self) -> &[Planned] {
        &self.tensors
    }

    /// Bytes of all tensors as planned, without metadata and padding.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(Planned::bytes).sum()
    }

    /// Numbers in all tensors.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().map(|planned| planned.tensor.elements()).sum()
    }

    /// Bits per weight as planned, substitutions included; 0 for a model without weights.
    pub fn bits_per_weight(&self) -> f64 {
        self.bytes() as f64 * 8.0 / self.parameters().max(1) as f64
    }

    /// llama.cpp's code for a file that is mostly of one type (`LLAMA_FTYPE_MOSTLY_…`); `None` if there is no code for it.
    pub(crate) fn file_type(&self) -> Option<u32> {
        let matrices = self.tensors.iter().filter(|planned| planned.tensor.shape.len() > 1);
        let mut types = matrices.map(|planned| planned.wanted);
        let first = types.next()?;
        types.all(|dtype| dtype == first).then(|| first.file_type()).flatten()
    }

    /// The tensors that do not get the type they were meant to.
    pub fn substitutions(&self) -> impl Iterator<Item = &Planned> {
        self.tensors.iter().filter(|planned| planned.reason.is_some())
    }
}

impl Planned {
    pub(crate) fn new(tensor: &TensorInfo, wanted: DType, choice: &Choice) -> Self {
        Self { tensor: tensor.clone(), wanted, dtype: choice.dtype, reason: choice.substitution }
    }

    /// A tensor that stays as it is.
    pub(crate) fn kept(tensor: &TensorInfo) -> Self {
        Self { tensor: tensor.clone(), wanted: tensor.dtype, dtype: tensor.dtype, reason: None }
    }

    /// How many bytes one row takes as planned.
    pub(crate) fn row_bytes(&self) -> usize {
        self.tensor.row_length() / self.dtype.block_size() * self.dtype.block_bytes()
    }

    /// The tensor's bytes as planned.
    pub fn bytes(&self) -> u64 {
        self.dtype.bytes_of(&self.tensor.shape).expect("the type was chosen to fit the shape")
    }
}
