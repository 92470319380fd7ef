//! Running a model: a decoder of the llama family on candle's tensors.
mod config;
mod decoder;
mod footprint;
mod generation;
mod info;
mod matrix;
mod model;
mod observer;
mod options;
mod qtensor;
mod rope;
mod sampler;
mod score;
#[allow(dead_code)]
mod step;
mod stop;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tiny;
mod weights;

pub(crate) use config::Config;
pub use footprint::{Footprint, footprint};
pub use generation::{FinishReason, Generation, Piece, Timings, Usage};
pub use info::ModelInfo;
pub use model::Model;
pub(crate) use observer::Observer;
pub use options::{GenerateOptions, ModelOptions};
pub(crate) use qtensor::{compute, multiplies, qtensor};
pub(crate) use rope::{Angles, Rope};
pub use score::Score;
pub(crate) use weights::{EMBEDDING, Weights};
