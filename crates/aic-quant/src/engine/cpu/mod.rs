//! Models on this crate's kernels: any family, many sequences in one pass, keys and values in pages.
mod decoder;
mod layer;
mod matrix;
mod pass;
mod runner;
mod weights;

pub(super) use decoder::Decoder;
pub(super) use runner::Runner;
pub(super) use weights::Weights;
