use crate::kernels::Packed;

/// A weight matrix, `[out_features, in_features]`, that knows its name, so that an observer can tell inputs apart.
pub(super) struct Matrix {
    /// The tensor it is, or is part of.
    pub(super) name: String,
    pub(super) weights: Packed,
    /// Added to each output.
    pub(super) bias: Option<Vec<f32>>,
}

impl Matrix {
    pub(super) fn rows(&self) -> usize {
        self.weights.rows()
    }
}
