//! Functions of one number, without branches and tables, so that the compiler makes vectors of them.
use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

use super::level::multiply_add;

/// Adding it rounds a number below 2^22 to an integer, which then stands in the lowest bits.
pub(super) const ROUNDER: f32 = 12_582_912.0;

/// ln 2 in two parts, the first of which has few enough bits for its products to be exact.
pub(super) const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// Of e^r = 1 + r + r² · (…) for |r| ≤ ln 2 / 2, the highest power first; those of the Cephes library.
pub(super) const EXP: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// Where e^x would no longer be a normal number, on both sides.
pub(super) const RANGE: [f32; 2] = [-87.3, 88.0];

/// e^x to within 2 units in the last place; 0 below −87.3, e^88 above 88, and NaN stays NaN.
#[inline(always)]
pub(in crate::kernels) fn exp(x: f32, fused: bool) -> f32 {
    let clamped = if x < RANGE[0] { RANGE[0] } else { x };
    let clamped = if clamped > RANGE[1] { RANGE[1] } else { clamped };
    let shifted = multiply_add(clamped, LOG2_E, ROUNDER, fused);
    let power = shifted - ROUNDER;
    let r = multiply_add(power, -LN_2[0], clamped, fused);
    let r = multiply_add(power, -LN_2[1], r, fused);
    let mut series = EXP[0];
    for coefficient in &EXP[1..] {
        series = multiply_add(series, r, *coefficient, fused);
    }
    let value = multiply_add(series, r * r, r, fused) + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < RANGE[0] { 0.0 } else { value * scale }
}

/// 1 / (1 + e^−x).
#[inline(always)]
pub(super) fn sigmoid(x: f32, fused: bool) -> f32 {
    1.0 / (1.0 + exp(-x, fused))
}

/// To within 2·10⁻⁷.
#[inline(always)]
pub(in crate::kernels) fn tanh(x: f32, fused: bool) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x, fused))
}

/// x · sigmoid(x) ([Elfwing et al. 2017](https://arxiv.org/abs/1702.03118)).
#[inline(always)]
pub(super) fn silu(x: f32, fused: bool) -> f32 {
    x * sigmoid(x, fused)
}

/// The approximation of GELU by tanh ([Hendrycks and Gimpel 2016](https://arxiv.org/abs/1606.08415), section 2), which many
/// models are trained with.
#[inline(always)]
pub(super) fn gelu_tanh(x: f32, fused: bool) -> f32 {
    // 2 · √(2/π), and that times 0.044715: (1 + tanh u) / 2 is sigmoid(2u).
    const LINEAR: f32 = 1.595_769;
    const CUBIC: f32 = 0.071_354_814;
    x * sigmoid(x * multiply_add(CUBIC, x * x, LINEAR, fused), fused)
}

/// x times the normal distribution's share below x, to within 3·10⁻⁷ · |x|; the error function is formula 7.1.26 of Abramowitz
/// and Stegun.
#[inline(always)]
pub(super) fn gelu(x: f32, fused: bool) -> f32 {
    const SERIES: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / multiply_add(0.327_591_1, z, 1.0, fused);
    let mut series = SERIES[0];
    for coefficient in &SERIES[1..] {
        series = multiply_add(series, t, *coefficient, fused);
    }
    // Of the two tails together.
    let tails = series * t * exp(-z * z, fused);
    let below = if x < 0.0 { 0.5 * tails } else { 1.0 - 0.5 * tails };
    x * below
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Distance in units of the last place of the exact result.
    fn ulps(found: f32, exact: f64) -> f64 {
        let unit = f64::from((exact as f32).abs().next_up()) - f64::from((exact as f32).abs());
        (f64::from(found) - exact).abs() / unit
    }

    #[test]
    fn exp_is_within_two_units_over_its_range() {
        for step in 0..2_000_000 {
            let x = -87.29 + step as f32 * (175.29 / 2_000_000.0);
            for fused in [false, true] {
                let off = ulps(exp(x, fused), f64::from(x).exp());
                assert!(off <= 2.0, "e^{x}: {off} units off");
            }
        }
    }

    #[test]
    fn exp_beyond_its_range_is_zero_or_very_large_and_nan_stays() {
        for fused in [false, true] {
            assert_eq!(exp(f32::NEG_INFINITY, fused), 0.0);
            assert_eq!(exp(f32::MIN, fused), 0.0);
            assert_eq!(exp(0.0, fused), 1.0);
            assert!(exp(f32::INFINITY, fused) > 1e38 && exp(f32::INFINITY, fused).is_finite());
            assert!(exp(f32::NAN, fused).is_nan());
        }
    }

    /// The error function by its series, or by the continued fraction of its complement.
    fn erfc(x: f64) -> f64 {
        if x < 2.5 {
            let (mut term, mut sum) = (x, x);
            for n in 1..100 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            return 1.0 - sum * std::f64::consts::FRAC_2_SQRT_PI;
        }
        let fraction = (1..200).rev().fold(x, |rest, n| x + f64::from(n) / 2.0 / rest);
        (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt())
    }

    fn exact_gelu(x: f64) -> f64 {
        let tail = 0.5 * erfc(x.abs() / std::f64::consts::SQRT_2);
        x * if x < 0.0 { tail } else { 1.0 - tail }
    }

    fn exact_gelu_tanh(x: f64) -> f64 {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
    }

    proptest! {
        #[test]
        fn activations_are_what_their_formulae_say(x in -30.0_f32..30.0, fused: bool) {
            let exact = f64::from(x);
            let near = |found: f32, exact: f64, bound: f64| (f64::from(found) - exact).abs() <= bound;
            prop_assert!(near(tanh(x, fused), exact.tanh(), 2e-7));
            prop_assert!(near(sigmoid(x, fused), 1.0 / (1.0 + (-exact).exp()), 2e-7));
            prop_assert!(near(silu(x, fused), exact / (1.0 + (-exact).exp()), 2e-7 * exact.abs()));
            prop_assert!(near(gelu(x, fused), exact_gelu(exact), 3e-7 * exact.abs()));
            prop_assert!(near(gelu_tanh(x, fused), exact_gelu_tanh(exact), 3e-7 * exact.abs()));
        }
    }

    #[test]
    fn activations_of_huge_numbers_are_the_numbers_or_nothing() {
        for function in [silu, gelu, gelu_tanh] {
            for fused in [false, true] {
                assert_eq!(function(1e30, fused), 1e30);
                assert!(function(-1e30, fused).abs() < 1e-7);
                assert!(function(f32::NAN, fused).is_nan());
            }
        }
    }
}
