//! ONNX models, quantized by us and run by the embedded runtime and the real ONNX Runtime.
//!
//! The models are those of `tests/goldens/onnx/make.py`, the weights of two of them made here, and the folders with tokenizers those of
//! `tests/goldens/onnx-models/make.py`.
mod bad;
mod embed;
mod expected;
mod model;
mod schemes;
mod session;
mod transcribe;
mod translate;
