//! Similarity of texts as closeness of vectors, and when the answer to a similar question may be given.
//!
//! Start with [`Similarity`], which makes a [`Cache`](crate::Cache) do so. Its parts can be used alone: the [`Index`]
//! that finds what is near, the [guards](conflict) that say what must not be mixed up, the [`Evidence`] that is learned
//! about one answer, and the estimate of [`WrongHits`].

mod curves;
#[cfg(test)]
mod draws;
mod guards;
mod index;
mod interval;
mod nearest;
mod ngram;
mod sameness;
mod similarity;
mod threshold;
mod verification;

use std::fmt;

use async_trait::async_trait;

pub use self::{
    guards::{Conflict, conflict},
    index::Index,
    interval::Interval,
    nearest::{Neighbour, nearest},
    ngram::NgramEmbedder,
    sameness::same_text,
    similarity::Similarity,
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
