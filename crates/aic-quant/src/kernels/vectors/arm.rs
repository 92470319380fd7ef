//! 16-bit floats with the vectors that every 64-bit ARM has.
use std::arch::aarch64::{float32x4_t, vld1_u16, vst1q_f32};
use std::arch::asm;

/// Makes numbers of as many of `halves` as are whole vectors; returns the rest.
pub(in crate::kernels) fn floats<'a, 'b>(
    halves: &'a [[u8; 2]],
    out: &'b mut [f32],
) -> (&'a [[u8; 2]], &'b mut [f32]) {
    let count = halves.len().min(out.len());
    let (halves, halves_left) = halves[..count].as_chunks::<4>();
    let (out, out_left) = out[..count].as_chunks_mut::<4>();
    for (halves, out) in halves.iter().zip(out) {
        // SAFETY: there are four of both, and vectors are part of every such processor.
        unsafe { vst1q_f32(out.as_mut_ptr(), four(halves.as_ptr().cast())) };
    }
    (halves_left, out_left)
}

/// Four 16-bit floats.
///
/// # Safety
/// Four numbers can be read, from any address.
#[inline]
#[target_feature(enable = "neon")]
pub(in crate::kernels) unsafe fn four(bits: *const u16) -> float32x4_t {
    // SAFETY: the caller answers for it.
    let bits = unsafe { vld1_u16(bits) };
    let floats: float32x4_t;
    // SAFETY: the instruction touches registers only.
    unsafe {
        asm!(
            "fcvtl {floats:v}.4s, {bits:v}.4h",
            floats = out(vreg) floats,
            bits = in(vreg) bits,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    floats
}
