use super::matrix::Matrix;
use crate::Result;
use crate::engine::observer::{Observer, Rows};
use crate::engine::step::Slice;
use crate::kernels::{Angles, InstructionSet, KvStore, Pool, Product, Scratch, Span, Vectors, multiply};

/// One pass of some tokens through the layers: what every layer needs beside its weights.
pub(super) struct Pass<'a> {
    pub(super) pool: &'a Pool,
    pub(super) instructions: InstructionSet,
    pub(super) scratch: &'a mut Scratch,
    pub(super) store: &'a mut KvStore,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) slices: &'a [Slice<'a>],
    pub(super) spans: Vec<Span<'a>>,
    /// Of each kind of rotation.
    pub(super) angles: Vec<Angles>,
}

impl Pass<'_> {
    pub(super) fn vectors(&self) -> Vectors<'_> {
        Vectors::new(self.pool, self.instructions)
    }

    /// Multiplies `input` with some matrices, each into its output, `[rows, out_features]`, and adds their biases.
    pub(super) fn multiply(&mut self, input: &[f32], products: &mut [(&Matrix, &mut [f32])]) -> Result<()> {
        self.show(input, products)?;
        let columns = products[0].0.weights.columns();
        let mut plain: Vec<_> = products
            .iter_mut()
            .map(|(matrix, output)| Product { weights: &matrix.weights, output })
            .collect();
        multiply(self.pool, self.scratch, input, input.len() / columns, &mut plain);
        for (matrix, output) in products {
            if let Some(bias) = &matrix.bias {
                self.vectors().add_bias(output, bias);
            }
        }
        Ok(())
    }

    /// Shows `input` to the observer; parts of one tensor have one input.
    fn show(&mut self, input: &[f32], products: &[(&Matrix, &mut [f32])]) -> Result<()> {
        let mut shown = "";
        for (matrix, _) in products {
            if self.observer.watches() && matrix.name != shown {
                self.observer
                    .matrix(&matrix.name, Rows { values: input, columns: matrix.weights.columns() })?;
                shown = &matrix.name;
            }
        }
        Ok(())
    }
}

/// The part of `buffer` that holds `length` numbers, whatever they are.
pub(super) fn room(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}
