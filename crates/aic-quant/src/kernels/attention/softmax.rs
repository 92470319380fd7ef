//! Softmax over pages that come one after the other ([Milakov and Gimelshein 2018](https://arxiv.org/abs/1805.02867)).
use std::ops::Range;

use super::PAGE;
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::kernels::InstructionSet;
#[cfg(target_arch = "x86_64")]
use crate::kernels::vectors::has_avx2;
use crate::kernels::vectors::{FUSED, exp, tanh};

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
pub(super) fn shares(
    instructions: InstructionSet,
    scores: &mut [f32; PAGE],
    visible: Range<usize>,
    softcap: Option<f32>,
    seen: &mut Seen,
) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if has_avx2(instructions) {
        // SAFETY: the processor has these instructions.
        return unsafe { x86::softmax::shares(scores, visible, softcap, seen) };
    }
    let _ = instructions;
    if let Some(cap) = softcap {
        scores.iter_mut().for_each(|x| *x = cap * tanh(*x / cap, FUSED));
    }
    for (position, score) in scores.iter_mut().enumerate() {
        if !visible.contains(&position) {
            *score = f32::NEG_INFINITY;
        }
    }
    let largest = scores.iter().copied().fold(seen.largest, f32::max);
    scores.iter_mut().for_each(|score| *score = exp(*score - largest, FUSED));
    let fade = exp(seen.largest - largest, FUSED);
    *seen = Seen { largest, sum: seen.sum * fade + scores.iter().sum::<f32>() };
    fade
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
