//! The two matrix products of attention, each over one page.
use super::PAGE;
use super::source::Shares;
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::kernels::InstructionSet;
#[cfg(target_arch = "x86_64")]
use crate::kernels::vectors::has_avx2;
use crate::kernels::vectors::{FUSED, multiply_add};

/// `scores[row] = queries[row] · keys` for all rows of `scores`, `[rows, 32]`; `queries` is `[rows, size]` and `keys`
/// `[size, 32]`.
pub(super) fn scores(
    instructions: InstructionSet,
    queries: &[f32],
    keys: &[f32],
    size: usize,
    scores: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2(instructions) {
        // SAFETY: the processor has these instructions.
        return unsafe { x86::product::scores(queries, keys, size, scores) };
    }
    let _ = instructions;
    for (query, out) in queries.chunks_exact(size).zip(scores.as_chunks_mut::<PAGE>().0) {
        *out = [0.0; PAGE];
        for (x, keys) in query.iter().zip(keys.as_chunks::<PAGE>().0) {
            for (out, key) in out.iter_mut().zip(keys) {
                *out = multiply_add(*x, *key, *out, FUSED);
            }
        }
    }
}

/// `mixed[row] = mixed[row] · fade[row] + shares[row] · values`; `mixed` is `[rows, stride]`, `values` `[count, stride]`.
pub(super) fn mix(instructions: InstructionSet, shares: Shares<'_>, values: &[f32], mixed: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2(instructions) {
        // SAFETY: the processor has these instructions.
        return unsafe { x86::product::mix(shares, values, mixed) };
    }
    let _ = instructions;
    let Shares { shares, count, fade, stride } = shares;
    let rows = shares.as_chunks::<PAGE>().0.iter().zip(fade).zip(mixed.chunks_exact_mut(stride));
    for ((shares, fade), mixed) in rows {
        mixed.iter_mut().for_each(|x| *x *= fade);
        for (share, values) in shares[..count].iter().zip(values.chunks_exact(stride)) {
            for (out, value) in mixed.iter_mut().zip(values) {
                *out = multiply_add(*share, *value, *out, FUSED);
            }
        }
    }
}
