use std::collections::BTreeMap;

use crate::{Error, Result};

/// How much each input of each matrix matters: the mean square of the numbers that met it while the model read
/// calibration text. The field calls it an importance matrix, or imatrix.
///
/// Quantizing weighs the error of column `j` with the mean square of input `j`: what that error does to the layer's output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Importance {
    entries: BTreeMap<String, Entry>,
}

/// What was seen of one matrix's inputs.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    /// The sum of squares of each input.
    sums: Vec<f64>,
    /// How many input vectors were seen.
    count: u64,
}

impl Importance {
    /// Importance of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `count` more input vectors of the matrix called `tensor`; `sums` has the sum of squares of each input.
    ///
    /// # Errors
    /// [`Error::Tensor`] if earlier inputs had another length.
    pub fn add(&mut self, tensor: &str, sums: &[f64], count: u64) -> Result<()> {
        let empty = || Entry { sums: vec![0.0; sums.len()], count: 0 };
        let entry = self.entries.entry(tensor.to_owned()).or_insert_with(empty);
        if entry.sums.len() != sums.len() {
            let problem = format!("has {} inputs here and had {} before", sums.len(), entry.sums.len());
            return Err(Error::tensor(tensor, problem));
        }
        entry.sums.iter_mut().zip(sums).for_each(|(sum, more)| *sum += more);
        entry.count += count;
        Ok(())
    }

    /// The mean square of each input of the matrix called `tensor`; `None` if none was seen.
    pub fn get(&self, tensor: &str) -> Option<Vec<f32>> {
        let entry = self.entries.get(tensor).filter(|entry| entry.count > 0)?;
        Some(entry.sums.iter().map(|sum| (sum / entry.count as f64) as f32).collect())
    }

    /// The names of the matrices, in order.
    pub fn tensors(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// How many input vectors of the matrix called `tensor` were seen.
    pub fn count(&self, tensor: &str) -> u64 {
        self.entries.get(tensor).map_or(0, |entry| entry.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn importance_is_the_mean_over_all_inputs_seen() {
        let mut importance = Importance::new();
        importance.add("blk.0.ffn_up.weight", &[2.0, 8.0], 2).unwrap();
        importance.add("blk.0.ffn_up.weight", &[4.0, 0.0], 1).unwrap();

        assert_eq!(importance.get("blk.0.ffn_up.weight").unwrap(), [2.0, 8.0 / 3.0]);
        assert_eq!(importance.get("output.weight"), None);
        assert!(importance.add("blk.0.ffn_up.weight", &[1.0], 1).is_err());
    }
}
