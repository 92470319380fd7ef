//! Running a model.
#[cfg(feature = "candle")]
pub(crate) mod candle;
mod config;
mod constraint;
mod cpu;
mod decoder;
mod device_layers;
mod encoder;
mod footprint;
mod generation;
mod held;
mod info;
mod model;
mod needs;
mod observer;
mod options;
mod reading;
mod runner;
mod sampler;
mod score;
#[cfg(feature = "candle")]
mod split;
mod step;
mod stop;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tiny;
mod voice;

pub(crate) use config::Config;
#[cfg(feature = "candle")]
pub(crate) use config::EMBEDDING;
pub use constraint::Constraint;
pub(crate) use constraint::Grammar;
pub use device_layers::DeviceLayers;
pub use encoder::Embedder;
pub use footprint::{Footprint, Footprints, footprint, footprints};
pub use generation::{FinishReason, Generation, Piece, Timings, Usage};
pub use info::ModelInfo;
pub use model::Model;
pub(crate) use observer::{Observer, Rows};
pub use options::{GenerateOptions, ModelOptions};
pub use score::Score;
pub(crate) use step::{Slice, Step};
pub(crate) use voice::Voice;
