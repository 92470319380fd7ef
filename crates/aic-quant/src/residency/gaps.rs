use serde::{Deserialize, Serialize};

/// The longest gap of each kind, in switches. What is longer is of the last kind.
const LONGEST: [u64; 12] = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96];

/// What stays of the count of a gap with each later one.
const DECAY: f64 = 0.9;

/// How many switches lay between two uses of a model: decayed counts by length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Gaps([f64; LONGEST.len()]);

impl Gaps {
    pub(super) fn add(&mut self, gap: u64) {
        let kind = LONGEST.partition_point(|longest| *longest < gap).min(LONGEST.len() - 1);
        self.0.iter_mut().for_each(|count| *count *= DECAY);
        self.0[kind] += 1.0;
    }

    /// All counts of both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
        self
    }

    /// The chance that a gap that has lasted for `age` switches ends while each switch is followed by another with probability
    /// `lasting`: among the gaps that were longer, and `prior` as if it had been seen once.
    pub(super) fn ending(&self, age: u64, lasting: f64, prior: f64) -> f64 {
        let longer = self.0.iter().zip(LONGEST).filter(|(_, longest)| *longest > age);
        let (count, ending) = longer.fold((1.0, prior), |(count, ending), (gaps, longest)| {
            (count + gaps, ending + gaps * lasting.powi((longest - age) as i32))
        });
        ending / count
    }

    pub(super) fn counts(&self) -> &[f64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gap_is_the_likelier_to_end_the_nearer_its_usual_length_and_unlikely_beyond_it() {
        let mut gaps = Gaps::default();
        (0..50).for_each(|_| gaps.add(8));
        let ending = |age| gaps.ending(age, 0.8, 0.0);
        assert!(ending(1) < ending(5) && ending(5) < ending(7), "{} {}", ending(1), ending(5));
        assert!((ending(7) - 0.8 * 10.0 / 11.0).abs() < 0.01, "{}", ending(7));
        assert_eq!(ending(8), 0.0);
    }

    #[test]
    fn habit_that_changes_is_followed_and_any_gap_counts() {
        let mut gaps = Gaps::default();
        (0..50).for_each(|_| gaps.add(3));
        (0..50).for_each(|_| gaps.add(u64::MAX));
        assert!(gaps.ending(1, 0.5, 0.0) < 0.01);
        assert!(gaps.ending(95, 0.5, 0.0) > 0.4);
        assert_eq!(Gaps::default().ending(5, 0.5, 0.25), 0.25);
    }
}
