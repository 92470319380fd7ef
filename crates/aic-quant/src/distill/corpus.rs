use std::collections::{BTreeMap, VecDeque};

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// Windows that are sorted by length together, so that those in a batch are about equally long.
const POOL: usize = 1024;

/// The tokens to train on and those to measure with.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) training: Vec<Vec<u32>>,
    pub(super) held_out: Vec<Vec<u32>>,
}

impl Corpus {
    /// Cuts texts into windows of at most `window` tokens, each with at least one to predict.
    ///
    /// Of the different texts, `share` are held out, chosen by a hash so that equal texts are on the same side.
    pub(super) fn new(
        texts: impl IntoIterator<Item = impl AsRef<str>>,
        tokenizer: &Tokenizer,
        window: usize,
        share: f64,
        seed: u64,
    ) -> Result<Self> {
        let mut by_hash: BTreeMap<[u8; 32], Vec<Vec<u32>>> = BTreeMap::new();
        for text in texts {
            let tokens = tokenizer.encode(text.as_ref())?;
            let windows = tokens.chunks(window).filter(|window| window.len() > 1).map(<[u32]>::to_vec);
            by_hash.entry(hash(text.as_ref(), seed)).or_default().extend(windows);
        }
        by_hash.retain(|_, windows| !windows.is_empty());
        if by_hash.is_empty() {
            return Err(Error::Empty { what: "text to train on" });
        }
        let held_out = (by_hash.len() as f64 * share).ceil().min(by_hash.len() as f64 - 1.0) as usize;
        let mut windows = by_hash.into_values();
        let held_out = windows.by_ref().take(held_out).flatten().collect();
        Ok(Self { training: windows.flatten().collect(), held_out })
    }

    /// The same for the same tokens in the same places only.
    pub(super) fn fingerprint(&self, hasher: &mut blake3::Hasher) {
        for windows in [&self.training, &self.held_out] {
            hasher.update(&(windows.len() as u64).to_le_bytes());
            for window in windows {
                hasher.update(&(window.len() as u64).to_le_bytes());
                window.iter().for_each(|token| {
                    hasher.update(&token.to_le_bytes());
                });
            }
        }
    }
}

fn hash(text: &str, seed: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(text.as_bytes());
    hasher.finalize().into()
}

/// The order in which windows are learnt: all of them, then all again in another order, without end.
pub(super) struct Order<'a> {
    windows: &'a [Vec<u32>],
    /// Most tokens of a batch, filling included.
    limit: usize,
    random: StdRng,
    ahead: VecDeque<Vec<usize>>,
}

impl<'a> Order<'a> {
    pub(super) fn new(windows: &'a [Vec<u32>], limit: usize, seed: u64) -> Self {
        Self { windows, limit, random: StdRng::seed_from_u64(seed), ahead: VecDeque::new() }
    }

    fn another_round(&mut self) {
        let mut all: Vec<usize> = (0..self.windows.len()).collect();
        all.shuffle(&mut self.random);
        let mut batches: Vec<Vec<usize>> =
            all.chunks(POOL).flat_map(|pool| cut(self.windows, pool, self.limit)).collect();
        batches.shuffle(&mut self.random);
        self.ahead.extend(batches);
    }
}

impl Iterator for Order<'_> {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        if self.ahead.is_empty() {
            self.another_round();
        }
        self.ahead.pop_front()
    }
}

/// Batches of windows of about equal length, of at most `limit` tokens unless a single window has more.
pub(super) fn cut(windows: &[Vec<u32>], pool: &[usize], limit: usize) -> Vec<Vec<usize>> {
    let mut pool = pool.to_vec();
    pool.sort_by_key(|index| windows[*index].len());
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for index in pool {
        // Lengths only grow: this window is the longest of the batch it joins.
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * windows[index].len() <= limit => batch.push(index),
            _ => batches.push(vec![index]),
        }
    }
    batches
}

/// Windows side by side, shorter ones filled up at their end.
pub(super) struct Batch {
    /// `[texts, length]`
    pub(super) ids: Tensor,
    /// Which of the `texts · length` positions have a follower to predict.
    pub(super) rows: Tensor,
    /// The follower of each of `rows`.
    pub(super) targets: Tensor,
    /// How many tokens there are to predict.
    pub(super) tokens: usize,
}

