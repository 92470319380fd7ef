use rand::RngExt;
use rand::rngs::StdRng;

use crate::sampler::axis::{Axis, Point};

/// Width of a kernel beside the axis for a single observation; shrinks with more of them.
const SIGMA_0: f64 = 0.2;
/// A kernel is at least this part of the axis wide, however many observations there are.
const NARROWEST: f64 = 100.0;

/// A Parzen estimator: a mixture of one kernel for each observation, and one as wide as the space.
///
/// Kernels span all axes at once, so that parameters that only work together are proposed together (Falkner et al.
/// 2018, section 3.1), with widths as in Optuna's multivariate TPE: 0.2 · n^(−1/(d+4)) of each axis, at least
/// 1/min(100, n+1) of it. The wide kernel keeps every point possible.
pub(crate) struct Parzen<'a> {
    axes: &'a [Axis],
    kernels: Vec<Vec<Marginal>>,
}

/// A kernel along one axis.
enum Marginal {
    /// A normal distribution cut off at the ends of the axis; `mass` is what lies between them.
    Normal { mean: f64, sigma: f64, mass: f64 },
    /// The chance of each choice.
    Chances(Vec<f64>),
}

impl<'a> Parzen<'a> {
    pub(crate) fn new(axes: &'a [Axis], observations: &[&[Point]]) -> Self {
        let count = observations.len();
        let around = |points: &&[Point]| {
            axes.iter()
                .zip(*points)
                .map(|(axis, point)| Marginal::around(axis, *point, count, axes.len()))
                .collect()
        };
        let wide = axes.iter().map(Marginal::wide).collect();
        Self { axes, kernels: observations.iter().map(around).chain([wide]).collect() }
    }

    pub(crate) fn sample(&self, rng: &mut StdRng) -> Vec<Point> {
        let kernel = &self.kernels[rng.random_range(0..self.kernels.len())];
        kernel.iter().zip(self.axes).map(|(marginal, axis)| marginal.sample(axis, rng)).collect()
    }

    /// The logarithm of the density (of the probability, on discrete axes) at a point.
    pub(crate) fn log_density(&self, points: &[Point]) -> f64 {
        let kernels = self.kernels.iter().map(|kernel| {
            kernel
                .iter()
                .zip(self.axes)
                .zip(points)
                .map(|((marginal, axis), point)| marginal.log_density(axis, *point))
                .sum()
        });
        log_sum_exp(&kernels.collect::<Vec<f64>>()) - (self.kernels.len() as f64).ln()
    }
}

impl Marginal {
    fn around(axis: &Axis, point: Point, count: usize, dimensions: usize) -> Self {
        match (axis, point) {
            (Axis::Interval { low, high, .. }, Point::At(mean)) => {
                let count = count as f64;
                let share = SIGMA_0 * count.powf(-1.0 / (dimensions as f64 + 4.0));
                Self::normal(*low, *high, mean, share.max(1.0 / NARROWEST.min(count + 1.0)))
            }
            (Axis::Choices(choices), Point::Choice(chosen)) => {
                Self::chances(choices.len(), Some(chosen), count)
            }
            (axis, point) => unreachable!("{point:?} does not lie on {axis:?}"),
        }
    }

    fn wide(axis: &Axis) -> Self {
        match axis {
            Axis::Interval { low, high, .. } => Self::normal(*low, *high, f64::midpoint(*low, *high), 1.0),
            Axis::Choices(choices) => Self::chances(choices.len(), None, 1),
        }
    }

    /// A normal distribution `share` of the axis wide. An axis of no length is given one, to divide by.
    fn normal(low: f64, high: f64, mean: f64, share: f64) -> Self {
        let sigma = (share * (high - low)).max(f64::MIN_POSITIVE.sqrt());
        let mass = normal_mass((low - mean) / sigma, (high - mean) / sigma);
        Self::Normal { mean, sigma, mass }
    }

    /// One observation's worth for what was chosen, and one spread over all choices and kernels.
    fn chances(choices: usize, chosen: Option<usize>, count: usize) -> Self {
        let spread = 1.0 / (count + 1) as f64;
        let total = spread * choices as f64 + f64::from(u8::from(chosen.is_some()));
        let weight = |choice| spread + f64::from(u8::from(Some(choice) == chosen));
        Self::Chances((0..choices).map(|choice| weight(choice) / total).collect())
    }

    fn sample(&self, axis: &Axis, rng: &mut StdRng) -> Point {
        match (self, axis) {
            (Self::Normal { mean, sigma, .. }, Axis::Interval { low, high, .. }) => {
                Point::At(cut_normal(rng, *mean, *sigma, *low, *high))
            }
            (Self::Chances(chances), _) => Point::Choice(draw(rng, chances)),
            _ => unreachable!("a normal kernel lies on an interval"),
        }
    }

