use std::fmt;
use std::future::Future;

use tracing::{info, warn};

use crate::error::{BoxError, Error, Result};
use crate::guardrail::Guardrail;
use crate::metrics::Metrics;
use crate::promotion::{Change, Decision, Effect, Input, Promotion};

/// Puts a configuration in force.
///
/// Synchronous, so that a change can be taken back while it is dropped: store a pointer, write a file, send on a
/// channel. Closures from `&C` to a `Result` will do.
pub trait Apply<C>: Send {
    /// Puts `configuration` in force. After an error the one before it is restored.
    fn apply(&mut self, configuration: &C) -> Result<(), BoxError>;
}

impl<C, F: FnMut(&C) -> Result<(), BoxError> + Send> Apply<C> for F {
    fn apply(&mut self, configuration: &C) -> Result<(), BoxError> {
        self(configuration)
    }
}

/// Applies a candidate, watches it beside the accepted configuration, and keeps it or takes it back.
///
/// ```
/// use aic_tuner::{BoxError, Decision, Direction, Guardrail, Metrics, SafeApply};
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> aic_tuner::Result<()> {
/// static THREADS: AtomicU32 = AtomicU32::new(4);
/// let mut threads = SafeApply::builder(4, |threads: &u32| {
///     THREADS.store(*threads, Ordering::Relaxed);
///     Ok(())
/// })
/// .guardrail(Guardrail::new("latency_ms", Direction::Minimize).tolerance(0.05))
/// .window(5)
/// .build()?;
///
/// // One observation of whatever is in force; a real one waits for some requests.
/// let observe = || async {
///     let latency = f64::from(100 + 20 * THREADS.load(Ordering::Relaxed).abs_diff(4));
///     Ok::<_, BoxError>(Metrics::from([("latency_ms".to_owned(), latency)]))
/// };
/// let decision = threads.try_out(64, observe).await?;
///
/// assert!(matches!(decision, Decision::RolledBack(_)));
/// assert_eq!(THREADS.load(Ordering::Relaxed), 4);
/// # Ok(())
/// # }
/// ```
pub struct SafeApply<C: Clone, A: Apply<C>> {
    promotion: Promotion<C>,
    apply: A,
    window: usize,
    /// Whether something else than the promotion's active configuration may be in force.
    unsettled: bool,
}

impl<C: Clone, A: Apply<C>> SafeApply<C, A> {
    /// Starts with the configuration that is in force now, and the way to put another one in force.
    pub fn builder(accepted: C, apply: A) -> SafeApplyBuilder<C, A> {
        SafeApplyBuilder { accepted, apply, guardrails: Vec::new(), window: 20 }
    }

    /// The last accepted configuration.
    pub fn accepted(&self) -> &C {
        self.promotion.accepted()
    }

    /// The changes so far, oldest first; the last thousand.
    pub fn history(&self) -> &[Change<C>] {
        self.promotion.history()
    }

    /// Tries a candidate out: observes the accepted configuration for a window, applies the candidate, and observes it
    /// for a window. `observe` sets the pace.
    ///
    /// # Errors
    /// [`Error::TakenBack`] if applying or observing failed; the accepted configuration is in force again.
    /// [`Error::NotRestored`] if that failed as well.
    ///
    /// # Cancel safety
    /// Dropping the future takes the candidate back.
    pub async fn try_out<R>(&mut self, candidate: C, mut observe: impl FnMut() -> R) -> Result<Decision>
    where
        R: Future<Output = Result<Metrics, BoxError>>,
    {
        self.settle()?;
        let guard = Guard(self);
        for _ in 0..guard.0.window {
            let metrics = observe().await.map_err(|source| taken_back("observing", source))?;
            guard.0.promotion.step(Input::Observe(metrics));
        }
        guard.0.advance(Input::Propose(candidate))?;
        while guard.0.promotion.is_observing() {
            match observe().await {
                Ok(metrics) => guard.0.advance(Input::Observe(metrics))?,
                Err(source) => return guard.0.give_up("observing", source),
            }
        }
        Ok(guard.0.last_decision())
    }

    /// Feeds the state machine and carries its effect out.
    fn advance(&mut self, input: Input<C>) -> Result<()> {
        match self.promotion.step(input) {
            Effect::Nothing => Ok(()),
            Effect::Apply(candidate) => self.apply_candidate(&candidate),
            Effect::Keep => {
                self.unsettled = false;
                info!("kept a new configuration");
                Ok(())
            }
            Effect::Restore(_) => self.settle(),
        }
    }

    fn apply_candidate(&mut self, candidate: &C) -> Result<()> {
        self.unsettled = true;
        match self.apply.apply(candidate) {
            Ok(()) => Ok(()),
            Err(source) => self.give_up("applying", source),
        }
    }

    /// Takes the candidate back because of an error, and returns that error.
    fn give_up<T>(&mut self, stage: &'static str, source: BoxError) -> Result<T> {
        self.advance(Input::Fail(format!("{stage} failed: {source}")))?;
        Err(taken_back(stage, source))
    }

    /// Puts the accepted configuration in force, unless it is known to be.
    fn settle(&mut self) -> Result<()> {
        if self.unsettled {
            let accepted = self.promotion.accepted();
            self.apply.apply(accepted).map_err(|source| Error::NotRestored { source })?;
            self.unsettled = false;
            info!("took a configuration back");
        }
        Ok(())
    }

    fn last_decision(&self) -> Decision {
        let last = self.promotion.history().last();
        last.expect("a candidate that is no longer observed was decided on").decision.clone()
    }
}

impl<C: Clone, A: Apply<C>> Drop for SafeApply<C, A> {
    fn drop(&mut self) {
        warn_if_lost(self.settle());
    }
}

impl<C: Clone + fmt::Debug, A: Apply<C>> fmt::Debug for SafeApply<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SafeApply").field("promotion", &self.promotion).finish_non_exhaustive()
    }
}

