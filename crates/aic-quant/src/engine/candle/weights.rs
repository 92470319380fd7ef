use std::collections::HashMap;

use candle_core::quantized::QMatMul;
use candle_core::{Device, Tensor};

use super::matrix::Matrix;
use super::qtensor::multiplies;
use super::{compute, qtensor};
use crate::engine::options::OnProgress;
use crate::recipe::choose;
use crate::{DType, Error, Progress, Result, TensorInfo, TensorSource, decode, encode};

/// Takes tensors out of a source, one at a time: reads, checks the shape, quantizes if asked to, puts it on the device.
pub(crate) struct Weights<'a> {
    source: &'a dyn TensorSource,
    by_name: HashMap<&'a str, &'a TensorInfo>,
    device: &'a Device,
    dtype: Option<DType>,
    on_progress: Option<&'a OnProgress>,
    done_bytes: u64,
    total_bytes: u64,
}

impl<'a> Weights<'a> {
    pub(crate) fn new(
        source: &'a dyn TensorSource,
        device: &'a Device,
        dtype: Option<DType>,
        on_progress: Option<&'a OnProgress>,
    ) -> Self {
        let tensors = source.tensors();
        Self {
            source,
            by_name: tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect(),
            device,
            dtype,
            on_progress,
            done_bytes: 0,
            total_bytes: tensors.iter().map(|tensor| tensor.bytes).sum(),
        }
    }

    /// Bytes of the tensors that were taken, as the source has them.
    pub(in crate::engine) fn done_bytes(&self) -> u64 {
        self.done_bytes
    }

    /// The matrix called `name`, of `shape` `[out_features, in_features]`.
    pub(super) fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Matrix> {
        Ok(Matrix::new(name, self.weight(name, shape)?))
    }

    /// As [`matrix`](Self::matrix), if there is a tensor of that name.
    pub(super) fn optional_matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<Matrix>> {
        self.has(name).then(|| self.matrix(name, shape)).transpose()
    }

    /// As [`optional_matrix`](Self::optional_matrix), without its name.
    pub(crate) fn optional_weight(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<QMatMul>> {
        self.has(name).then(|| self.weight(name, shape)).transpose()
    }

    fn weight(&mut self, name: &str, shape: [usize; 2]) -> Result<QMatMul> {
        let tensor = self.find(name)?;
        check_shape(tensor, &shape)?;
        let bytes = self.source.read(tensor)?;
        let dtype = self.dtype.map_or(tensor.dtype, |wanted| choose(tensor, wanted).dtype);
        let matrix = self.load(&convert(tensor, bytes, dtype)?, dtype, &shape)?;
        self.advance(tensor);
        Ok(matrix)
    }

    /// The vector called `name`, in full precision.
    pub(crate) fn vector(&mut self, name: &str, length: usize) -> Result<Tensor> {
        let values = self.numbers(name, length)?;
        Tensor::from_vec(values, length, self.device).map_err(compute("loading a tensor"))
    }

    /// As [`vector`](Self::vector), if there is a tensor of that name.
    pub(crate) fn optional_vector(&mut self, name: &str, length: usize) -> Result<Option<Tensor>> {
        self.has(name).then(|| self.vector(name, length)).transpose()
    }

    /// The numbers of the vector called `name`, if there is one.
    pub(crate) fn optional_numbers(&mut self, name: &str, length: usize) -> Result<Option<Vec<f32>>> {
        self.has(name).then(|| self.numbers(name, length)).transpose()
    }

    fn numbers(&mut self, name: &str, length: usize) -> Result<Vec<f32>> {
        let tensor = self.find(name)?;
        check_shape(tensor, &[length])?;
        let values = decode(&self.source.read(tensor)?, tensor.dtype)?;
        self.advance(tensor);
        Ok(values)
    }

    fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn find(&self, name: &str) -> Result<&'a TensorInfo> {
        self.by_name.get(name).copied().ok_or_else(|| Error::MissingTensor { name: name.to_owned() })
    }

    /// Plain numbers are held as f32, for which there are fast kernels everywhere; quantized ones as they are.
    fn load(&self, bytes: &[u8], dtype: DType, shape: &[usize]) -> Result<QMatMul> {
        if multiplies(dtype, shape.last().copied().unwrap_or(1)) {
            let tensor = qtensor(bytes, dtype, shape, self.device)?;
            return QMatMul::from_qtensor(tensor).map_err(compute("loading a tensor"));
        }
        let values = decode(bytes, dtype)?;
        Tensor::from_vec(values, shape, self.device).map(QMatMul::Tensor).map_err(compute("loading a tensor"))
    }

    fn advance(&mut self, tensor: &TensorInfo) {
        self.done_bytes += tensor.bytes;
        if let Some(on_progress) = self.on_progress {
            on_progress(Progress {
                done_bytes: self.done_bytes,
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

/// The data of `tensor` as `dtype`; refuses numbers that are not, which quantizing would hide as zeros.
fn convert(tensor: &TensorInfo, bytes: Vec<u8>, dtype: DType) -> Result<Vec<u8>> {
    if dtype == tensor.dtype {
        return Ok(bytes);
    }
    let values = decode(&bytes, tensor.dtype)?;
    match values.iter().position(|value| !value.is_finite()) {
        None => encode(&values, dtype),
        Some(at) => Err(Error::tensor(&tensor.name, format!("has the value {} at {at}", values[at]))),
    }
}
