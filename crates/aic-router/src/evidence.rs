//! How often something turned out well, with the newest counting most.

/// What was seen of a chance between 0 and 1, as decaying counts. They are added to those of a prior, which do
/// not decay: the mean is that of a Beta distribution.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidence {
    good: f64,
    total: f64,
}

/// A belief before anything was seen: a chance, and how many observations it is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prior {
    pub(crate) chance: f64,
    pub(crate) worth: f64,
}

/// The normal distribution's 95 % point: a tenth lies outside of it on both sides together.
const Z_90: f64 = 1.645;

impl Evidence {
    /// Takes in one observation, 0 to 1, after which all older ones count `keep` times as much as before.
    pub(crate) fn observe(&mut self, value: f64, keep: f64) {
        self.fade(keep);
        self.good += value.clamp(0.0, 1.0);
        self.total += 1.0;
    }

    /// Makes everything seen count `keep` times as much.
    pub(crate) fn fade(&mut self, keep: f64) {
        self.good *= keep;
        self.total *= keep;
    }

    /// How many observations are left after fading.
    pub(crate) fn total(&self) -> f64 {
        self.total
    }

    /// The expected chance.
    pub(crate) fn mean(&self, prior: Prior) -> f64 {
        (prior.chance * prior.worth + self.good) / (prior.worth + self.total)
    }

    /// Where the chance lies in nine cases of ten, by the normal approximation, cut off at 0 and 1.
    pub(crate) fn interval(&self, prior: Prior) -> (f64, f64) {
        let mean = self.mean(prior);
        let spread = Z_90 * (mean * (1.0 - mean) / (prior.worth + self.total + 1.0)).sqrt();
        ((mean - spread).max(0.0), (mean + spread).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRIOR: Prior = Prior { chance: 0.5, worth: 10.0 };

    #[test]
    fn observations_move_the_mean_and_narrow_the_interval() {
        let mut evidence = Evidence::default();
        assert_eq!(evidence.mean(PRIOR), 0.5);
        let (low, high) = evidence.interval(PRIOR);

        (0..30).for_each(|_| evidence.observe(1.0, 1.0));

        assert_eq!(evidence.mean(PRIOR), 35.0 / 40.0);
        let (nearer, farther) = evidence.interval(PRIOR);
        assert!(farther - nearer < high - low && nearer > 0.5, "{nearer}..{farther}");
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut evidence = Evidence::default();
        (0..100).for_each(|_| evidence.observe(0.0, 0.9));
        (0..30).for_each(|_| evidence.observe(1.0, 0.9));

        assert!(evidence.mean(PRIOR) > 0.7, "{}", evidence.mean(PRIOR));
    }

    proptest! {
        #[test]
        fn mean_lies_within_the_interval_and_both_between_0_and_1(
            chance in 0.0..=1.0, worth in 0.1..100.0,
            values in proptest::collection::vec(0.0..=1.0, 0..100), keep in 0.5..=1.0,
        ) {
            let prior = Prior { chance, worth };
            let mut evidence = Evidence::default();
            values.into_iter().for_each(|value| evidence.observe(value, keep));

            let ((low, high), mean) = (evidence.interval(prior), evidence.mean(prior));

            prop_assert!(0.0 <= low && low <= mean + 1e-12 && mean <= high + 1e-12 && high <= 1.0);
        }
    }
}
