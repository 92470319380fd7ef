use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

/// Resamples of one interval. A thousand settle an interval of 95 % (Efron & Tibshirani 1993, chapter 13); ours lie further
/// out, because they share the error between all measures and looks.
const RESAMPLES: usize = 4000;
/// Fewest positions in a block.
const SHORTEST_BLOCK: usize = 16;
/// Fewest blocks from which an interval means anything.
const FEWEST_BLOCKS: usize = 20;
/// Fewest positions that give intervals at all.
pub(super) const FEWEST_POSITIONS: usize = SHORTEST_BLOCK * FEWEST_BLOCKS;

/// A number measured on a sample, and the interval its true value lies in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// What the sample says.
    pub value: f64,
    /// The interval's lower end. Either end is infinite (`null` in JSON) where the sample is too small to bound it.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Estimate {
    /// The estimate of a function of this number; `function` grows.
    pub(super) fn map(self, function: impl Fn(f64) -> f64) -> Self {
        Self { value: function(self.value), low: function(self.low), high: function(self.high) }
    }
}

/// Resamples of positions in text order, drawn in blocks because neighbours are alike.
///
/// Blocks start anywhere and wrap around at the end (circular block bootstrap: Künsch 1989, Politis & Romano 1992); their
/// length grows with the cube root of the sample (Hall, Horowitz & Jing 1995). All series are drawn at the same places, so
/// that differences stay paired.
#[derive(Clone, Debug)]
pub(super) struct Bootstrap {
    length: usize,
    block: usize,
    blocks: usize,
    /// Where each block of each resample starts.
    starts: Vec<u32>,
    /// The error probability of one interval, half at either end.
    alpha: f64,
}

impl Bootstrap {
    /// For series of `length` positions, or `None` if they are too few.
    pub(super) fn new(length: usize, alpha: f64, seed: u64) -> Option<Self> {
        (length >= FEWEST_POSITIONS).then(|| Self::with_block(length, block(length), alpha, seed))
    }

    /// For `length` values that have nothing to do with one another.
    pub(super) fn independent(length: usize, alpha: f64, seed: u64) -> Option<Self> {
        (length >= FEWEST_BLOCKS).then(|| Self::with_block(length, 1, alpha, seed))
    }

    fn with_block(length: usize, block: usize, alpha: f64, seed: u64) -> Self {
        let blocks = length.div_ceil(block);
        let mut random = StdRng::seed_from_u64(seed);
        let starts = (0..RESAMPLES * blocks).map(|_| random.random_range(0..length as u32)).collect();
        Self { length, block, blocks, starts, alpha }
    }

    /// The mean of `series` with an interval by the studentized bootstrap, which follows the skew of divergences (Götze &
    /// Künsch 1996).
    pub(super) fn mean(&self, series: &[f64]) -> Estimate {
        let (mean, means) = (mean(series), self.block_means(series));
        let error = self.error(&means, mean);
        if error == 0.0 {
            return Estimate { value: mean, low: mean, high: mean };
        }
        let mut deviations: Vec<f64> =
            self.resamples(&means).map(|(resampled, error)| studentized(resampled - mean, error)).collect();
        deviations.sort_unstable_by(f64::total_cmp);
        Estimate {
            value: mean,
            low: mean - quantile(&deviations, 1.0 - self.alpha / 2.0) * error,
            high: mean - quantile(&deviations, self.alpha / 2.0) * error,
        }
    }

    /// A share of positions, with the interval of Wilson (1927) for as many independent positions as would be as uncertain
    /// (Korn & Graubard 1998): at most half of them, because few exceptions cannot show that they come together.
    pub(super) fn share(&self, hits: impl Iterator<Item = bool>) -> Estimate {
        let series: Vec<f64> = hits.map(|hit| f64::from(u8::from(hit))).collect();
        let share = mean(&series);
        let variance = self.error(&self.block_means(&series), share).powi(2);
        let most = self.length as f64 / 2.0;
        let count = if variance > 0.0 { (share * (1.0 - share) / variance).min(most) } else { most };
        let z = normal_quantile(self.alpha / 2.0);
        let scale = 1.0 / (1.0 + z * z / count);
        let center = scale * (share + z * z / (2.0 * count));
        let half = scale * z * (share * (1.0 - share) / count + (z / (2.0 * count)).powi(2)).sqrt();
        Estimate {
            value: share,
            low: (center - half).clamp(0.0, share),
            high: (center + half).clamp(share, 1.0),
        }
    }

