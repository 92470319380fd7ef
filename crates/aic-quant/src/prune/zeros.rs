use super::saliency::{Saliency, Scorer};
use super::threshold::threshold;
use crate::codec::decode_into;
use crate::{Error, Result, TensorInfo, TensorSource};

/// Which weights of a matrix are compared with each other, and how many of them become zero.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Pattern {
    /// The weights of each row, which make one output: each loses this share of them, rounded down.
    Rows {
        /// At least 0 and below 1.
        share: f64,
    },
    /// All weights of the matrix, which loses this share of them, rounded down. Of weights that score the same at the limit
    /// all stay, so that it loses a little less.
    Matrix {
        /// At least 0 and below 1.
        share: f64,
    },
    /// Every `of` neighbours in a row: each group keeps `keep`. 2 of 4 is what NVIDIA's sparse tensor cores multiply
    /// ([Mishra et al. 2021](https://arxiv.org/abs/2104.08378)).
    Groups {
        /// At least 1, at most `of`.
        keep: usize,
        /// Divides the rows of every matrix.
        of: usize,
    },
}

/// Zeroes the weights of one matrix, whichever of its rows are asked for.
pub(super) struct Zeros {
    scorer: Scorer,
    rule: Rule,
}

/// Which weights of a row become zero, by their scores.
enum Rule {
    /// The lowest of each group of `of`.
    Lowest { count: usize, of: usize },
    /// Those below this.
    Below(f32),
}

impl Pattern {
    /// # Errors
    /// [`Error::Option`] if a number is out of its range.
    pub(super) fn check(self) -> Result<()> {
        let wrong = |option, value, expected| Err(Error::Option { option, value, expected });
        match self {
            Self::Rows { share } | Self::Matrix { share } if !(0.0..1.0).contains(&share) => {
                wrong("share", share.to_string(), "at least 0 and below 1, so that something is left")
            }
            Self::Groups { keep, of } if keep == 0 || keep > of => {
                wrong("keep", format!("{keep} of {of}"), "1 to all of a group")
            }
            _ => Ok(()),
        }
    }

    fn rule(self, source: &dyn TensorSource, tensor: &TensorInfo, scorer: &Scorer) -> Result<Rule> {
        let columns = tensor.row_length();
        match self {
            Self::Rows { share } => {
                Ok(Rule::Lowest { count: (columns as f64 * share) as usize, of: columns })
            }
            Self::Matrix { share } => threshold(source, tensor, scorer, share).map(Rule::Below),
            Self::Groups { of, .. } if !columns.is_multiple_of(of) => Err(Error::tensor(
                &tensor.name,
                format!("has rows of {columns} numbers, which do not divide into groups of {of}"),
            )),
            Self::Groups { keep, of } => Ok(Rule::Lowest { count: of - keep, of }),
        }
    }
}

impl Zeros {
    /// The zeros of `tensor`, a matrix of plain floats.
    pub(super) fn new(
        source: &dyn TensorSource,
        tensor: &TensorInfo,
        saliency: Saliency<'_>,
        pattern: Pattern,
    ) -> Result<Self> {
        let scorer = saliency.of(tensor)?;
        let rule = pattern.rule(source, tensor, &scorer)?;
        Ok(Self { scorer, rule })
    }

    /// Zeroes weights in `rows`, the bytes of whole rows of `tensor`.
    pub(super) fn apply(&self, tensor: &TensorInfo, rows: &mut [u8]) -> Result<()> {
        let mut scores = vec![0.0; tensor.row_length()];
        let mut order = Vec::new();
        for row in rows.chunks_exact_mut(tensor.row_bytes().max(1)) {
            decode_into(row, tensor.dtype, &mut scores)?;
            self.scorer.score(tensor, &mut scores)?;
            let size = tensor.dtype.block_bytes();
            // In every float type zero is written as zeros.
            self.rule.each(&scores, &mut order, |column| row[column * size..][..size].fill(0));
        }
        Ok(())
    }
}

impl Rule {
    /// Calls `zero` with each column to zero; `order` is room to sort in.
    fn each(&self, scores: &[f32], order: &mut Vec<u64>, mut zero: impl FnMut(usize)) {
        match *self {
            Self::Below(limit) => {
                (0..scores.len()).filter(|&column| scores[column] < limit).for_each(zero);
            }
            Self::Lowest { count: 0, .. } => {}
            Self::Lowest { count, of } => {
                for (index, group) in scores.chunks(of).enumerate() {
                    lowest(group, count, order).for_each(|column| zero(index * of + column));
                }
            }
        }
    }
}

