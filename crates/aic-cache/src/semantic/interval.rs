use serde::Serialize;

/// A range that covers an unknown ratio in at least 95 of 100 samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Its lower end, from 0 to 1.
    pub low: f64,
    /// Its upper end, from 0 to 1.
    pub high: f64,
}

/// Chance left out at each end.
const TAIL: f64 = 0.025;

impl Interval {
    /// The exact interval of [Clopper and Pearson 1934](https://doi.org/10.1093/biomet/26.4.404) after `count`
    /// of `total` draws. From 0 to 1 if nothing was drawn.
    pub(super) fn of(count: u64, total: u64) -> Self {
        let (k, n) = (count.min(total) as f64, total as f64);
        let low = if k > 0.0 { quantile(k, n - k + 1.0, TAIL) } else { 0.0 };
        let high = if k < n { quantile(k + 1.0, n - k, 1.0 - TAIL) } else { 1.0 };
        Self { low, high }
    }
}

/// Where the distribution function of Beta(`a`, `b`) reaches `level`, by bisection down to the last bit.
fn quantile(a: f64, b: f64, level: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        *(if incomplete_beta(a, b, middle) < level { &mut low } else { &mut high }) = middle;
    }
}

/// The regularized incomplete beta function, from its continued fraction on the side where that is quick
/// ([DLMF 8.17.22](https://dlmf.nist.gov/8.17.E22) and the symmetry 8.17.4).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let ln_front = a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    ln_front.exp() / a * continued_fraction(a, b, x)
}

/// 1/(1 + d₁/(1 + d₂/(1 + …))) by the method of Lentz, until a further step changes nothing.
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const STEPS: u32 = 100_000; // about the root of the counts is needed: enough for thousands of millions
    let mut d = 1.0 / nonzero(1.0 + coefficient(a, b, x, 1));
    let (mut fraction, mut c) = (d, 1.0);
    for step in 2..STEPS {
        let term = coefficient(a, b, x, step);
        d = 1.0 / nonzero(1.0 + term * d);
        c = nonzero(1.0 + term / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    fraction
}

fn coefficient(a: f64, b: f64, x: f64, step: u32) -> f64 {
    let m = f64::from(step / 2);
    match step % 2 {
        0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
        _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
    }
}

fn nonzero(x: f64) -> f64 {
    if x.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { x }
}

/// ln Γ(`x`) for `x` > 0: the series of Stirling ([DLMF 5.11.1](https://dlmf.nist.gov/5.11.E1)), after the
/// recurrence has made `x` large enough for four terms of it.
fn ln_gamma(x: f64) -> f64 {
    let steps = (12.0 - x).ceil().max(0.0);
    let shift: f64 = (0..steps as u32).map(|i| (x + f64::from(i)).ln()).sum();
    let z = x + steps;
    let square = z * z;
    let series =
        (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * square)) / square) / square) / z;
    (z - 0.5) * z.ln() - z + 0.5 * std::f64::consts::TAU.ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_agrees_with_scipy() {
        // from scipy.stats import beta
        // low, high = beta.ppf(.025, k, n - k + 1), beta.ppf(.975, k + 1, n - k)
        let known = [
            (0, 1, 0.0, 0.975),
            (0, 100, 0.0, 0.03621669264517641),
            (3, 250, 0.00248155825470304, 0.034666614574743924),
            (1, 10, 0.0025285785444617848, 0.4450161170281954),
            (10, 10, 0.6915028921812392, 1.0),
            (50, 100, 0.39832112950330095, 0.601678870496699),
            (200, 1_000_000, 0.0001732431140806184, 0.00022971856763612906),
            (0, 1_000_000, 0.0, 3.688872650206488e-06),
            (999_999, 1_000_000, 0.9999944283693448, 0.9999999746821924),
        ];
        for (count, total, low, high) in known {
            let interval = Interval::of(count, total);

            assert!((interval.low - low).abs() <= 1e-7 * low, "{count}/{total}: {interval:?}");
            assert!((interval.high - high).abs() <= 1e-7 * high, "{count}/{total}: {interval:?}");
        }
    }

    #[test]
    fn nothing_drawn_leaves_everything_possible() {
        assert_eq!(Interval::of(0, 0), Interval { low: 0.0, high: 1.0 });
    }
}
