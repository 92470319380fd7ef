//! The curves an entry's chance of being right may follow, and how likely each makes what was observed.

use std::sync::LazyLock;

/// Similarities are told apart by the logarithm of their distance (1 − similarity), four steps to a halving.
const STEPS_PER_HALVING: f64 = 4.0;
/// Distances below 2⁻¹⁰ are no longer told apart.
const HALVINGS: u8 = 10;
/// Number of similarities told apart.
pub(super) const BINS: usize = HALVINGS as usize * STEPS_PER_HALVING as usize + 1;

/// A curve's chance of being right is `ceiling / (1 + (distance / threshold)^steepness)`.
const STEEPNESSES: [f64; 2] = [3.0, 12.0];
/// The ceilings are 1 − 2⁰ to 1 − 2⁻¹².
const CEILINGS: i32 = 13;
/// No curve promises more than 1 − 2⁻¹³, nor denies more.
const CERTAINTY: f64 = 1.0 / 8192.0;

/// The bin of a similarity; `None` for NaN.
pub(super) fn bin(similarity: f32) -> Option<usize> {
    let distance = (1.0 - f64::from(similarity)).clamp(0.5f64.powi(i32::from(HALVINGS)), 1.0);
    (!distance.is_nan()).then(|| (-STEPS_PER_HALVING * distance.log2()).round() as usize)
}

/// All curves; what is said of a bin lists them in the same order.
struct Curves {
    weights: Vec<f32>,
    bins: Vec<Bin>,
}

struct Bin {
    wrong: Vec<f32>,
    ln_right: Vec<f32>,
    ln_wrong: Vec<f32>,
}

static CURVES: LazyLock<Curves> = LazyLock::new(|| {
    let ceilings = (0..CEILINGS).map(|halvings| 1.0 - 0.5f64.powi(halvings));
    let curves: Vec<_> =
        ceilings.flat_map(|ceiling| shapes().map(move |(_, d, k)| (ceiling, d, k))).collect();
    let weights = (0..CEILINGS).flat_map(|_| shapes()).map(|(weight, ..)| weight as f32 / CEILINGS as f32);
    Curves { weights: weights.collect(), bins: (0..BINS).map(|bin| Bin::new(bin, &curves)).collect() }
});

/// Weight, threshold and steepness of the curves of one ceiling. The flat one weighs as much as all others.
fn shapes() -> impl Iterator<Item = (f64, f64, f64)> {
    let thresholds = (0..=HALVINGS).map(|halvings| 0.5f64.powi(i32::from(halvings)));
    let sloped = thresholds.flat_map(|threshold| STEEPNESSES.map(|steepness| (threshold, steepness)));
    let weight = 0.5 / (f64::from(HALVINGS + 1) * STEEPNESSES.len() as f64);
    std::iter::once((0.5, f64::INFINITY, 1.0)).chain(sloped.map(move |(d, k)| (weight, d, k)))
}

impl Bin {
    fn new(bin: usize, curves: &[(f64, f64, f64)]) -> Self {
        let distance = 0.5f64.powf(bin as f64 / STEPS_PER_HALVING);
        let wrong: Vec<f64> = curves
            .iter()
            .map(|(ceiling, threshold, steepness)| {
                let right = ceiling / (1.0 + (distance / threshold).powf(*steepness));
                (1.0 - right).clamp(CERTAINTY, 1.0 - CERTAINTY)
            })
            .collect();
        Self {
            ln_right: wrong.iter().map(|wrong| (-wrong).ln_1p() as f32).collect(),
            ln_wrong: wrong.iter().map(|wrong| wrong.ln() as f32).collect(),
            wrong: wrong.into_iter().map(|wrong| wrong as f32).collect(),
        }
    }
}

/// The greatest, over all curves, of: chance of being wrong in `bin` / (½ + ½ · mixture / likelihood).
///
/// The likelihood is the chance a curve gives to what was `observed` (right and wrong answers by bin), the
/// mixture the weighted average of all likelihoods.
pub(super) fn risk(bin: usize, observed: &[(u8, u32, u32)]) -> f64 {
    let likelihoods = likelihoods(observed);
    let mixture: f32 =
        CURVES.weights.iter().zip(&likelihoods).map(|(weight, likelihood)| weight * likelihood).sum();
    let risk = |(wrong, likelihood): (&f32, &f32)| wrong * likelihood / (0.5 * likelihood + 0.5 * mixture);
    f64::from(CURVES.bins[bin].wrong.iter().zip(&likelihoods).map(risk).fold(0.0, f32::max))
}

/// The likelihood of each curve as a part of the greatest.
fn likelihoods(observed: &[(u8, u32, u32)]) -> Vec<f32> {
    let mut likelihoods = vec![0.0; CURVES.weights.len()];
    for &(bin, right, wrong) in observed {
        let Bin { ln_right, ln_wrong, .. } = &CURVES.bins[usize::from(bin)];
        for ((ln, ln_right), ln_wrong) in likelihoods.iter_mut().zip(ln_right).zip(ln_wrong) {
            *ln += right as f32 * ln_right + wrong as f32 * ln_wrong;
        }
    }
    let greatest = likelihoods.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    likelihoods.iter_mut().for_each(|ln| *ln = (*ln - greatest).exp());
    likelihoods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_all_curves_add_up_to_one() {
        assert!((CURVES.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn every_curve_rises_with_similarity_and_is_sure_of_nothing() {
        for curve in 0..CURVES.weights.len() {
            let wrong: Vec<f32> = CURVES.bins.iter().map(|bin| bin.wrong[curve]).collect();

            assert!(wrong.is_sorted_by(|a, b| a >= b));
            assert!(wrong.iter().all(|wrong| *wrong > 0.0 && *wrong < 1.0));
        }
    }

    #[test]
    fn bins_rise_with_similarity_from_none_to_all() {
        assert_eq!(
            [-1.0, 0.0, 0.5, 0.75, 1.0].map(bin),
            [Some(0), Some(0), Some(4), Some(8), Some(BINS - 1)]
        );
        assert_eq!(bin(f32::NAN), None);
    }
}
