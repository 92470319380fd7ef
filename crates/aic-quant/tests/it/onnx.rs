//! ONNX models, quantized by us and run by the real ONNX Runtime.
//!
//! The models are those of `tests/goldens/onnx/make.py`; the weights of two of them are made here.
mod bad;
mod model;
mod schemes;
mod session;
