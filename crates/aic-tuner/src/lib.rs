//! Search spaces, samplers, trials, and changes that can be taken back.
//!
//! A [`Study`] searches a [`SearchSpace`] for the configuration with the best outcome; a [`Sampler`] decides what to
//! try next ([`Tpe`] learns from the trials so far, [`Random`] does not).
//!
//! ```
//! use aic_tuner::{Configuration, Error, SearchSpace, Study};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let space = SearchSpace::builder().log_int("batch", 1..=256).float("overlap", 0.0..=0.5).build()?;
//! let mut study = Study::builder(space).seed(7).build();
//!
//! study.optimize(|tried: Configuration| async move {
//!     let (batch, overlap) = (tried.int("batch")?, tried.float("overlap")?);
//!     Ok::<f64, Error>((batch as f64 - 48.0).abs() + overlap) // a measurement, lower is better
//! }, 60).await;
//!
//! let best = study.best().expect("no trial failed");
//! println!("{} with {}", best.outcome, best.configuration);
//! # assert!(best.outcome.value().is_some_and(|value| value < 20.0));
//! # Ok(())
//! # }
//! ```
//!
//! What was found is then put to use with [`SafeApply`], which watches [`Guardrail`]s beside a baseline and takes the
//! change back if one of them breaks, or if anything else goes wrong.
mod configuration;
mod direction;
mod error;
mod guardrail;
mod metrics;
mod objective;
mod outcome;
mod promotion;
mod safe_apply;
mod sampler;
mod space;
mod study;

pub use configuration::{Configuration, Value};
pub use direction::Direction;
pub use error::{BoxError, Error, Result};
pub use guardrail::Guardrail;
pub use metrics::Metrics;
pub use objective::Objective;
pub use outcome::Outcome;
pub use promotion::{Change, Decision, Effect, Input, Promotion};
pub use safe_apply::{Apply, SafeApply, SafeApplyBuilder};
pub use sampler::{Random, Sampler, Tpe};
pub use space::{Domain, SearchSpace, SearchSpaceBuilder};
pub use study::{Finished, Study, StudyBuilder, Trial};
