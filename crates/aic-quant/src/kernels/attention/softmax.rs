//! Softmax over pages that come one after the other ([Milakov and Gimelshein 2018](https://arxiv.org/abs/1805.02867)).
use std::ops::Range;

use super::PAGE;
use crate::kernels::vectors::{LANES, exp, tanh};

/// Below every score; finite, so that the difference of two is a number.
pub(super) const NOTHING: f32 = f32::MIN;

/// What a row has seen so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) largest: f32,
    /// Of the shares, relative to that of the largest score.
    pub(super) sum: f32,
}

impl Seen {
    pub(super) const NOTHING: Self = Self { largest: NOTHING, sum: 0.0 };
}

/// Turns the scores of one row and page into shares, relative to the largest score so far; only positions in `visible` have
/// any. Returns what sums of older shares have to be multiplied with.
#[inline(always)]
pub(super) fn shares(
    scores: &mut [f32; PAGE],
    visible: Range<usize>,
    softcap: Option<f32>,
    seen: &mut Seen,
    fused: bool,
) -> f32 {
    if let Some(cap) = softcap {
        for x in scores.iter_mut() {
            *x = cap * tanh(*x / cap, fused);
        }
    }
    hide(scores, visible);
    let largest = largest(scores, seen.largest);
    let fade = exp(seen.largest - largest, fused);
    let mut sums = [0.0; LANES];
    for lanes in scores.as_chunks_mut::<LANES>().0 {
        for i in 0..LANES {
            lanes[i] = exp(lanes[i] - largest, fused);
            sums[i] += lanes[i];
        }
    }
    *seen = Seen { largest, sum: seen.sum * fade + sums.iter().sum::<f32>() };
    fade
}

#[inline(always)]
fn hide(scores: &mut [f32; PAGE], visible: Range<usize>) {
    if visible != (0..PAGE) {
        let end = visible.end.max(visible.start);
        scores[..visible.start].fill(f32::NEG_INFINITY);
        scores[end..].fill(f32::NEG_INFINITY);
    }
}

#[inline(always)]
fn largest(scores: &[f32; PAGE], least: f32) -> f32 {
    let mut lanes = [least; LANES];
    for chunk in scores.as_chunks::<LANES>().0 {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    lanes.into_iter().fold(least, |a, b| if b > a { b } else { a })
}

/// Joins what was found at different positions for one row, mixed values and what was seen, into `out`.
pub(super) fn merge<'a>(found: impl Iterator<Item = (&'a [f32], Seen)> + Clone, out: &mut [f32]) {
    let largest = found.clone().map(|(_, seen)| seen.largest).fold(NOTHING, f32::max);
    let weight = |seen: Seen| (seen.largest - largest).exp();
    let sum: f32 = found.clone().map(|(_, seen)| weight(seen) * seen.sum).sum();
    out.fill(0.0);
    for (mixed, seen) in found {
        let weight = weight(seen) / sum;
        out.iter_mut().zip(mixed).for_each(|(out, x)| *out += weight * x);
    }
}
