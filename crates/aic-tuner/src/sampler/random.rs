use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::configuration::Configuration;
use crate::direction::Direction;
use crate::sampler::Sampler;
use crate::sampler::axis::Axis;
use crate::space::SearchSpace;
use crate::study::Finished;

/// Tries anything with equal chance (on the logarithm of logarithmic parameters). The yardstick for other samplers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Random;

impl Sampler for Random {
    fn sample(&self, space: &SearchSpace, _: &[Finished], _: Direction, seed: u64) -> Configuration {
        let mut rng = StdRng::seed_from_u64(seed);
        let value = |(name, domain): &(String, _)| {
            let axis = Axis::of(domain);
            (name.clone(), axis.value(axis.anywhere(&mut rng)))
        };
        space.parameters().iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_logarithmic_integer_falls_below_its_geometric_middle_half_of_the_time() {
        let space = SearchSpace::builder().log_int("batch", 1..=1024).build().unwrap();

        let below = (0..2000)
            .filter(|&seed| Random.sample(&space, &[], Direction::Minimize, seed).int("batch").unwrap() < 32)
            .count();

        // From 0.5 to 1024.5 the logarithm puts 54 % below 31.5; five standard errors are 5.6 %.
        assert!((970..=1200).contains(&below), "{below}");
    }

    proptest! {
        #[test]
        fn every_sample_lies_within_its_space(seed: u64, low in -1e9..1e9_f64, width in 0.0..1e9_f64, int in -1000..1000_i64) {
            let space = SearchSpace::builder()
                .float("linear", low..=low + width)
                .log_float("log", 0.1..=0.1 + width)
                .int("int", int..=int + 3)
                .log_int("log_int", 1..=1 + int.abs())
                .categorical("choice", ["a", "b", "c"])
                .build()
                .unwrap();
            prop_assert!(space.check(&Random.sample(&space, &[], Direction::Minimize, seed)).is_ok());
        }
    }
}
