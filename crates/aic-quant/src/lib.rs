//! Model files, quantizing them, and running them: a small local engine.
//!
//! - [`Model`] loads a GGUF file or a Hugging Face folder and answers, embeds and scores text.
//! - [`quantize`] writes a model with smaller numbers; [`ModelOptions::dtype`] does the same while loading.
//! - [`gguf`] and [`safetensors`] read (and write) model files; [`encode`] and [`decode`] convert tensors between the
//!   number formats that [`DType`] names.
//! - [`footprint`] estimates the memory a model needs; [`DeviceMemory`] says how much there is.
//!
//! Everything but the file formats needs the feature `candle`, which is on by default.
#[cfg(feature = "candle")]
mod chat;
mod codec;
mod device;
mod dtype;
#[cfg(feature = "candle")]
mod engine;
mod error;
pub mod gguf;
#[cfg(feature = "candle")]
mod huggingface;
mod memory;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "candle")]
mod quantize;
mod replacement;
pub mod safetensors;
mod storage;
mod tensor;
#[cfg(feature = "candle")]
mod tokenizer;

#[cfg(feature = "candle")]
pub use chat::{Message, Role};
pub use codec::{decode, encode};
pub use device::Device;
pub use dtype::DType;
#[cfg(feature = "candle")]
pub use engine::{
    FinishReason, Footprint, GenerateOptions, Generation, Model, ModelInfo, ModelOptions, Piece, Progress,
    Score, Timings, Usage, footprint,
};
pub use error::{BoxError, Error, Result};
#[cfg(feature = "candle")]
pub use huggingface::HuggingFace;
pub use memory::{DeviceMemory, Memory, SystemMemory, fits};
#[cfg(feature = "candle")]
pub use quantize::{Report, Substitution, TypeShare, quantize};
pub use tensor::{TensorInfo, TensorSource};
