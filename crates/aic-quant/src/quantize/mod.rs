//! Quantizing whole models, tensor by tensor.
mod report;

use std::path::Path;
use std::time::Instant;

pub use report::{Report, Substitution, TypeShare};

use crate::codec::check_encodable;
use crate::gguf::{Metadata, Writer};
use crate::recipe::choose;
use crate::{DType, Error, Progress, Result, TensorInfo, TensorSource, decode, encode};

/// The version of the block formats, as llama.cpp counts them.
const QUANTIZATION_VERSION: u32 = 2;

/// Writes `source` as a GGUF file at `target` with its matrices converted to `dtype`.
///
/// Vectors (norms, biases) become F32. A matrix whose rows do not divide into blocks of `dtype` becomes Q8_0, or F16 if
/// that fails too; one that is already quantized to no more bits stays as it is. The [`Report`] names every such
/// substitution. One tensor is in memory at a time; `target` is replaced only when the new file is complete.
///
/// ```no_run
/// use aic_quant::{DType, gguf, quantize};
///
/// let source = gguf::File::open("model-f16.gguf")?;
/// let report = quantize(&source, "model-q4.gguf", DType::Q4_K, |progress| {
///     eprintln!("{} of {} bytes", progress.done_bytes, progress.total_bytes);
/// })?;
/// println!("{:.2} bits per weight", report.bits_per_weight());
/// # Ok::<(), aic_quant::Error>(())
/// ```
///
/// # Errors
/// [`Error::UnsupportedDType`] if nothing can be quantized to `dtype`, [`Error::Tensor`] for a tensor with values that are
/// not numbers, [`Error::Io`] from the file system.
pub fn quantize(
    source: &dyn TensorSource,
    target: impl AsRef<Path>,
    dtype: DType,
    mut on_progress: impl FnMut(Progress<'_>),
) -> Result<Report> {
    let started = Instant::now();
    check_encodable(dtype)?;
    let mut report = Report::default();
    let mut writer = Writer::new(metadata(source, dtype));
    for tensor in source.tensors() {
        let choice = choose(tensor, dtype);
        writer.tensor(&tensor.name, &tensor.shape, choice.dtype)?;
        report.add(tensor, dtype, &choice);
    }
    let mut tensors = source.tensors().iter();
    report.file_bytes = writer.save(target, |wanted| {
        let tensor = tensors.next().expect("tensors are written in the order of their declaration");
        let bytes = convert(tensor, source.read(tensor)?, wanted.dtype)?;
        report.done_bytes += tensor.bytes;
        on_progress(Progress {
            done_bytes: report.done_bytes,
            total_bytes: report.bytes_before(),
            tensor: &tensor.name,
        });
        Ok(bytes)
    })?;
    report.elapsed = started.elapsed();
    Ok(report)
}

/// The data of `tensor` as `dtype`; refuses numbers that are not, which quantizing would hide as zeros.
pub(crate) fn convert(tensor: &TensorInfo, bytes: Vec<u8>, dtype: DType) -> Result<Vec<u8>> {
    if dtype == tensor.dtype {
        return Ok(bytes);
    }
    let values = decode(&bytes, tensor.dtype)?;
    match values.iter().position(|value| !value.is_finite()) {
        None => encode(&values, dtype),
        Some(at) => Err(Error::tensor(&tensor.name, format!("has the value {} at {at}", values[at]))),
    }
}

fn metadata(source: &dyn TensorSource, dtype: DType) -> Metadata {
    let mut metadata = source.metadata().clone();
    metadata.insert("general.quantization_version", QUANTIZATION_VERSION);
    match file_type(dtype) {
        Some(code) => metadata.insert("general.file_type", code),
        None => metadata.remove("general.file_type"),
    };
    metadata
}

/// llama.cpp's code for a file that is mostly of one type (`LLAMA_FTYPE_MOSTLY_…`).
fn file_type(dtype: DType) -> Option<u32> {
    match dtype {
        DType::F32 => Some(0),
        DType::F16 => Some(1),
        DType::Q4_0 => Some(2),
        DType::Q4_1 => Some(3),
        DType::Q8_0 => Some(7),
        DType::Q5_0 => Some(8),
        DType::Q5_1 => Some(9),
        DType::Q2_K => Some(10),
        DType::Q3_K => Some(11),
        DType::Q4_K => Some(14),
        DType::Q5_K => Some(16),
        DType::Q6_K => Some(18),
        DType::BF16 => Some(32),
        _ => None,
    }
}