impl Batch {
    pub(super) fn new(windows: &[&[u32]], device: &Device) -> candle_core::Result<Self> {
        let length = windows.iter().map(|window| window.len() - 1).max().unwrap_or(0);
        let (mut ids, mut rows, mut targets): (Vec<u32>, Vec<u32>, Vec<u32>) = Default::default();
        for window in windows {
            let start = ids.len();
            let predicting = window.len() - 1;
            ids.extend(&window[..predicting]);
            ids.resize(start + length, 0);
            rows.extend((start..start + predicting).map(|row| row as u32));
            targets.extend(&window[1..]);
        }
        let tokens = targets.len();
        Ok(Self {
            ids: Tensor::from_vec(ids, (windows.len(), length), device)?,
            rows: Tensor::from_vec(rows, tokens, device)?,
            targets: Tensor::from_vec(targets, tokens, device)?,
            tokens,
        })
    }

    /// Of each of `states`, `[texts · length, hidden]`, the rows that have a follower to predict.
    pub(super) fn predicting(&self, states: &[Tensor]) -> candle_core::Result<Vec<Tensor>> {
        states.iter().map(|states| states.index_select(&self.rows, 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokenizer::tests::{tiny, tokenizer};

    fn windows(lengths: &[usize]) -> Vec<Vec<u32>> {
        lengths.iter().map(|length| vec![1; *length]).collect()
    }

    proptest! {
        #[test]
        fn a_round_has_every_window_once_in_batches_within_the_limit(
            lengths in prop::collection::vec(2_usize..40, 1..80),
            limit in 2_usize..120,
            seed: u64,
        ) {
            let windows = windows(&lengths);
            let mut order = Order::new(&windows, limit, seed);
            let mut seen = Vec::new();
            while seen.len() < windows.len() {
                let batch = order.next().unwrap();
                let longest = batch.iter().map(|index| lengths[*index]).max().unwrap();
                prop_assert!(batch.len() == 1 || batch.len() * longest <= limit);
                seen.extend(batch);
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..windows.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rounds_differ_and_repeat_with_the_seed() {
        let windows = windows(&[5; 30]);
        let first = |seed: u64| Order::new(&windows, 10, seed).take(30).collect::<Vec<_>>();

        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
        assert_ne!(first(1)[..15], first(1)[15..]);
    }

    #[test]
    fn equal_texts_are_on_the_same_side_whatever_their_order() {
        let tokenizer = tokenizer(&tiny());
        let mut texts: Vec<String> = (0..40).map(|i| format!("text number {}", i % 20)).collect();
        let corpus = Corpus::new(&texts, &tokenizer, 64, 0.2, 3).unwrap();

        texts.reverse();
        let reversed = Corpus::new(&texts, &tokenizer, 64, 0.2, 3).unwrap();

        assert_eq!((corpus.held_out.len(), corpus.training.len()), (8, 32));
        assert!(corpus.held_out.iter().all(|window| !corpus.training.contains(window)));
        assert_eq!((corpus.held_out, corpus.training), (reversed.held_out, reversed.training));
    }

    #[test]
    fn long_text_is_cut_and_a_single_one_is_not_held_out() {
        let corpus = Corpus::new(["0123456789"], &tokenizer(&tiny()), 3, 0.5, 0).unwrap();

        // The last window has a single token, which nothing predicts.
        assert_eq!(corpus.training.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3]);
        assert!(corpus.held_out.is_empty());
    }

    #[test]
    fn batch_marks_the_rows_that_predict() {
        let batch = Batch::new(&[&[5, 6, 7], &[8, 9]], &Device::Cpu).unwrap();

        assert_eq!(batch.ids.to_vec2::<u32>().unwrap(), [[5, 6], [8, 0]]);
        assert_eq!(batch.rows.to_vec1::<u32>().unwrap(), [0, 1, 2]);
        assert_eq!(batch.targets.to_vec1::<u32>().unwrap(), [6, 7, 9]);
    }
}
