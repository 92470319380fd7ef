use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::configuration::Configuration;
use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::objective::Objective;
use crate::outcome::Outcome;
use crate::sampler::{Sampler, Tpe};
use crate::space::SearchSpace;

/// A search for the best configuration: [`ask`](Self::ask) what to try, [`tell`](Self::tell) what came of it.
#[derive(Debug)]
pub struct Study {
    space: SearchSpace,
    sampler: Box<dyn Sampler>,
    direction: Direction,
    seed: u64,
    asked: u64,
    queue: VecDeque<Configuration>,
    under_way: BTreeMap<u64, Configuration>,
    finished: Vec<Finished>,
}

/// A configuration to try.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a trial ends when its outcome is told"]
pub struct Trial {
    /// Counts from zero.
    pub number: u64,
    /// What to try.
    pub configuration: Configuration,
}

/// A trial that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finished {
    /// Its number, in the order of asking.
    pub number: u64,
    /// What was tried.
    pub configuration: Configuration,
    /// What came of it.
    pub outcome: Outcome,
}

impl Study {
    /// Starts a study of a search space.
    pub fn builder(space: SearchSpace) -> StudyBuilder {
        StudyBuilder { space, sampler: Box::new(Tpe::new()), direction: Direction::Minimize, seed: 0 }
    }

    /// Chooses what to try next: what was [`enqueue`](Self::enqueue)d, and then what the sampler says.
    ///
    /// Several trials may be under way; the sampler does not see them before they end.
    pub fn ask(&mut self) -> Trial {
        let number = self.asked;
        self.asked += 1;
        let configuration = self.queue.pop_front().unwrap_or_else(|| self.sample(number));
        self.under_way.insert(number, configuration.clone());
        debug!(trial = number, %configuration, "trying a configuration");
        Trial { number, configuration }
    }

    /// Ends a trial. A value that is not a number counts as failed.
    ///
    /// # Errors
    /// [`Error::UnknownTrial`] if it has ended already or belongs to another study.
    pub fn tell(&mut self, trial: &Trial, outcome: impl Into<Outcome>) -> Result<()> {
        let number = trial.number;
        let known = self.under_way.get(&number) == Some(&trial.configuration);
        let configuration = known.then(|| self.under_way.remove(&number)).flatten();
        let configuration = configuration.ok_or(Error::UnknownTrial { number })?;
        self.finished.push(Finished { number, configuration, outcome: outcome.into().checked() });
        Ok(())
    }

    /// Has a configuration tried before the sampler's next one; the one in use now, for instance.
    ///
    /// # Errors
    /// [`Error::OutsideSpace`] if it is not of this search space.
    pub fn enqueue(&mut self, configuration: Configuration) -> Result<()> {
        self.space.check(&configuration)?;
        self.queue.push_back(configuration);
        Ok(())
    }

    /// Runs so many trials, one after the other, and returns the best of all so far.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the trial under way; the study keeps those that have ended.
    pub async fn optimize(&mut self, mut objective: impl Objective, trials: usize) -> Option<&Finished> {
        for _ in 0..trials {
            let trial = self.ask();
            let outcome = objective.evaluate(trial.configuration.clone()).await;
            self.tell(&trial, outcome).expect("the trial was asked for just now");
        }
        self.best()
    }

    /// The trial with the best value; the earliest among equals, `None` if no trial has one.
    pub fn best(&self) -> Option<&Finished> {
        let loss = |trial: &Finished| trial.outcome.value().map(|value| self.direction.loss(value));
        let valued = self.finished.iter().filter_map(|trial| Some((loss(trial)?, trial)));
        valued.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, trial)| trial)
    }

    /// The trials that have ended, in the order of ending.
    pub fn finished(&self) -> &[Finished] {
        &self.finished
    }

    /// What is searched.
    pub fn space(&self) -> &SearchSpace {
        &self.space
    }

    fn sample(&self, number: u64) -> Configuration {
        // Weyl's sequence: another seed for each trial, far from its neighbours'.
        let seed = self.seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        self.sampler.sample(&self.space, &self.finished, self.direction, seed)
    }
}

/// Builds a [`Study`].
#[derive(Debug)]
#[must_use]
pub struct StudyBuilder {
    space: SearchSpace,
    sampler: Box<dyn Sampler>,
    direction: Direction,
    seed: u64,
}

impl StudyBuilder {
    /// Sets who chooses what to try.
    ///
    /// Defaults to [`Tpe`].
    pub fn sampler(mut self, sampler: impl Sampler) -> Self {
        self.sampler = Box::new(sampler);
        self
    }

    /// Sets which way is better.
    ///
    /// Defaults to [`Direction::Minimize`].
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Sets the seed: the same one and the same outcomes give the same trials.
    ///
    /// Defaults to 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Finishes the study.
    pub fn build(self) -> Study {
        Study {
            space: self.space,
            sampler: self.sampler,
            direction: self.direction,
            seed: self.seed,
            asked: 0,
            queue: VecDeque::new(),
            under_way: BTreeMap::new(),
            finished: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::Random;

    fn study(direction: Direction) -> Study {
        let space = SearchSpace::builder().int("n", 0..=100).build().unwrap();
        Study::builder(space).sampler(Random).direction(direction).build()
    }

    #[test]
    fn the_best_trial_follows_the_direction_and_skips_failures() {
        for (direction, expected) in [(Direction::Minimize, 1.0), (Direction::Maximize, 3.0)] {
            let mut study = study(direction);
            let outcomes =
                [2.0.into(), Outcome::Failed("crash".into()), 1.0.into(), 3.0.into(), f64::NAN.into()];
            for outcome in outcomes {
                let trial = study.ask();
                study.tell(&trial, outcome).unwrap();
            }
            assert_eq!(study.best().unwrap().outcome, Outcome::Value(expected));
        }
    }

    #[test]
    fn a_trial_is_told_once_and_only_to_its_study() {
        let mut one = study(Direction::Minimize);
        let trial = one.ask();
        one.tell(&trial, 1.0).unwrap();

        assert!(one.tell(&trial, 1.0).is_err());
        let mut other = Study::builder(one.space().clone()).seed(99).build();
        let _ = other.ask();
        assert!(other.tell(&trial, 1.0).is_err());
    }

    #[test]
    fn a_study_in_which_everything_failed_has_no_best_trial() {
        let mut study = study(Direction::Minimize);
        let trial = study.ask();
        study.tell(&trial, Outcome::Infeasible("too slow".into())).unwrap();

        assert_eq!(study.best(), None);
    }

    #[test]
    fn what_is_enqueued_is_tried_first_if_it_lies_within_the_space() {
        let mut study = study(Direction::Minimize);
        study.enqueue(Configuration::new().with("n", 42)).unwrap();

        assert!(study.enqueue(Configuration::new().with("n", 101)).is_err());
        assert_eq!(study.ask().configuration.int("n").unwrap(), 42);
    }
}
