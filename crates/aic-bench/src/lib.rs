//! Honest load: closed and open loops against any target, with percentiles.
//!
//! Implement [`Target`], or wrap a closure in [`target_fn`], and put it under a load:
//!
//! - [`ClosedLoop`]: so many users, each sending the next request when the last one has ended. Measures service.
//! - [`OpenLoop`]: requests at a rate, whether or not earlier ones have ended. Measures capacity; latency counts from
//!   the moment a request *should* have started, so a stalled target cannot hide its queue (coordinated omission).
//!
//! ```
//! use aic_bench::{ClosedLoop, target_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> aic_bench::Result<()> {
//! # use std::time::Duration;
//! let target = target_fn(|_request, timeline| async move {
//!     for _ in 0..8 {
//!         tokio::time::sleep(Duration::from_millis(5)).await; // a model at work
//!         timeline.tokens(1);
//!     }
//!     Ok(())
//! });
//!
//! let report = ClosedLoop::new(4).requests(100).run(target).await?;
//!
//! println!("{report}");
//! assert_eq!(report.completed, 100);
//! # Ok(())
//! # }
//! ```
//!
//! # Definitions
//! With t0 the intended start, f and l the first and last output, e the end and n the output tokens of a request:
//!
//! | name | formula |
//! |---|---|
//! | latency | e − t0 |
//! | dispatch delay | real start − t0; zero in a closed loop |
//! | TTFT, time to first token | f − t0 |
//! | ITL, inter-token latency | every gap between two outputs, over all requests |
//! | TPOT, time per output token | (e − f) / (n − 1), one value a request |
//! | goodput | requests that ended well and kept every bound of the [`Slo`], per second |
mod arrivals;
mod attempt;
mod bootstrap;
mod closed;
mod comparison;
mod distribution;
mod error;
mod open;
mod pretty;
mod recorder;
mod report;
mod slo;
mod target;
mod timeline;

pub use arrivals::Arrivals;
pub use attempt::Sample;
pub use closed::ClosedLoop;
pub use comparison::{Comparison, Verdict, compare};
pub use distribution::Distribution;
pub use error::{Error, Result};
pub use open::OpenLoop;
pub use recorder::Recorder;
pub use report::{Load, Report};
pub use slo::Slo;
pub use target::{Failure, Target, target_fn};
pub use timeline::Timeline;
