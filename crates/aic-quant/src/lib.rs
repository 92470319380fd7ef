//! Model files, quantizing them, and running them: a small local engine.
//!
//! - [`Model`] loads a GGUF file or a Hugging Face folder and answers, embeds and scores text.
//! - A [`Recipe`] says which type each tensor gets, a [`Quantizer`] writes the smaller model; [`ModelOptions::dtype`] does the same while
//!   loading.
//! - [`quantize`] writes a model with smaller numbers; [`ModelOptions::dtype`] does the same while loading.
//! - [`Calibration`] finds what matters inside a model; [`prune`] takes out what does not.
//! - [`gguf`] and [`safetensors`] read (and write) model files; [`encode`] and [`decode`] convert tensors between the
//! - [`quantize`] writes a model with smaller numbers; [`ModelOptions::dtype`] does the same while loading.
//! - [`inspect`] says what a model file is and holds, [`open`] opens it for reading; [`gguf`] and [`safetensors`] read (and write) model files; [`encode`] and [`decode`] convert tensors between the
//!   number formats that [`DType`] names.
//! - [`distill`] trains a smaller model to answer as a larger one does, or a pruned one to recover.
//! - [`gate`] says whether a smaller model may take the place of the one it was made of.
//! - [`footprint`] estimates the memory a model needs; [`DeviceMemory`] says how much there is.
//!
//! Everything but the file formats needs the feature `candle`, which is on by default. `onnx` makes ONNX models smaller,
//! runs them through the ONNX Runtime library, and needs the feature of that name.
//!
//! ```no_run
//! # #[cfg(feature = "candle")]
//! # fn main() -> aic_quant::Result<()> {
//! use aic_quant::{DType, GenerateOptions, Message, Model};
//!
//! let model = Model::options().dtype(DType::Q8_0).open("model-f16.gguf")?;
//! for piece in model.generate(&[Message::user("Why is the sky blue?")], &GenerateOptions::default())? {
//!     print!("{}", piece?.text);
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "candle"))]
//! # fn main() {}
//! ```
//!
//! Quantizing a file, here one with a single matrix:
//!
//! ```
//! # #[cfg(feature = "candle")]
//! # fn main() -> aic_quant::Result<()> {
//! use std::ops::ControlFlow;
//!
//! use aic_quant::{DType, Quantizer, Recipe, encode, gguf};
//!
//! let mut writer = gguf::Writer::new(gguf::Metadata::new());
//! writer.tensor("output.weight", &[4, 256], DType::F16)?;
//! let weights: Vec<f32> = (0..1024).map(|i| (i as f32).sin()).collect();
//! let source = gguf::File::from_bytes(writer.to_vec(|tensor| encode(&weights, tensor.dtype))?)?;
//!
//! let target = std::env::temp_dir().join(format!("aic-quant-{}.gguf", std::process::id()));
//! let plan = "q4_k".parse::<Recipe>()?.plan(&source, None)?;
//! let report = Quantizer::new(&plan).run(&source, &target, |progress| {
//!     println!("{}: {} of {} bytes", progress.tensor, progress.done_bytes, progress.total_bytes);
//!     ControlFlow::Continue(())
//! })?;
//!
//! assert_eq!(report.bits_per_weight(), 4.5);
//! assert_eq!(gguf::File::open(&target)?.tensors()[0].dtype, DType::Q4_K);
//! # std::fs::remove_file(target).ok();
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "candle"))]
//! # fn main() {}
//! ```
#[cfg(feature = "candle")]
mod calibrate;
#[cfg(feature = "candle")]
mod chat;
mod codec;
#[cfg(feature = "compress")]
pub mod compress;
mod device;
#[cfg(feature = "candle")]
pub mod distill;
mod dtype;
#[cfg(feature = "candle")]
mod engine;
mod error;
pub mod gate;
pub mod gguf;
mod huggingface;
mod importance;
mod inspect;
pub mod live;
mod memory;
mod mix;
#[cfg(feature = "onnx")]
pub mod onnx;
mod open;
mod progress;
#[cfg(feature = "candle")]
pub mod prune;
mod quantize;
pub mod queue;
mod recipe;
mod replacement;
pub mod safetensors;
mod storage;
mod tensor;
#[cfg(feature = "candle")]
mod tokenizer;

#[cfg(feature = "candle")]
pub use calibrate::{Calibration, CalibrationProgress};
#[cfg(feature = "candle")]
pub use chat::{Message, Role};
pub use codec::{decode, encode};
pub use device::Device;
pub use dtype::DType;
#[cfg(feature = "candle")]
pub use engine::{
    FinishReason, Footprint, GenerateOptions, Generation, Model, ModelInfo, ModelOptions, Piece, Score,
    Timings, Usage, footprint,
};
pub use error::{BoxError, Error, Result};
pub use huggingface::HuggingFace;
pub use importance::{Importance, Provenance};
pub use inspect::{Inspection, ModelFile, Quantization, TokenizerSummary, TypeUse, inspect};
pub use memory::{DeviceMemory, Memory, SystemMemory, fits};
#[cfg(feature = "candle")]
pub use mix::{Budget, Front, FrontPoint, Mix, Mixed, mean_kl};
pub use open::open;
pub use progress::Progress;
pub use quantize::{Quantizer, Report, Substitution, TensorReport, TypeShare};
pub use recipe::{Overlay, Plan, Planned, Recipe};
pub use tensor::{TensorInfo, TensorSource};
