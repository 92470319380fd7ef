//! Running ONNX models: one trait, and the libraries behind it.
mod embedded;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "onnxruntime")]
mod pool;
mod session;
mod tensor;

use std::fmt;

pub use session::{Input, Runtime, Session, SessionOptions};
pub use tensor::{Tensor, Values};

use crate::Result;

/// A loaded model in the hands of a library.
trait Backend: fmt::Debug + Send + Sync {
    /// The library's name.
    fn name(&self) -> &'static str;

    /// What the model wants.
    fn inputs(&self) -> &[Input];

    /// What it gives.
    fn outputs(&self) -> &[String];

    /// Runs the model. The inputs are known by name and filled by their values; the outputs come in the model's order.
    fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>>;
}
