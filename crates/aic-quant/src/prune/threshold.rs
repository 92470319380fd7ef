use super::rows::each_row;
use super::saliency::Scorer;
use crate::{Result, TensorInfo, TensorSource};

/// Scores are told apart by half of their bits at a time.
const HALF: u32 = 16;

/// The score that this share of all scores of `tensor`, rounded down, is not above.
///
/// The exact order statistic in two passes over the tensor and half a mebibyte, however large it is: a radix select over the
/// bits of the scores, which are ordered as the scores are because none is negative.
pub(super) fn threshold(
    source: &dyn TensorSource,
    tensor: &TensorInfo,
    scorer: &Scorer,
    share: f64,
) -> Result<f32> {
    let count = |keep: &dyn Fn(u32) -> Option<u32>| {
        let mut counts = vec![0_u64; 1 << HALF];
        each_row(source, tensor, |row| {
            scorer.score(tensor, row)?;
            let buckets = row.iter().filter_map(|score| keep(score.to_bits()));
            buckets.for_each(|bucket| counts[bucket as usize] += 1);
            Ok(())
        })?;
        Ok(counts)
    };
    let rank = (tensor.elements() as f64 * share) as u64;
    let (high, rank) = bucket_of(&count(&|bits| Some(bits >> HALF))?, rank);
    let low = |bits: u32| (bits >> HALF == high).then_some(bits & ((1 << HALF) - 1));
    let (low, _) = bucket_of(&count(&low)?, rank);
    Ok(f32::from_bits(high << HALF | low))
}

/// The bucket that holds the item of this rank, from 0, and its rank within.
fn bucket_of(counts: &[u64], mut rank: u64) -> (u32, u64) {
    for (bucket, count) in counts.iter().enumerate() {
        if rank < *count {
            return (bucket as u32, rank);
        }
        rank -= count;
    }
    (0, 0)
}
