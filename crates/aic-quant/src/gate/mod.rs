//! The quality gate: whether a smaller model may take the place of the one it was made of.
//!
//! [`Gate`] runs both over a text and compares what they predict: perplexity, KL divergence, the likeliest token, the
//! probability of the true one. Each measure comes with an interval, by block bootstrap, and an interval that lies on one
//! side of its limit decides; one around it does not, and the gate reads on until the text ends. So there are three
//! verdicts, and [`Verdict::Inconclusive`] is not a pass.
//!
//! What a text does not exercise it does not show: a wrong row of a token that never comes, one block of a matrix. So
//! [`Gate::judge`] begins with [`structure`], which compares the files number by number, and a [`Probe`] looks at answers,
//! because means over text say little about whether a model still stops, or still writes JSON.
//!
//! A [`Reference`] keeps what the reference predicted in 648 bytes a token, so that many candidates are judged against one
//! run of it. [`embeddings`] compares models that are used for vectors.
//!
//! ```no_run
//! # #[cfg(feature = "engine")]
//! # fn main() -> aic_quant::Result<()> {
//! use aic_quant::gate::{Gate, Verdict};
//! use aic_quant::{DType, Model};
//!
//! let reference_text = std::fs::read_to_string("held-out.txt").expect("a text the model was not tuned on");
//! let reference_model = Model::open("model-f16.gguf")?;
//! let candidate_model = Model::options().dtype(DType::Q4_K).open("model-f16.gguf")?;
//!
//! let report = Gate::new(reference_text).max_mean_kl(0.05).compare(&reference_model, &candidate_model)?;
//! println!("{report}");
//! match report.verdict {
//!     Verdict::Pass => println!("take it"),
//!     Verdict::Fail { reasons } => println!("keep the old one: {reasons:?}"),
//!     Verdict::Inconclusive { needs } => println!("keep the old one for now: {needs:?}"),
//!     _ => {}
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "engine"))]
//! # fn main() {}
//! ```
#![cfg_attr(
    not(feature = "engine"),
    allow(dead_code, reason = "the statistics are there without models to use them on")
)]
mod behaviour;
mod bootstrap;
#[cfg(feature = "engine")]
mod comparison;
#[cfg(feature = "engine")]
mod embeddings;
#[cfg(all(test, feature = "engine"))]
mod honest;
mod limits;
mod paired;
mod probe;
#[cfg(feature = "engine")]
mod progress;
mod reference;
mod reference_file;
mod report;
#[cfg(feature = "engine")]
mod runner;
mod schedule;
mod sketch;
mod slabs;
mod structure;
#[cfg(feature = "engine")]
mod text;
mod trial;
mod verdict;

pub use behaviour::{Behaviour, Lost};
pub use bootstrap::Estimate;
#[cfg(feature = "engine")]
pub use embeddings::{Embeddings, embeddings};
pub use limits::Limits;
pub use probe::{Expectation, Probe};
#[cfg(feature = "engine")]
pub use progress::Progress;
pub use reference::{Fingerprint, Reference};
pub use report::{Measures, Report};
#[cfg(feature = "engine")]
pub use runner::Gate;
pub use structure::{Finding, Kinship, structure};
pub use verdict::Verdict;
