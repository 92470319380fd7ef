//! ONNX models: making them smaller, and running them.
//!
//! [`quantize`] rewrites a model file by a [`Scheme`]; it needs no other program. [`Session`] runs any model, numbers in, numbers
//! out; [`Embedder`], [`Translator`] and [`Transcriber`] run folders as Hugging Face's `optimum` exports them, text or sound in, text out.
//!
//! Two runtimes do the work, behind the same types: rten, which is built in, and with the feature `onnxruntime` the real ONNX
//! Runtime library, which is looked for when the first session is opened: nothing is linked or downloaded at build time. See
//! [`Runtime`] for which is taken.
mod draft;
mod embedder;
mod external;
mod file;
mod folder;
mod generate;
mod message;
mod opset;
mod output;
mod proto;
mod quantize;
mod runtime;
mod schema;
mod transcriber;
mod translator;

pub use embedder::{Embedder, Pooling};
pub use quantize::{Calibration, Left, Options, QuantizedWeight, Report, Scheme, WeightRange, quantize};
pub use runtime::{Input, Runtime, Session, SessionOptions, Tensor, Values};
pub use transcriber::{Segment, TranscribeOptions, Transcriber, Transcript};
pub use translator::{TranslateOptions, Translation, Translator};
