//! Similarity of texts as closeness of vectors.
//!
//! Not used by [`Cache`](crate::Cache): an answer to a similar question is not an answer to this one.

mod curves;
#[cfg(test)]
mod draws;
mod guards;
mod interval;
mod index;
mod nearest;
mod ngram;
mod sameness;
mod threshold;
mod verification;

use std::fmt;

use async_trait::async_trait;

pub use self::{
    guards::{Conflict, conflict},
    interval::Interval,
    index::Index,
    nearest::{Neighbour, nearest},
    ngram::NgramEmbedder,
    sameness::same_text,
    threshold::{Decision, ErrorBound, Evidence},
    verification::WrongHits,
};
use crate::Result;

/// Turns texts into vectors that are close when the texts are alike.
#[async_trait]
pub trait Embedder: fmt::Debug + Send + Sync + 'static {
    /// Returns the vector of `text`, always of the same length. The empty text has one too.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if what computes it cannot be asked.
    async fn embed(&self, text: &str) -> Result<Vec<f32>>;
}
