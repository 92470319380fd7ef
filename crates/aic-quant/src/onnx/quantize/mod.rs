//! Making ONNX models smaller: the schemes, and what carries them out.
mod calibration;
mod float16;
mod int4;
mod int8;
mod linear;
mod options;
mod qdq;
mod report;
mod weights;
mod work;

use std::path::Path;
use std::time::Instant;

pub use calibration::Calibration;
pub use options::{Options, Scheme, WeightRange};
pub use report::{Left, QuantizedWeight, Report};

use self::float16::Float16;
use self::qdq::Qdq;
use self::weights::Weights;
use self::work::Work;
use super::draft::Draft;
use super::file::ModelFile;
use super::opset;
use crate::{Progress, Result};

/// Writes the ONNX model at `input` to `output` with smaller weights, and computing with them where that is faster.
///
/// Inputs and outputs keep their names, and but for [`Options::keep_io_types`] their types. Nodes that stay as they are are
/// in [`Report::left`] with the reason. A model that comes with external data gets an external data file of its own,
/// named after `output` and a hash of its content; such data is read and written one tensor at a time. Both files appear
/// only when complete, and a data file that an older `output` named is not removed. External data outside the model's
/// folder is refused.
///
/// Branches and loop bodies are rewritten where their weights belong to the main graph, except by
/// [`Scheme::StaticInt8`] and [`Scheme::Float16`], which leave them. Bodies of the model's own functions stay.
///
/// ```no_run
/// use aic_quant::onnx::{self, Options, Scheme};
///
/// let report = onnx::quantize("model.onnx", "model-int8.onnx", &Scheme::DynamicInt8, &Options::default(), |progress| {
///     eprintln!("{} of {} bytes", progress.done_bytes, progress.total_bytes);
/// })?;
/// println!("{report}");
/// for left in &report.left {
///     println!("{} ({}): {}", left.node, left.op, left.reason);
/// }
/// # Ok::<(), aic_quant::Error>(())
/// ```
///
/// # Errors
/// [`Error::Malformed`](crate::Error::Malformed) if `input` is no ONNX model or has fields newer than ONNX 1.23,
/// [`Error::Unsupported`](crate::Error::Unsupported) if its operator set is too old to be raised,
/// [`Error::Tensor`](crate::Error::Tensor) for weights that are not numbers or lie where they must not,
/// [`Error::Option`](crate::Error::Option), [`Error::Io`](crate::Error::Io), and for [`Scheme::StaticInt8`]
/// [`Error::Onnx`](crate::Error::Onnx) from the runtime.
pub fn quantize(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    scheme: &Scheme,
    options: &Options,
    mut on_progress: impl FnMut(Progress<'_>),
) -> Result<Report> {
    let started = Instant::now();
    let (input, output) = (input.as_ref(), output.as_ref());
    let mut file = ModelFile::open(input)?;
    opset::lift(&mut file.model, scheme.opset())?;
    let mut work = Work::new(Draft::new(file, output)?, options, &mut on_progress)?;
    work.leave_functions();
    match scheme {
        Scheme::DynamicInt8 | Scheme::Int4 => {
            let mut pass = Weights::new(&work, *scheme == Scheme::Int4);
            work.rewrite(&mut pass)?;
        }
        Scheme::StaticInt8(calibration) => Qdq::run(&mut work, calibration, input)?,
        Scheme::Float16 => Float16::run(&mut work)?,
    }
    work.finish(output, started)
}
