use candle_core::quantized::QMatMul;
use candle_core::{Module, Result, Tensor};

use crate::engine::observer::{Observer, Rows};

/// A weight matrix, `[out_features, in_features]`, that knows its name, so that an observer can tell inputs apart.
#[derive(Clone)]
pub(super) struct Matrix {
    name: String,
    weight: QMatMul,
}

impl Matrix {
    pub(super) fn new(name: &str, weight: QMatMul) -> Self {
        Self { name: name.to_owned(), weight }
    }

    /// Shows `input`, `[tokens, in_features]`, to `observer` and multiplies it: `[tokens, out_features]`.
    pub(super) fn forward(&self, input: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        self.show(input, observer)?;
        self.multiply(input)
    }

    /// Only shows `input`.
    pub(super) fn show(&self, input: &Tensor, observer: &mut dyn Observer) -> Result<()> {
        if !observer.watches() {
            return Ok(());
        }
        let values = rows(input)?;
        observer
            .matrix(&self.name, Rows { values: &values, columns: input.dim(1)? })
            .map_err(candle_core::Error::wrap)
    }

    /// Only multiplies.
    pub(super) fn multiply(&self, input: &Tensor) -> Result<Tensor> {
        self.weight.forward(input)
    }

    /// The rows of `tokens`.
    pub(super) fn embedding(&self, tokens: &Tensor) -> Result<Tensor> {
        self.weight.embedding(tokens)
    }
}

/// The numbers of `[rows, columns]`.
pub(super) fn rows(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}