/// The columns of the `count` lowest scores; of equal ones those further left.
fn lowest<'a>(scores: &[f32], count: usize, order: &'a mut Vec<u64>) -> impl Iterator<Item = usize> + 'a {
    // The bits of floats that are not negative are ordered as the floats are; with the column below them no two are equal.
    let key = |(column, score): (usize, &f32)| u64::from(score.to_bits()) << 32 | column as u64;
    order.clear();
    order.extend(scores.iter().enumerate().map(key));
    order.select_nth_unstable(count - 1);
    order[..count].iter().map(|key| (key & u64::from(u32::MAX)) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::gguf::{File, Metadata, Writer};
    use crate::{DType, Importance, decode, encode};

    const COLUMNS: usize = 24;

    /// A matrix of these values, `[values / COLUMNS, COLUMNS]`.
    fn matrix(values: &[f32], dtype: DType) -> File {
        let mut writer = Writer::new(Metadata::new());
        writer.tensor("w", &[values.len() / COLUMNS, COLUMNS], dtype).unwrap();
        File::from_bytes(writer.to_vec(|_| encode(values, dtype)).unwrap()).unwrap()
    }

    /// What is left of `source`.
    fn pruned(source: &File, saliency: Saliency<'_>, pattern: Pattern) -> Vec<f32> {
        let tensor = source.tensor("w").unwrap();
        let mut bytes = source.read(tensor).unwrap();
        Zeros::new(source, tensor, saliency, pattern).unwrap().apply(tensor, &mut bytes).unwrap();
        decode(&bytes, tensor.dtype).unwrap()
    }

    fn importance(norms: &[f32]) -> Importance {
        let mut importance = Importance::new();
        let squares: Vec<f64> = norms.iter().map(|norm| f64::from(*norm).powi(2)).collect();
        importance.add("w", &squares, 1).unwrap();
        importance
    }

    /// Without zeros, so that every zero was made one.
    fn weight() -> impl Strategy<Value = f32> {
        (1..60_i32, any::<bool>()).prop_map(|(size, sign)| if sign { size as f32 } else { -size as f32 })
    }

    proptest! {
        #[test]
        fn every_group_loses_its_lowest_scores_and_keeps_the_rest_as_it_is(
            values in vec(weight(), 3 * COLUMNS),
            norms in vec(0.1_f32..10.0, COLUMNS),
            (pattern, count, of) in prop_oneof![
                (0.0..1.0).prop_map(|share| {
                    (Pattern::Rows { share }, (COLUMNS as f64 * share) as usize, COLUMNS)
                }),
                (1_usize..5).prop_map(|keep| (Pattern::Groups { keep, of: 4 }, 4 - keep, 4)),
            ],
            dtype in prop::sample::select(vec![DType::F32, DType::F16, DType::BF16]),
        ) {
            let importance = importance(&norms);
            let left = pruned(&matrix(&values, dtype), Saliency::Wanda(&importance), pattern);

            let scores: Vec<f32> =
                values.chunks(COLUMNS).flat_map(|row| row.iter().zip(&norms).map(|(w, n)| w.abs() * n)).collect();
            for (group, (before, after)) in values.chunks(of).zip(left.chunks(of)).enumerate() {
                prop_assert_eq!(after.iter().filter(|w| **w == 0.0).count(), count);
                prop_assert!(before.iter().zip(after).all(|(b, a)| *a == 0.0 || a == b));
                let of_group = scores[group * of..].iter().zip(after);
                let (gone, kept): (Vec<_>, Vec<_>) = of_group.partition(|(_, after)| **after == 0.0);
                let highest = gone.iter().map(|(score, _)| **score).fold(0.0, f32::max);
                prop_assert!(kept.iter().all(|(score, _)| **score >= highest * 0.999));
            }
        }

        #[test]
        fn matrix_loses_all_scores_below_the_one_of_its_share(
            // The narrow range has scores that differ in their last bits only.
            values in vec(prop_oneof![weight(), 1.0_f32..1.01], 3 * COLUMNS),
            share in 0.0..1.0,
        ) {
            let left = pruned(&matrix(&values, DType::F32), Saliency::Magnitude, Pattern::Matrix { share });

            let mut sizes: Vec<f32> = values.iter().map(|w| w.abs()).collect();
            sizes.sort_by(f32::total_cmp);
            let limit = sizes[(values.len() as f64 * share) as usize];
            let expected: Vec<f32> =
                values.iter().map(|w| if w.abs() < limit { 0.0 } else { *w }).collect();
            prop_assert_eq!(left, expected);
        }
    }

    #[test]
    fn of_equal_weights_those_further_left_go() {
        let values = [[2.0, -2.0, 2.0, 2.0]; 6].concat();
        let half = Pattern::Groups { keep: 2, of: 4 };
        let left = pruned(&matrix(&values, DType::F16), Saliency::Magnitude, half);
        assert_eq!(left, [[0.0, 0.0, 2.0, 2.0]; 6].concat());
    }

    #[test]
    fn any_rows_alone_lose_what_they_lose_together() {
        let values: Vec<f32> = (0..5 * COLUMNS).map(|i| ((i * 37) as f32).sin()).collect();
        let source = matrix(&values, DType::F32);
        let tensor = source.tensor("w").unwrap();
        for pattern in [Pattern::Rows { share: 0.3 }, Pattern::Matrix { share: 0.3 }] {
            let zeros = Zeros::new(&source, tensor, Saliency::Magnitude, pattern).unwrap();
            let mut whole = source.read(tensor).unwrap();
            zeros.apply(tensor, &mut whole).unwrap();

            let mut rows = source.read(tensor).unwrap()[2 * 4 * COLUMNS..4 * 4 * COLUMNS].to_vec();
            zeros.apply(tensor, &mut rows).unwrap();

            assert_eq!(rows, whole[2 * 4 * COLUMNS..4 * 4 * COLUMNS]);
        }
    }
}