    /// The `level` quantile of `series`, with an interval from that of the share of values not above it (Woodruff 1952).
    ///
    /// There is no upper end where resamples without any larger value are too common, unless all values are the same.
    pub(super) fn quantile(&self, series: &[f64], level: f64) -> Estimate {
        let mut sorted = series.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let value = quantile(&sorted, level);
        if sorted[0] == sorted[sorted.len() - 1] {
            return Estimate { value, low: value, high: value };
        }
        let below: Vec<f64> = series.iter().map(|x| f64::from(u8::from(*x <= value))).collect();
        let mut shares: Vec<f64> =
            self.resamples(&self.block_means(&below)).map(|(share, _)| share).collect();
        shares.sort_unstable_by(f64::total_cmp);
        let high = quantile(&shares, 1.0 - self.alpha / 2.0);
        Estimate {
            value,
            low: quantile(&sorted, quantile(&shares, self.alpha / 2.0)),
            high: if high < 1.0 { quantile(&sorted, high) } else { f64::INFINITY },
        }
    }

    /// The mean of the block from each position on.
    fn block_means(&self, series: &[f64]) -> Vec<f64> {
        assert_eq!(series.len(), self.length, "a series has one value for each position");
        let block = |start: usize| (0..self.block).map(move |i| series[(start + i) % series.len()]);
        (0..series.len()).map(|start| block(start).sum::<f64>() / self.block as f64).collect()
    }

    /// Each resample's mean and standard error.
    fn resamples<'a>(&'a self, means: &'a [f64]) -> impl Iterator<Item = (f64, f64)> + 'a {
        let (center, count) = (mean(means), self.blocks as f64);
        self.starts.chunks(self.blocks).map(move |starts| {
            let (mut sum, mut squares) = (0.0, 0.0);
            for start in starts {
                let deviation = means[*start as usize] - center;
                sum += deviation;
                squares += deviation * deviation;
            }
            let shift = sum / count;
            (center + shift, ((squares / count - shift * shift).max(0.0) / count).sqrt())
        })
    }

    /// The standard error of a mean of as many blocks as a resample has.
    fn error(&self, means: &[f64], mean: f64) -> f64 {
        let variance = means.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / means.len() as f64;
        (variance / self.blocks as f64).sqrt()
    }
}

/// A deviation in units of its standard error. A resample whose blocks are all alike has none, so the deviation is beyond
/// measure; rounding must not make it less.
fn studentized(deviation: f64, error: f64) -> f64 {
    if error > 1e-6 * deviation.abs() {
        deviation / error
    } else if deviation == 0.0 {
        0.0
    } else {
        f64::INFINITY.copysign(deviation)
    }
}

