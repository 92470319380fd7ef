use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::configuration::Configuration;
use crate::direction::Direction;
use crate::sampler::axis::{Axis, Point};
use crate::sampler::parzen::Parzen;
use crate::sampler::{Random, Sampler};
use crate::space::SearchSpace;
use crate::study::Finished;

/// Draws this many candidates and keeps the best.
const CANDIDATES: usize = 24;
/// At most this many trials count as good.
const MOST_GOOD: usize = 25;

/// The tree-structured Parzen estimator of [Bergstra et al. 2011](https://papers.nips.cc/paper/4443), section 4.
///
/// The best tenth of the trials (at most 25) and the others each give a density, l and g; of 24 candidates drawn from l
/// the one with the largest l/g is tried. Constants are those of the paper's successors (Optuna's defaults). Deviations
/// from the paper: kernels span all parameters at once instead of one each, and trials that failed count among the
/// others, whatever their number, so that a region where everything fails is left.
///
/// The first 10 trials, and all until one has a value, are drawn by [`Random`]. Takes time in proportion to the number of
/// trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Tpe {
    start_up: usize,
}

impl Tpe {
    /// With the constants above.
    pub fn new() -> Self {
        Self { start_up: 10 }
    }

    /// Sets how many trials are drawn at random before it begins to learn.
    ///
    /// Defaults to 10.
    pub fn start_up(mut self, trials: usize) -> Self {
        self.start_up = trials;
        self
    }
}

impl Default for Tpe {
    fn default() -> Self {
        Self::new()
    }
}

impl Sampler for Tpe {
    fn sample(
        &self,
        space: &SearchSpace,
        history: &[Finished],
        direction: Direction,
        seed: u64,
    ) -> Configuration {
        let axes: Vec<Axis> = space.parameters().iter().map(|(_, domain)| Axis::of(domain)).collect();
        let trials = ranked(space, &axes, history, direction);
        let valued = trials.iter().take_while(|trial| trial.loss < f64::INFINITY).count();
        if history.len() < self.start_up || valued == 0 {
            return Random.sample(space, history, direction, seed);
        }
        let (good, rest) = trials.split_at(good_count(trials.len()).min(valued));
        let points = best_candidate(&axes, good, rest, &mut StdRng::seed_from_u64(seed));
        let names = space.parameters().iter().map(|(name, _)| name.clone());
        names.zip(axes.iter().zip(points).map(|(axis, point)| axis.value(point))).collect()
    }
}

/// A finished trial as a point with its loss, infinite if it has no value.
struct Observation {
    points: Vec<Point>,
    loss: f64,
}

/// The trials, best first; equal ones in the order they ended.
fn ranked(
    space: &SearchSpace,
    axes: &[Axis],
    history: &[Finished],
    direction: Direction,
) -> Vec<Observation> {
    let observe = |trial: &Finished| {
        let loss = trial.outcome.value().map_or(f64::INFINITY, |value| direction.loss(value));
        let values = space.parameters().iter().map(|(name, _)| trial.configuration.get(name));
        let points =
            axes.iter().zip(values).map(|(axis, value)| axis.point(value?)).collect::<Option<_>>()?;
        Some(Observation { points, loss })
    };
    let mut trials: Vec<_> = history.iter().filter_map(observe).collect();
    trials.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    trials
}

fn good_count(trials: usize) -> usize {
    trials.div_ceil(10).min(MOST_GOOD)
}

fn best_candidate(axes: &[Axis], good: &[Observation], rest: &[Observation], rng: &mut StdRng) -> Vec<Point> {
    let [good, rest] = [good, rest].map(|group| {
        let points: Vec<&[Point]> = group.iter().map(|trial| trial.points.as_slice()).collect();
        Parzen::new(axes, &points)
    });
    let gain = |points: &[Point]| good.log_density(points) - rest.log_density(points);
    let candidates = (0..CANDIDATES).map(|_| good.sample(rng)).map(|points| (gain(&points), points));
    let best = candidates.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.expect("there is more than one candidate").1
}
