use crate::{Model, Result, TensorSource};

/// Measures what changed weights do to a model: the mean Kullback–Leibler divergence of its predictions from those of
/// `reference`, in nats per token, over `tokens`.
///
/// What comes back takes the changed model; use it with [`Mix::measure`](crate::Mix::measure). A few hundred tokens of
/// ordinary text will do. Texts longer than the context are cut into windows. The predictions of the reference are kept:
/// 4 bytes · tokens · vocabulary.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) without tokens, and what running the models fails with.
pub fn mean_kl(
    reference: &Model,
    tokens: &[u32],
) -> Result<impl FnMut(&dyn TensorSource) -> Result<f64> + use<>> {
    if tokens.is_empty() {
        return Err(crate::Error::Empty { what: "calibration text" });
    }
    let (tokens, window) = (tokens.to_vec(), reference.max_context());
    let mut expected: Vec<Vec<f32>> = Vec::new();
    predictions(reference, &tokens, window, |row| expected.push(row))?;
    Ok(move |source: &dyn TensorSource| {
        let model = Model::options().unchecked_memory().max_context(window).load(source)?;
        let (mut sum, mut rows) = (0.0, expected.iter());
        predictions(&model, &tokens, window, |row| {
            sum += divergence(rows.next().expect("as many rows as before"), &row);
        })?;
        // Rounding may leave two like models a trifle below 0; NaN must stay NaN.
        let mean: f64 = sum / expected.len() as f64;
        Ok(if mean < 0.0 { 0.0 } else { mean })
    })
}

/// Visits the log probabilities of the token after each of `tokens`.
fn predictions(model: &Model, tokens: &[u32], window: usize, mut visit: impl FnMut(Vec<f32>)) -> Result<()> {
    for window in tokens.chunks(window) {
        model.predict(window, |_, logits| {
            visit(log_probabilities(logits));
            Ok(())
        })?;
    }
    Ok(())
}

fn log_probabilities(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
    let offset = f64::from(highest) + sum.ln();
    logits.iter().map(|logit| (f64::from(*logit) - offset) as f32).collect()
}

/// Σ p·(ln p − ln q), at least 0 but for rounding; NaN if a prediction is.
fn divergence(expected: &[f32], found: &[f32]) -> f64 {
    let terms =
        expected.iter().zip(found).map(|(p, q)| f64::from(*p).exp() * (f64::from(*p) - f64::from(*q)));
    terms.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_that_of_the_distributions_whatever_the_offset_of_logits() {
        let logits = |p: [f64; 3], offset: f64| p.map(|p| (p.ln() + offset) as f32);
        let (p, q) = ([0.5_f64, 0.3, 0.2], [0.2_f64, 0.3, 0.5]);
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();

        let found = divergence(&log_probabilities(&logits(p, 3.0)), &log_probabilities(&logits(q, -40.0)));

        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        assert_eq!(divergence(&log_probabilities(&logits(p, 0.0)), &log_probabilities(&logits(p, 0.0))), 0.0);
        assert!(divergence(&log_probabilities(&logits(p, 0.0)), &log_probabilities(&[f32::NAN; 3])).is_nan());
    }
}
