use crate::kernels::InstructionSet;

/// Calls `work`, compiled for the processor's vectors if `instructions` has them; it learns whether a product and a sum are one
/// instruction. What it calls has to be inlined into it.
#[inline(always)]
pub(in crate::kernels) fn vectorize<R>(instructions: InstructionSet, work: impl FnOnce(bool) -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if has_avx2(instructions) {
        // SAFETY: the processor has these instructions.
        return unsafe { with_avx2(work) };
    }
    let _ = instructions;
    work(FUSED)
}

/// Whether a product and a sum are one instruction on every processor this is compiled for.
pub(in crate::kernels) const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

/// Whether 256-bit vectors, fused multiply-add and half-precision conversion are asked for and there.
#[cfg(target_arch = "x86_64")]
pub(in crate::kernels) fn has_avx2(instructions: InstructionSet) -> bool {
    instructions >= InstructionSet::Avx2
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn with_avx2<R>(work: impl FnOnce(bool) -> R) -> R {
    work(true)
}

/// `a · b + c`, with one rounding if `fused`.
#[inline(always)]
pub(in crate::kernels) fn multiply_add(a: f32, b: f32, c: f32, fused: bool) -> f32 {
    if fused { a.mul_add(b, c) } else { a * b + c }
}
