//! Models on candle's tensors: on GPUs, and where models are trained.
mod decoder;
mod matrix;
mod qtensor;
mod rope;
mod runner;
mod weights;

pub(super) use decoder::Decoder;
pub(crate) use qtensor::{compute, multiplies, qtensor};
pub(crate) use rope::{Angles, Rope};
pub(super) use runner::Runner;
pub(crate) use weights::Weights;
