use std::collections::HashMap;
use std::ops::Range;

use super::matrix::Matrix;
use crate::engine::held::held;
use crate::engine::options::OnProgress;
use crate::kernels::{InstructionSet, Packed, Pool};
use crate::{DType, Error, Progress, Result, TensorInfo, TensorSource, codec, decode};

/// Numbers that are converted at once: few enough for the second cache.
const BATCH: usize = 1 << 16;

/// Takes tensors out of a source, one at a time: reads, checks the shape, quantizes if asked to, packs.
pub(in crate::engine) struct Weights<'a> {
    source: &'a dyn TensorSource,
    by_name: HashMap<&'a str, &'a TensorInfo>,
    dtype: Option<DType>,
    pool: Pool,
    instructions: InstructionSet,
    on_progress: Option<&'a OnProgress>,
    done_bytes: u64,
    total_bytes: u64,
}

impl<'a> Weights<'a> {
    /// Weights become `dtype`, if there is one, as a [`Recipe`](crate::Recipe) does it.
    pub(in crate::engine) fn new(
        source: &'a dyn TensorSource,
        dtype: Option<DType>,
        pool: Pool,
        instructions: InstructionSet,
        on_progress: Option<&'a OnProgress>,
    ) -> Self {
        let tensors = source.tensors();
        Self {
            source,
            by_name: tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect(),
            dtype,
            pool,
            instructions,
            on_progress,
            done_bytes: 0,
            total_bytes: tensors.iter().map(|tensor| tensor.bytes).sum(),
        }
    }

    /// Counts on from the `done_bytes` of others that loaded a part of the model.
    pub(in crate::engine) fn after(mut self, done_bytes: u64) -> Self {
        self.done_bytes = done_bytes;
        self
    }

    /// The matrix `name`.weight, of `shape` `[out_features, in_features]`, with the bias `name`.bias if there is one.
    pub(super) fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Matrix> {
        self.part(name, shape, 0..shape[0])
    }

    /// As [`matrix`](Self::matrix), if there is a tensor of that name.
    pub(super) fn optional_matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<Matrix>> {
        self.has(&format!("{name}.weight")).then(|| self.matrix(name, shape)).transpose()
    }

    /// Some rows of the matrix `name`.weight, which as a whole has `shape`, with their part of the bias.
    pub(super) fn part(&mut self, name: &str, shape: [usize; 2], rows: Range<usize>) -> Result<Matrix> {
        let bias = self.optional_vector(&format!("{name}.bias"), shape[0])?;
        let bias = bias.map(|bias| bias[rows.clone()].to_vec());
        let name = format!("{name}.weight");
        let tensor = self.find(&name)?;
        check_shape(tensor, &shape)?;
        let held = held(tensor, self.dtype);
        let read = |part: Range<usize>, out: &mut [u8]| {
            self.read(tensor, held, rows.start + part.start..rows.start + part.end, out)
        };
        let weights = Packed::pack(held, rows.len(), shape[1], self.instructions, &self.pool, read)?;
        self.advance(tensor, rows.len());
        Ok(Matrix { name, weights, bias })
    }

    /// The vector called `name`.
    pub(super) fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>> {
        let tensor = self.find(name)?;
        check_shape(tensor, &[length])?;
        let values = decode(&self.source.read(tensor)?, tensor.dtype)?;
        self.advance(tensor, tensor.rows());
        Ok(values)
    }

    /// As [`vector`](Self::vector), if there is a tensor of that name.
    pub(super) fn optional_vector(&mut self, name: &str, length: usize) -> Result<Option<Vec<f32>>> {
        self.has(name).then(|| self.vector(name, length)).transpose()
    }

    /// The threads and the instructions that weights were packed with.
    pub(super) fn into_kernels(self) -> (Pool, InstructionSet) {
        (self.pool, self.instructions)
    }

    fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn find(&self, name: &str) -> Result<&'a TensorInfo> {
        self.by_name.get(name).copied().ok_or_else(|| Error::MissingTensor { name: name.to_owned() })
    }

    /// `rows` of `tensor` as `dtype`; refuses numbers that are not, which quantizing would hide as zeros.
    fn read(&self, tensor: &TensorInfo, dtype: DType, rows: Range<usize>, out: &mut [u8]) -> Result<()> {
        let place = |row: usize| (row * tensor.row_bytes()) as u64;
        if dtype == tensor.dtype {
            return self.source.read_into(tensor, place(rows.start), out);
        }
        let step = (BATCH / tensor.row_length().max(1)).clamp(1, rows.len().max(1));
        let mut bytes = vec![0; step * tensor.row_bytes()];
        let mut values = vec![0.0; step * tensor.row_length()];
        let out_bytes = out.len() / rows.len().max(1);
        for (first, out) in rows.clone().step_by(step).zip(out.chunks_mut((step * out_bytes).max(1))) {
            let count = step.min(rows.end - first);
            let bytes = &mut bytes[..count * tensor.row_bytes()];
            let values = &mut values[..count * tensor.row_length()];
            self.source.read_into(tensor, place(first), bytes)?;
            codec::decode_into(bytes, tensor.dtype, values)?;
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let (value, at) = (values[at], first * tensor.row_length() + at);
                return Err(Error::tensor(&tensor.name, format!("has the value {value} at {at}")));
            }
            codec::encode_into(values, None, dtype, out)?;
        }
        Ok(())
    }

    fn advance(&mut self, tensor: &TensorInfo, rows: usize) {
        self.done_bytes += tensor.bytes * rows as u64 / tensor.rows().max(1) as u64;
        if let Some(on_progress) = self.on_progress {
            on_progress(Progress {
                done_bytes: self.done_bytes.min(self.total_bytes),
                total_bytes: self.total_bytes,
                tensor: &tensor.name,
            });
        }
    }
}

fn check_shape(tensor: &TensorInfo, expected: &[usize]) -> Result<()> {
    if tensor.shape == expected {
        return Ok(());
    }
    Err(Error::tensor(&tensor.name, format!("has shape {:?}, expected {expected:?}", tensor.shape)))
}
