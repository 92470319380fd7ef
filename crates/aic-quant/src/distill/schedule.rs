use std::f64::consts::PI;

/// The share of the learning rate that is left at the end.
const FINAL_SHARE: f64 = 0.01;

/// A learning rate that rises linearly and then falls along half a cosine to a hundredth
/// ([Loshchilov and Hutter 2017](https://arxiv.org/abs/1608.03983), without restarts).
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) steps: usize,
    pub(super) learning_rate: f64,
    /// The share of steps in which the rate rises.
    pub(super) warm_up: f64,
}

impl Schedule {
    /// The rate of `step`, which counts from 0.
    pub(super) fn at(&self, step: usize) -> f64 {
        let done = (step as f64 + 1.0) / self.steps as f64;
        if done < self.warm_up {
            return self.learning_rate * done / self.warm_up;
        }
        let fallen = (done - self.warm_up) / (1.0 - self.warm_up);
        let share = FINAL_SHARE + (1.0 - FINAL_SHARE) * 0.5 * (1.0 + (PI * fallen).cos());
        self.learning_rate * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rate_rises_to_its_full_height_then_falls_to_a_hundredth() {
        let schedule = Schedule { steps: 100, learning_rate: 2.0, warm_up: 0.1 };
        let rates: Vec<f64> = (0..100).map(|step| schedule.at(step)).collect();

        assert!(rates[..10].is_sorted() && rates[9..].is_sorted_by(|a, b| a >= b));
        assert!((rates[0] - 0.2).abs() < 1e-9 && (rates[9] - 2.0).abs() < 1e-9, "{rates:?}");
        assert!((rates[99] - 0.02).abs() < 1e-9);
    }

    #[test]
    fn without_warm_up_the_first_step_is_almost_full() {
        let schedule = Schedule { steps: 1000, learning_rate: 1.0, warm_up: 0.0 };
        assert!(schedule.at(0) > 0.99);
    }
}
