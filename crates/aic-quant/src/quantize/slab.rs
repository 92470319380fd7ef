//! A tensor's rows in portions that fit a processor's cache.
use std::ops::Range;

use crate::codec::{decodable, decode_into, encode_into};
use crate::recipe::Planned;
use crate::{DType, Error, Result, TensorInfo, TensorSource};

/// One row of so many is decoded again to measure the error.
const SAMPLED: usize = 16;
/// Numbers that are converted at once: with their scratch they stay in the first cache or the second.
const BATCH: usize = 4096;

/// Some rows of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slab {
    /// The tensor's place in the plan.
    pub(super) tensor: usize,
    /// The first row; rows are counted through all outer dimensions.
    pub(super) first: usize,
    /// How many rows.
    pub(super) rows: usize,
}

/// What a thread needs to convert slabs, kept between them.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    input: Vec<u8>,
    /// The converted slab.
    pub(super) output: Vec<u8>,
    /// The slab as it was read back.
    pub(super) written: Vec<u8>,
    values: Vec<f32>,
    decoded: Vec<f32>,
}

/// Squared error and squared size of the rows that were measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Squares {
    pub(super) error: f64,
    pub(super) size: f64,
}

impl Squares {
    pub(super) fn add(&mut self, more: Self) {
        self.error += more.error;
        self.size += more.size;
    }
}

/// Cuts every tensor into slabs of at most `bytes` of input, and at least one row.
pub(super) fn cut(tensors: &[Planned], bytes: usize) -> Vec<Slab> {
    let slabs = |(index, planned): (usize, &Planned)| {
        let (rows, row_bytes) = (planned.tensor.rows(), planned.tensor.row_bytes().max(1));
        let portion = (bytes / row_bytes).max(1);
        (0..rows).step_by(portion).map(move |first| Slab {
            tensor: index,
            first,
            rows: portion.min(rows - first),
        })
    };
    tensors.iter().enumerate().flat_map(slabs).collect()
}

impl Slab {
    /// Reads the slab from `source` and leaves it converted in `scratch.output`.
    ///
    /// Numbers that are not finite are refused: quantizing would hide them as zeros.
    pub(super) fn convert(
        &self,
        source: &dyn TensorSource,
        planned: &Planned,
        importance: Option<&[f32]>,
        scratch: &mut Scratch,
    ) -> Result<Squares> {
        let tensor = &planned.tensor;
        let row_bytes = tensor.row_bytes();
        scratch.input.resize(self.rows * row_bytes, 0);
        source.read_into(tensor, (self.first * row_bytes) as u64, &mut scratch.input)?;
        let output_bytes = planned.row_bytes();
        scratch.output.resize(self.rows * output_bytes, 0);
        if !decodable(tensor.dtype) {
            scratch.output.copy_from_slice(&scratch.input);
            return Ok(Squares::default());
        }
        let mut squares = Squares::default();
        for (rows, expert) in self.batches(tensor) {
            let input = &scratch.input[rows.start * row_bytes..rows.end * row_bytes];
            let output = &mut scratch.output[rows.start * output_bytes..rows.end * output_bytes];
            let values = sized(&mut scratch.values, rows.len() * tensor.row_length());
            decode_into(input, tensor.dtype, values)?;
            if let Some(at) = not_finite(values) {
                let before = (self.first + rows.start) * tensor.row_length();
                return Err(unusable(planned, before + at, values[at]));
            }
            if planned.dtype == tensor.dtype {
                output.copy_from_slice(input);
                continue;
            }
            let columns = expert * tensor.row_length()..(expert + 1) * tensor.row_length();
            encode_into(values, importance.map(|importance| &importance[columns]), planned.dtype, output)?;
            for row in rows.clone().filter(|row| (self.first + row).is_multiple_of(SAMPLED)) {
                let at = row - rows.start;
                let output = &output[at * output_bytes..(at + 1) * output_bytes];
                let values = &values[at * tensor.row_length()..(at + 1) * tensor.row_length()];
                squares.add(measure(values, output, planned.dtype, &mut scratch.decoded)?);
            }
        }
        Ok(squares)
    }

    /// The slab's rows, counted from its first, in batches of one expert each, and which.
    fn batches(&self, tensor: &TensorInfo) -> impl Iterator<Item = (Range<usize>, usize)> + use<> {
        let (first, rows) = (self.first, self.rows);
        let most = (BATCH / tensor.row_length().max(1)).max(1);
        let of_expert = (tensor.rows() / tensor.experts().max(1)).max(1);
        let mut start = 0;
        std::iter::from_fn(move || {
            let expert = (first + start) / of_expert;
            let end = (start + most).min(rows).min((expert + 1) * of_expert - first);
            let batch = start..end;
            start = end;
            (!batch.is_empty()).then_some((batch, expert))
        })
    }
}

fn measure(values: &[f32], encoded: &[u8], dtype: DType, decoded: &mut Vec<f32>) -> Result<Squares> {
    let decoded = sized(decoded, values.len());
    decode_into(encoded, dtype, decoded)?;
    let square = |x: f32| f64::from(x) * f64::from(x);
    Ok(Squares {
        error: values.iter().zip(decoded).map(|(x, y)| square(x - *y)).sum(),
        size: values.iter().map(|x| square(*x)).sum(),
    })
}

fn sized(values: &mut Vec<f32>, length: usize) -> &mut [f32] {
    values.resize(length, 0.0);
    values
}

/// Where the first number is that is infinite or not one at all.
fn not_finite(values: &[f32]) -> Option<usize> {
    const EXPONENT: u32 = 0x7f80_0000;
    let wrong = |x: &f32| x.to_bits() & EXPONENT == EXPONENT;
    // Without a branch for each number the compiler makes vectors of it.
    let any = values.iter().fold(false, |any, x| any | wrong(x));
    any.then(|| values.iter().position(wrong)).flatten()
}

fn unusable(planned: &Planned, at: usize, value: f32) -> Error {
    let row = planned.tensor.row_length().max(1);
    let (row, column) = (at / row, at % row);
    Error::tensor(
        &planned.tensor.name,
        format!(
            "has the value {value} in row {row}, column {column}; the file is damaged or was converted wrongly"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_cover_every_row_of_every_tensor_once() {
        let tensor = |name: &str, shape: &[usize]| TensorInfo::new(name, shape, DType::F16).unwrap();
        let planned =
            [tensor("a", &[10, 32]), tensor("b", &[5]), tensor("none", &[0, 8]), tensor("c", &[2, 3, 64])]
                .map(|tensor| Planned::exactly(&tensor, tensor.dtype));

        let slabs = cut(&planned, 256);

        let rows =
            |index| slabs.iter().filter(|slab| slab.tensor == index).map(|slab| slab.rows).sum::<usize>();
        assert_eq!([0, 1, 2, 3].map(rows), [10, 1, 0, 6]);
        assert_eq!(slabs[1], Slab { tensor: 0, first: 4, rows: 4 });
        let batches: Vec<_> = Slab { tensor: 3, first: 1, rows: 5 }.batches(&planned[3].tensor).collect();
        assert_eq!(batches, [(0..2, 0), (2..5, 1)]);
        assert!(slabs.iter().all(|slab| slab.rows * planned[slab.tensor].tensor.row_bytes() <= 256));
    }
}
