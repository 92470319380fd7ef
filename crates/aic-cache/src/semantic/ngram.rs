use async_trait::async_trait;
use twox_hash::XxHash3_64;

use super::{Embedder, nearest::unit};
use crate::Result;

const LENGTHS: std::ops::RangeInclusive<usize> = 3..=5;

/// Vectors of hashed character n-grams. It measures spelling, not meaning.
///
/// "Can I eat this?" and "Can I not eat this?" come out close, "automobile" and "car" far apart: good for
/// finding near-duplicates, never enough to decide that one answer fits both. Without a model, a network or
/// state; the same text gives the same vector on every machine.
///
/// Every run of 3 to 5 characters of the lower-cased text, with a space added at each end, adds +1 or −1 to
/// one of the dimensions, both chosen by its xxh3 hash
/// ([Weinberger et al. 2009](https://arxiv.org/abs/0902.2206), the hashing trick); the sum is scaled to
/// length 1. The empty text has no n-grams and is the zero vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NgramEmbedder {
    dimensions: usize,
}

impl NgramEmbedder {
    /// Vectors of `dimensions` numbers, at least 1. A few hundred keep unlike texts apart.
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions: dimensions.max(1) }
    }

    /// The vector of `text`.
    pub fn vector(&self, text: &str) -> Vec<f32> {
        let text = format!(" {} ", text.to_lowercase());
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let mut vector = vec![0.0; self.dimensions];
        for ends in LENGTHS.flat_map(|length| starts.windows(length + 1)) {
            let (dimension, sign) = self.place(&text.as_bytes()[ends[0]..ends[ends.len() - 1]]);
            vector[dimension] += sign;
        }
        unit(&vector).unwrap_or(vector)
    }

    /// Where and how an n-gram counts.
    fn place(&self, gram: &[u8]) -> (usize, f32) {
        let number = XxHash3_64::oneshot(gram);
        let dimension = (number >> 1) % self.dimensions as u64;
        (dimension as usize, if number & 1 == 0 { 1.0 } else { -1.0 })
    }
}

#[async_trait]
impl Embedder for NgramEmbedder {
    async fn embed(&self, text: &str) -> Result<Vec<f32>> {
        Ok(self.vector(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn similarity(a: &str, b: &str) -> f32 {
        let embedder = NgramEmbedder::new(512);
        embedder.vector(a).iter().zip(embedder.vector(b)).map(|(a, b)| a * b).sum()
    }

    proptest! {
        #[test]
        fn vector_has_length_one_and_is_the_same_each_time(text in ".{0,40}", dimensions in 1usize..600) {
            let embedder = NgramEmbedder::new(dimensions);
            let vector = embedder.vector(&text);
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();

            prop_assert_eq!(vector.len(), dimensions);
            prop_assert!(length == 0.0 || (length - 1.0).abs() < 1e-3);
            prop_assert_eq!(vector, embedder.vector(&text));
        }
    }

    #[test]
    fn misspelt_text_is_closer_than_another_one() {
        let question = "What is the capital of France?";

        assert!(similarity(question, "what is the captial of france") > 0.6);
        assert!(similarity(question, "How do I bake bread at home?") < 0.3);
    }

    #[test]
    fn opposite_that_is_spelt_alike_is_close_which_is_why_this_decides_nothing() {
        assert!(similarity("Can my dog eat grapes?", "Can my dog not eat grapes?") > 0.7);
    }

    #[test]
    fn empty_text_is_the_zero_vector() {
        assert!(NgramEmbedder::new(8).vector("").iter().all(|x| *x == 0.0));
    }
}
