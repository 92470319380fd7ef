use std::fmt;

use serde::Serialize;

use super::bootstrap::{Bootstrap, mean};
use super::{Estimate, Verdict};
use crate::{Error, Model, Result};

/// The neighbours of each text that are compared.
const NEIGHBOURS: usize = 10;
/// The confidence of both intervals together.
const CONFIDENCE: f64 = 0.95;

/// How a candidate's embeddings differ from the reference's, over a list of texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Embeddings {
    /// The outcome by the limits given.
    pub verdict: Verdict,
    /// Texts embedded.
    pub texts: usize,
    /// Mean cosine between the two vectors of the same text.
    pub cosine: Estimate,
    /// The lowest of these cosines.
    pub min_cosine: f64,
    /// Mean overlap of each text's 10 nearest neighbours among the others (or as many as there are): the share of all that
    /// either names which both name (Jaccard index), 0 to 1.
    pub neighbours: Estimate,
    /// Mean rank correlation (Spearman's ρ) of the other texts by their nearness, −1 to 1.
    pub rank_correlation: f64,
}

/// Compares the vectors both models give to each of `texts`.
///
/// Passes if the whole interval of the mean cosine lies at or above `min_cosine`, and that of the neighbours' overlap at or
/// above `min_overlap`; both intervals together hold with 95 %. What searches by rank sees the overlap, not the cosine. The
/// candidate may have another tokenizer, but not vectors of another length. Texts are resampled as if independent, with `seed`.
///
/// # Errors
/// [`Error::Empty`] for fewer than 20 texts, [`Error::Option`] for vectors of different lengths, and those of
/// [`Model::embed`].
pub fn embeddings(
    reference: &Model,
    candidate: &Model,
    texts: &[impl AsRef<str>],
    (min_cosine, min_overlap): (f64, f64),
    seed: u64,
) -> Result<Embeddings> {
    let bootstrap = Bootstrap::independent(texts.len(), (1.0 - CONFIDENCE) / 2.0, seed);
    let bootstrap = bootstrap.ok_or(Error::Empty { what: "list of at least 20 texts" })?;
    let (old, new) = (reference.info().hidden, candidate.info().hidden);
    if old != new {
        let expected = "a model with vectors as long as the reference's";
        return Err(Error::Option {
            option: "candidate",
            value: format!("{new} numbers instead of {old}"),
            expected,
        });
    }
    let embed = |model: &Model| -> Result<Vec<Vec<f32>>> {
        texts.iter().map(|text| model.embed(text.as_ref())).collect()
    };
    let (old, new) = (embed(reference)?, embed(candidate)?);
    let cosines: Vec<f64> = old.iter().zip(&new).map(|(a, b)| dot(a, b)).collect();
    let nearness = |vectors: &[Vec<f32>], text: usize| -> Vec<f64> {
        let others = (0..vectors.len()).filter(|other| *other != text);
        others.map(|other| dot(&vectors[text], &vectors[other])).collect()
    };
    let pairs = (0..texts.len()).map(|text| (nearness(&old, text), nearness(&new, text)));
    let (overlaps, correlations): (Vec<f64>, Vec<f64>) =
        pairs.map(|(old, new)| (overlap(&old, &new), spearman(&old, &new))).unzip();
    let (cosine, neighbours) = (bootstrap.mean(&cosines), bootstrap.mean(&overlaps));
    let sample = (texts.len(), "texts");
    let verdict = Verdict::at_least("mean cosine", cosine, min_cosine, sample);
    Ok(Embeddings {
        verdict: verdict.and(Verdict::at_least("overlap of neighbours", neighbours, min_overlap, sample)),
        texts: texts.len(),
        cosine,
        min_cosine: cosines.iter().copied().fold(f64::INFINITY, f64::min),
        neighbours,
        rank_correlation: mean(&correlations),
    })
}

impl fmt::Display for Embeddings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name, x: Estimate| {
            writeln!(f, "{name:<24}{:>10.5}   {:.5} to {:.5}", x.value, x.low, x.high)
        };
        line(f, "mean cosine", self.cosine)?;
        line(f, "neighbours in common", self.neighbours)?;
        writeln!(f, "{:<24}{:>10.5}", "rank correlation", self.rank_correlation)?;
        writeln!(f, "{:<24}{:>10.5}   of {} texts", "lowest cosine", self.min_cosine, self.texts)?;
        write!(f, "{}", self.verdict)
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Indices by falling value.
fn order(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    order
}

/// The Jaccard index of the nearest.
fn overlap(old: &[f64], new: &[f64]) -> f64 {
    let nearest = |values: &[f64]| order(values)[..NEIGHBOURS.min(values.len())].to_vec();
    let (old, new) = (nearest(old), nearest(new));
    let common = old.iter().filter(|index| new.contains(index)).count();
    common as f64 / (old.len() + new.len() - common) as f64
}

/// Pearson's correlation of the ranks; ties, which real vectors do not have, are ranked in order.
fn spearman(old: &[f64], new: &[f64]) -> f64 {
    let ranks = |values: &[f64]| {
        let mut ranks = vec![0.0; values.len()];
        order(values).into_iter().enumerate().for_each(|(rank, index)| ranks[index] = rank as f64);
        ranks
    };
    let squares: f64 = ranks(old).iter().zip(ranks(new)).map(|(a, b)| (a - b).powi(2)).sum();
    let count = old.len() as f64;
    1.0 - 6.0 * squares / (count * (count * count - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_compared_not_values() {
        let old: Vec<f64> = (0..30).map(f64::from).collect();
        let squared: Vec<f64> = old.iter().map(|x| x * x).collect();
        let reversed: Vec<f64> = old.iter().map(|x| -x).collect();
        assert_eq!((overlap(&old, &squared), spearman(&old, &squared)), (1.0, 1.0));
        assert_eq!((overlap(&old, &reversed), spearman(&old, &reversed)), (0.0, -1.0));
        let mut one_changed = old.clone();
        one_changed[29] = -1.0;
        assert!((overlap(&old, &one_changed) - 9.0 / 11.0).abs() < 1e-12);
    }
}
