//! A mean that may be looked at all the time.

/// A confidence sequence for the mean of numbers from 0 to 1: an interval for every count at once, so that one may stop
/// whenever one likes.
///
/// The predictable plug-in empirical-Bernstein sequence of [Waudby-Smith and Ramdas
/// 2024](https://arxiv.org/abs/2010.09686), theorem 2. Bets are at most ½. The interval is the running intersection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sequence {
    alpha: f64,
    count: f64,
    sum: f64,
    /// Sum of squared distances from the running means, for the variance.
    squares: f64,
    /// Sums of bets, of bets times numbers, and of what the bets cost.
    bets: f64,
    weighted: f64,
    cost: f64,
    low: f64,
    high: f64,
}

impl Sequence {
    /// A sequence that misses the mean, ever, with probability at most `alpha`.
    pub(super) fn new(alpha: f64) -> Self {
        Self {
            alpha,
            count: 0.0,
            sum: 0.0,
            squares: 0.0,
            bets: 0.0,
            weighted: 0.0,
            cost: 0.0,
            low: 0.0,
            high: 1.0,
        }
    }

    /// Takes in `x`, from 0 to 1.
    pub(super) fn add(&mut self, x: f64) {
        // All of the bet is decided by what came before, so that it is fair.
        let mean = (0.5 + self.sum) / (self.count + 1.0);
        let variance = (0.25 + self.squares) / (self.count + 1.0);
        let next = self.count + 1.0;
        let bet = (2.0 * (2.0 / self.alpha).ln() / (variance * next * (1.0 + next).ln())).sqrt().min(0.5);
        self.bets += bet;
        self.weighted += bet * x;
        self.cost += (x - mean).powi(2) * (-(-bet).ln_1p() - bet);
        self.count = next;
        self.sum += x;
        self.squares += (x - (0.5 + self.sum) / (self.count + 1.0)).powi(2);
        let (centre, radius) = (self.weighted / self.bets, ((2.0 / self.alpha).ln() + self.cost) / self.bets);
        self.low = self.low.max(centre - radius);
        self.high = self.high.min(centre + radius);
    }

    pub(super) fn low(&self) -> f64 {
        self.low
    }

    pub(super) fn high(&self) -> f64 {
        self.high
    }

    pub(super) fn count(&self) -> u64 {
        self.count as u64
    }

    /// The mean of what was seen; `None` of nothing.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn true_mean_is_missed_at_any_time_no_more_often_than_promised() {
        for share in [0.01, 0.3, 0.9] {
            let missed = (0..400).filter(|seed| {
                let mut random = StdRng::seed_from_u64(*seed);
                let mut sequence = Sequence::new(0.05);
                (0..2_000).any(|_| {
                    sequence.add(f64::from(u8::from(random.random::<f64>() < share)));
                    share < sequence.low() || share > sequence.high()
                })
            });
            let missed = missed.count();
            assert!(missed <= 20 + 9, "{share}: {missed} of 400");
        }
    }

    #[test]
    fn interval_closes_in_on_the_mean() {
        let mut sequence = Sequence::new(0.05);
        for index in 0..5_000 {
            sequence.add(if index % 10 == 0 { 1.0 } else { 0.0 });
        }
        assert!(sequence.low() > 0.07 && sequence.high() < 0.13, "{sequence:?}");
        assert_eq!(sequence.mean(), Some(0.1));
    }
}
