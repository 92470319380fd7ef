//! A super-block, turned so that its sub-blocks lie side by side.
use pulp::Simd;

use super::lanes::{LANES, Lanes};

/// Eight sub-blocks of `LENGTH` numbers: `values[i]` has number `i` of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<S: Simd, const LENGTH: usize> {
    /// All of them finite and bounded.
    pub values: [Lanes<S>; LENGTH],
    /// How much an error of each number matters; all above zero.
    pub weights: [Lanes<S>; LENGTH],
}

impl<S: Simd, const LENGTH: usize> Group<S, LENGTH> {
    /// Sub-blocks `8 · index` to `8 · index + 7` of a super-block. Without weights, all numbers matter alike.
    #[inline(always)]
    pub(super) fn new(simd: S, index: usize, values: &[f32; 256], weights: Option<&[f32; 256]>) -> Self {
        let weights = match weights {
            Some(weights) => turned(simd, index, weights),
            None => [Lanes::splat(simd, 1.0); LENGTH],
        };
        let mut values = turned(simd, index, values);
        for value in &mut values {
            *value = value.bounded();
        }
        Self { values, weights }
    }

    /// The smallest number of each sub-block.
    #[inline(always)]
    pub(super) fn lowest(&self) -> Lanes<S> {
        let mut lowest = self.values[0];
        for value in &self.values {
            lowest = lowest.min(*value);
        }
        lowest
    }

    /// The largest number of each sub-block.
    #[inline(always)]
    pub(super) fn highest(&self) -> Lanes<S> {
        let mut highest = self.values[0];
        for value in &self.values {
            highest = highest.max(*value);
        }
        highest
    }
}

#[inline(always)]
fn turned<S: Simd, const LENGTH: usize>(simd: S, index: usize, values: &[f32; 256]) -> [Lanes<S>; LENGTH] {
    let mut turned = [[0.0; LANES]; LENGTH];
    for lane in 0..LANES {
        for i in 0..LENGTH {
            turned[i][lane] = values[(index * LANES + lane) * LENGTH + i];
        }
    }
    let mut lanes = [Lanes::splat(simd, 0.0); LENGTH];
    for i in 0..LENGTH {
        lanes[i] = Lanes::new(simd, turned[i]);
    }
    lanes
}