    fn log_density(&self, axis: &Axis, point: Point) -> f64 {
        match (self, point) {
            (Self::Normal { mean, sigma, mass }, Point::At(at)) => {
                let scaled = |at: f64| (at - mean) / sigma;
                match axis.cell(at) {
                    Some((below, above)) => (normal_mass(scaled(below), scaled(above)) / mass).ln(),
                    None => -0.5 * scaled(at).powi(2) - (sigma * mass * std::f64::consts::TAU.sqrt()).ln(),
                }
            }
            (Self::Chances(chances), Point::Choice(index)) => chances[index].ln(),
            (_, point) => unreachable!("{point:?} lies on another axis"),
        }
    }
}

/// A normal variate between two ends. The mean lies between them and sigma is at most their distance, so at least a
/// third of the draws does as well.
fn cut_normal(rng: &mut StdRng, mean: f64, sigma: f64, low: f64, high: f64) -> f64 {
    let draws = std::iter::repeat_with(|| mean + sigma * normal(rng));
    draws.take(100).find(|at| (low..=high).contains(at)).unwrap_or(mean)
}

/// A standard normal variate: Box and Muller 1958.
fn normal(rng: &mut StdRng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

fn draw(rng: &mut StdRng, chances: &[f64]) -> usize {
    let mut left = rng.random::<f64>();
    for (index, chance) in chances.iter().enumerate() {
        left -= chance;
        if left < 0.0 {
            return index;
        }
    }
    chances.len() - 1
}

fn log_sum_exp(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + logs.iter().map(|log| (log - most).exp()).sum::<f64>().ln()
}

/// The part of a standard normal distribution between two points; never quite zero, to take the logarithm of.
fn normal_mass(low: f64, high: f64) -> f64 {
    (normal_below(high) - normal_below(low)).max(1e-12)
}

/// The part below a point, within 7.5e-8: Abramowitz and Stegun 1964, formula 26.2.17.
fn normal_below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let above = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * series;
    if x >= 0.0 { 1.0 - above } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Domain;
    use rand::SeedableRng;

    fn unit() -> Axis {
        Axis::of(&Domain::Float { low: 0.0, high: 1.0, log: false })
    }

    #[test]
    fn normal_tail_matches_its_table() {
        for (x, below) in [(0.0, 0.5), (1.0, 0.841_344_746), (-1.96, 0.024_997_895), (3.0, 0.998_650_102)] {
            assert!((normal_below(x) - below).abs() < 1e-7, "{x}");
        }
    }

    #[test]
    fn a_density_over_an_interval_integrates_to_one() {
        let axes = [unit()];
        let observations: [&[Point]; 3] = [&[Point::At(0.0)], &[Point::At(0.3)], &[Point::At(0.95)]];
        let parzen = Parzen::new(&axes, &observations);

        let sum: f64 =
            (0..1000).map(|n| parzen.log_density(&[Point::At((f64::from(n) + 0.5) / 1000.0)]).exp()).sum();

        assert!((sum / 1000.0 - 1.0).abs() < 1e-4, "{sum}");
    }

    #[test]
    fn probabilities_of_integers_and_choices_add_up_to_one() {
        let axes = [
            Axis::of(&Domain::Int { low: 1, high: 6, log: true }),
            Axis::of(&Domain::Categorical { choices: ["a", "b", "c"].map(str::to_owned).into() }),
        ];
        let observations: [&[Point]; 2] =
            [&[Point::At(2_f64.ln()), Point::Choice(1)], &[Point::At(6_f64.ln()), Point::Choice(1)]];
        let parzen = Parzen::new(&axes, &observations);

        let cells = (1..=6)
            .flat_map(|n| (0..3).map(move |choice| [Point::At(f64::from(n).ln()), Point::Choice(choice)]));
        let sum: f64 = cells.map(|cell| parzen.log_density(&cell).exp()).sum();

        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }

    #[test]
    fn samples_gather_where_the_observations_are() {
        let axes = [unit()];
        let at = [Point::At(0.8)];
        let observations: Vec<&[Point]> = vec![&at; 50];
        let parzen = Parzen::new(&axes, &observations);
        let mut rng = StdRng::seed_from_u64(1);

        let near = (0..1000)
            .filter(|_| matches!(parzen.sample(&mut rng)[0], Point::At(x) if (x - 0.8).abs() < 0.3))
            .count();

        assert!(near > 900, "{near}");
    }
}
