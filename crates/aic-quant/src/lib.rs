//! Model files, quantizing them, and running them: a small local engine.
//!
//! [`gguf`] reads and writes model files; [`encode`] and [`decode`] convert tensors between number formats, which
//! [`DType`] names.
mod codec;
mod device;
mod dtype;
mod error;
pub mod gguf;
mod replacement;
mod tensor;

pub use codec::{decode, encode};
pub use device::Device;
pub use dtype::DType;
pub use error::{BoxError, Error, Result};
pub use tensor::{TensorInfo, TensorSource};
