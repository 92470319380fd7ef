use std::future::Future;

use crate::configuration::Configuration;
use crate::outcome::Outcome;

/// What is tuned: tells the outcome of one configuration.
///
/// Closures from a [`Configuration`] to a future are objectives, if the future's output is an [`Outcome`], a number or a
/// `Result` with a number.
pub trait Objective: Send {
    /// Measures a configuration. A failure is an [`Outcome`] as well: the search learns from it.
    fn evaluate(&mut self, configuration: Configuration) -> impl Future<Output = Outcome> + Send;
}

impl<F, R> Objective for F
where
    F: FnMut(Configuration) -> R + Send,
    R: Future<Output: Into<Outcome>> + Send,
{
    async fn evaluate(&mut self, configuration: Configuration) -> Outcome {
        self(configuration).await.into()
    }
}
