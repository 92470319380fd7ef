//! What to try next.

mod axis;
mod parzen;
mod random;
mod tpe;

pub use random::Random;
pub use tpe::Tpe;

use std::fmt;

use crate::configuration::Configuration;
use crate::direction::Direction;
use crate::space::SearchSpace;
use crate::study::Finished;

/// Chooses the next configuration to try.
///
/// A pure function of its arguments: the same history and seed give the same configuration, so a study can be stopped
/// and taken up again.
pub trait Sampler: fmt::Debug + Send + Sync + 'static {
    /// Chooses a configuration within `space`, given all trials that have ended, oldest first. `seed` is another one for
    /// each trial.
    fn sample(
        &self,
        space: &SearchSpace,
        history: &[Finished],
        direction: Direction,
        seed: u64,
    ) -> Configuration;
}

impl Sampler for Box<dyn Sampler> {
    fn sample(
        &self,
        space: &SearchSpace,
        history: &[Finished],
        direction: Direction,
        seed: u64,
    ) -> Configuration {
        (**self).sample(space, history, direction, seed)
    }
}
