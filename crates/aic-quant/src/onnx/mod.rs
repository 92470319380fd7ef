//! ONNX models: making them smaller, and running them through the ONNX Runtime library.
//!
//! [`quantize`] rewrites a model file by a [`Scheme`]; it needs no other program. [`Session`] runs a model through the
//! library, which is looked for when the first session is opened: nothing is linked or downloaded at build time. The library
//! is the one given, else the one `ORT_DYLIB_PATH` names, else the system's `libonnxruntime`; version 1.17 or newer. It is
//! loaded once for the process: later sessions use the same.
mod draft;
mod external;
mod file;
mod message;
mod opset;
mod output;
mod proto;
mod quantize;
mod schema;
mod session;

pub use quantize::{Calibration, Left, Options, QuantizedWeight, Report, Scheme, WeightRange, quantize};
pub use session::{Session, Tensor, Values};