/// How many standard deviations a normal variable passes with probability `tail`, up to a half; within 0.0005 (Abramowitz &
/// Stegun 1964, 26.2.23).
fn normal_quantile(tail: f64) -> f64 {
    let t = (-2.0 * tail.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

/// Positions of one block in a sample of `length`.
fn block(length: usize) -> usize {
    ((length as f64).cbrt().ceil() as usize).max(SHORTEST_BLOCK)
}

pub(super) fn mean(series: &[f64]) -> f64 {
    series.iter().sum::<f64>() / series.len() as f64
}

/// The `level` quantile, 0 to 1, of `sorted` values, which are at least one; between two values in proportion.
pub(super) fn quantile(sorted: &[f64], level: f64) -> f64 {
    let place = level.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    if part == 0.0 || sorted[below] == sorted[above] {
        sorted[below]
    } else {
        sorted[below] * (1.0 - part) + sorted[above] * part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Skewed values, each much like the one before, with mean 1.
    fn series(length: usize, seed: u64) -> Vec<f64> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = 0.0_f64;
        let mut next = || {
            let normal: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
            state = 0.6 * state + 0.8 * normal;
            (state - 0.5).exp()
        };
        (0..50).for_each(|_| {
            next();
        });
        (0..length).map(|_| next()).collect()
    }

    fn bootstrap(length: usize, seed: u64) -> Bootstrap {
        Bootstrap::new(length, 0.1, seed).unwrap()
    }

    #[test]
    fn intervals_of_skewed_and_correlated_values_hold_as_often_as_they_say() {
        let mut missed = [0, 0, 0];
        for seed in 0..150 {
            let series = series(600, seed);
            let bootstrap = bootstrap(600, seed);
            let mean = bootstrap.mean(&series);
            // Of a log-normal, the 90 % quantile is e^(−1/2 + 1.2816).
            let tail = bootstrap.quantile(&series, 0.9);
            let share = bootstrap.share(series.iter().map(|x| *x < 0.7816_f64.exp()));
            missed[2] += u32::from(!(share.low..share.high).contains(&0.9));
            missed[0] += u32::from(!(mean.low..mean.high).contains(&1.0));
            missed[1] += u32::from(!(tail.low..tail.high).contains(&0.7816_f64.exp()));
        }
        // 10 % are meant to miss: 15 of 150, with a standard deviation of 4.
        assert!(missed.iter().all(|missed| (3..=30).contains(missed)), "{missed:?}");
    }

    #[test]
    fn blocks_make_intervals_of_correlated_values_wider() {
        let series = series(1000, 3);
        let alone = Bootstrap::independent(1000, 0.1, 1).unwrap().mean(&series);
        let blocks = bootstrap(1000, 1).mean(&series);
        assert_eq!(alone.value, blocks.value);
        assert!(blocks.high - blocks.low > 1.3 * (alone.high - alone.low), "{blocks:?} {alone:?}");
    }

    #[test]
    fn same_seed_gives_the_same_interval() {
        let series = series(500, 1);
        assert_eq!(bootstrap(500, 7).mean(&series), bootstrap(500, 7).mean(&series));
        assert_ne!(bootstrap(500, 7).mean(&series), bootstrap(500, 8).mean(&series));
    }

    #[test]
    fn too_few_positions_give_no_interval() {
        assert!(Bootstrap::new(FEWEST_POSITIONS - 1, 0.05, 0).is_none());
        assert!(Bootstrap::independent(19, 0.05, 0).is_none());
    }

    #[test]
    fn share_without_exceptions_leaves_room_for_those_not_seen() {
        let share = |exceptions: usize| bootstrap(640, 1).share((0..640).map(|i| i >= exceptions));
        let [none, one, some] = [0, 1, 12].map(share);
        // Of 320 that count, z = 1.645: 1 / (1 + 1.645² / 320).
        assert!((none.low - 0.99161).abs() < 1e-4 && none.high == 1.0, "{none:?}");
        assert!(one.low < none.low && some.low < one.low, "{one:?} {some:?}");
        let opposite = bootstrap(640, 1).share(std::iter::repeat_n(false, 640));
        assert!((opposite.high - 1.0 + none.low).abs() < 1e-12 && opposite.low == 0.0, "{opposite:?}");
    }

    #[test]
    fn rare_large_values_that_resamples_may_miss_have_no_upper_bound() {
        let mut series = vec![0.0; 640];
        series[300] = 5.0;
        let estimate = bootstrap(640, 1).mean(&series);
        assert_eq!(estimate.high, f64::INFINITY);
        assert_eq!(bootstrap(640, 1).mean(&vec![0.25; 640]), Estimate { value: 0.25, low: 0.25, high: 0.25 });
    }

    #[test]
    fn normal_quantiles_are_those_of_tables() {
        for (tail, expected) in [(0.5, 0.0), (0.05, 1.6449), (0.025, 1.96), (0.001, 3.0902)] {
            assert!((normal_quantile(tail) - expected).abs() < 5e-4, "{tail}");
        }
    }

    #[test]
    fn quantile_that_no_value_exceeds_has_no_upper_bound() {
        let mut series = vec![2.0; 400];
        series[7] = 1.0;
        let estimate = bootstrap(400, 1).quantile(&series, 0.99);
        assert_eq!((estimate.value, estimate.low, estimate.high), (2.0, 2.0, f64::INFINITY));
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|q| quantile(&sorted, q)), [1.0, 1.5, 2.0, 3.0, 4.0]);
    }
}
