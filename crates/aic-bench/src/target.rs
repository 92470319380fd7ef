use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::timeline::Timeline;

/// What is measured: something that answers requests.
///
/// # Cancel safety
/// The future is dropped when a request times out and when the run is abandoned; it should then give up its request.
pub trait Target: Send + Sync + 'static {
    /// Sends one request, notes its outputs on `timeline` and returns at its end.
    ///
    /// `request` counts from zero and is never repeated in a run, warm-up included: build a different prompt from each,
    /// or else say that a cache was measured.
    fn run(&self, request: u64, timeline: Timeline) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Why a request failed, as a short kind by which failures are counted: `timeout`, `http 503`, `refused`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure(Cow<'static, str>);

impl Failure {
    /// A failure of this kind. Keep the number of kinds small: no addresses, no request numbers.
    pub fn new(kind: impl Into<Cow<'static, str>>) -> Self {
        Self(kind.into())
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Makes a [`Target`] of a closure.
///
/// ```
/// use aic_bench::{Failure, target_fn};
///
/// let every_tenth_fails = target_fn(|request, timeline| async move {
///     if request % 10 == 9 {
///         return Err(Failure::new("overloaded"));
///     }
///     timeline.tokens(1);
///     Ok(())
/// });
/// ```
pub fn target_fn<F, R>(run: F) -> impl Target
where
    F: Fn(u64, Timeline) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Failure>> + Send,
{
    Closure(run)
}

struct Closure<F>(F);

impl<F, R> Target for Closure<F>
where
    F: Fn(u64, Timeline) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Failure>> + Send,
{
    fn run(&self, request: u64, timeline: Timeline) -> impl Future<Output = Result<(), Failure>> + Send {
        (self.0)(request, timeline)
    }
}

impl<T: Target> Target for Arc<T> {
    fn run(&self, request: u64, timeline: Timeline) -> impl Future<Output = Result<(), Failure>> + Send {
        T::run(self, request, timeline)
    }
}