/// Takes back, when dropped, a candidate that was not decided on.
struct Guard<'a, C: Clone, A: Apply<C>>(&'a mut SafeApply<C, A>);

impl<C: Clone, A: Apply<C>> Drop for Guard<'_, C, A> {
    fn drop(&mut self) {
        if self.0.promotion.is_observing() {
            warn_if_lost(self.0.advance(Input::Fail("abandoned".to_owned())));
        }
    }
}

fn warn_if_lost(restored: Result<()>) {
    if let Err(error) = restored {
        warn!(error = &error as &dyn std::error::Error, "could not take a configuration back");
    }
}

fn taken_back(stage: &'static str, source: BoxError) -> Error {
    Error::TakenBack { stage, source }
}

/// Builds a [`SafeApply`].
#[must_use]
pub struct SafeApplyBuilder<C, A> {
    accepted: C,
    apply: A,
    guardrails: Vec<Guardrail>,
    window: usize,
}

impl<C: Clone, A: Apply<C>> SafeApplyBuilder<C, A> {
    /// Adds a metric that a candidate must not make worse.
    ///
    /// Defaults to none: a candidate is then only taken back for errors.
    pub fn guardrail(mut self, guardrail: Guardrail) -> Self {
        self.guardrails.push(guardrail);
        self
    }

    /// Sets how many observations each side gets.
    ///
    /// Defaults to 20.
    pub fn window(mut self, observations: usize) -> Self {
        self.window = observations;
        self
    }

    /// Finishes it. Nothing is applied yet.
    ///
    /// # Errors
    /// [`Error::EmptyWindow`] if the window is zero.
    pub fn build(self) -> Result<SafeApply<C, A>> {
        let promotion = Promotion::new(self.accepted, self.guardrails, self.window)?;
        Ok(SafeApply { promotion, apply: self.apply, window: self.window, unsettled: false })
    }
}

impl<C: fmt::Debug, A> fmt::Debug for SafeApplyBuilder<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SafeApplyBuilder").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}
