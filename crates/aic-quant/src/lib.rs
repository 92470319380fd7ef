//! Model files, quantizing them, and running them: a small local engine.
//!
//! - [`open`] opens a model for reading, a GGUF file or a Hugging Face folder; [`inspect()`] says what it is and holds; [`gguf`] and
//!   [`safetensors`] are the files themselves, [`encode`] and [`decode`] the number formats that [`DType`] names.
//! - A [`Recipe`], or a [`Mix`] within a budget, says which type each tensor gets; a [`Quantizer`] writes the smaller model.
//!   [`Importance`] tells them what matters, and [`Calibration`] finds it.
//! - [`prune`] takes parts out of a model, [`distill`] trains a smaller one, [`compress`] packs its file.
//! - [`gate`] says whether a smaller model may take the place of the one it was made of; [`live`] puts it there while requests
//!   are answered, and takes it back; [`queue`] does all of it in the background.
//! - [`Model`] answers and scores text, [`Embedder`] turns texts into vectors; [`footprint`] estimates the memory it needs,
//!   [`DeviceMemory`] says how much there is.
//! - [`residency`] decides which models are in memory, where, and what gives way.
//! - [`onnx`] makes ONNX models smaller, and runs them: any model, translation, speech, embeddings.
//!
//! What runs models needs the feature `engine`, which is on by default; `candle` (models on GPUs, and [`distill`]), `onnx` (with
//! `onnxruntime`) and `compress` are features of their own.
//!
//! ```no_run
//! # #[cfg(feature = "engine")]
//! # fn main() -> aic_quant::Result<()> {
//! use aic_quant::{DType, GenerateOptions, Message, Model};
//!
//! let model = Model::options().dtype(DType::Q8_0).open("model-f16.gguf")?;
//! for piece in model.generate(&[Message::user("Why is the sky blue?")], &GenerateOptions::default())? {
//!     print!("{}", piece?.text);
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "engine"))]
//! # fn main() {}
//! ```
//!
//! Quantizing a file, here one with a single matrix:
//!
//! ```
//! # #[cfg(feature = "engine")]
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
//! # #[cfg(not(feature = "engine"))]
//! # fn main() {}
//! ```
#[cfg(feature = "engine")]
mod calibrate;
#[cfg(feature = "engine")]
mod chat;
mod codec;
#[cfg(feature = "compress")]
pub mod compress;
mod device;
#[cfg(feature = "candle")]
pub mod distill;
mod dtype;
#[cfg(feature = "engine")]
mod engine;
mod error;
pub mod gate;
pub mod gguf;
mod huggingface;
mod importance;
mod inspect;
#[cfg(feature = "engine")]
mod kernels;
pub mod live;
mod memory;
mod mix;
#[cfg(feature = "onnx")]
pub mod onnx;
mod open;
mod progress;
#[cfg(feature = "engine")]
pub mod prune;
mod quantize;
pub mod queue;
mod recipe;
mod replacement;
pub mod residency;
pub mod safetensors;
#[cfg(feature = "engine")]
mod serve;
mod storage;
mod tensor;
#[cfg(feature = "engine")]
mod tokenizer;

#[cfg(feature = "engine")]
pub use calibrate::{Calibration, CalibrationProgress};
#[cfg(feature = "engine")]
pub use chat::{Message, Role};
pub use codec::{decode, encode};
pub use device::Device;
pub use dtype::DType;
#[cfg(feature = "engine")]
pub use engine::{
    Constraint, DeviceLayers, Embedder, FinishReason, Footprint, Footprints, GenerateOptions, Generation,
    Model, ModelInfo, ModelOptions, Piece, Score, Timings, Usage, footprint, footprints,
};
pub use error::{BoxError, Error, Result};
pub use huggingface::HuggingFace;
pub use importance::{Importance, Provenance};
pub use inspect::{Inspection, ModelFile, Quantization, TokenizerSummary, TypeUse, inspect};
#[cfg(feature = "engine")]
pub use kernels::{Affinity, CacheType, InstructionSet, KernelSpeed, kernel_speed};
pub use memory::{DeviceMemory, Memory, SystemMemory, fits};
#[cfg(feature = "engine")]
pub use mix::mean_kl;
pub use mix::{Budget, Front, FrontPoint, Mix, Mixed};
pub use open::open;
pub use progress::Progress;
pub use quantize::{Quantizer, Report, Substitution, TensorReport, TypeShare};
pub use recipe::{Overlay, Plan, Planned, Recipe};
#[cfg(feature = "engine")]
pub use serve::{ServeOptions, ServeStatistics};
pub use tensor::{TensorInfo, TensorSource};
