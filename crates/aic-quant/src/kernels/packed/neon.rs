//! 128-bit vectors of 64-bit ARM: four registers are a panel's sixteen rows.
use std::arch::aarch64::*;
use std::arch::asm;
use std::arch::is_aarch64_feature_detected;

use super::dot::Lanes;
use super::layout::{Group, ROWS};
use crate::kernels::vectors::arm::four;

/// The proof that the processor has vectors with 8-bit dot products.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    pub(crate) fn new() -> Option<Self> {
        (is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("dotprod")).then_some(Self(()))
    }
}

/// Calls an instruction.
macro_rules! call {
    ($call:expr) => {
        // SAFETY: a `Neon` is made only where the processor has the instructions, and references are to as many bytes as
        // are read or written.
        unsafe { $call }
    };
}

/// Calls an instruction for each quarter of the rows.
macro_rules! four {
    ($name:ident($($operand:expr),*)) => {
        [
            call!($name($($operand[0]),*)),
            call!($name($($operand[1]),*)),
            call!($name($($operand[2]),*)),
            call!($name($($operand[3]),*)),
        ]
    };
}

/// The quarters of sixteen numbers.
fn quarters<T>(numbers: &[T; ROWS]) -> [*const T; 4] {
    let start = numbers.as_ptr();
    [start, start.wrapping_add(4), start.wrapping_add(8), start.wrapping_add(12)]
}

/// `sums`, and in each lane the products of four bytes of `a` with four of `b`, all with signs.
///
/// # Safety
/// The processor has dot products.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn dot(sums: int32x4_t, a: uint32x4_t, b: uint32x4_t) -> int32x4_t {
    let mut sums = sums;
    // SAFETY: the instruction touches registers only.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// Bytes as whole numbers of 32 bits, in order.
#[inline]
#[target_feature(enable = "neon")]
fn widened(low: uint16x8_t, high: uint16x8_t) -> [uint32x4_t; 4] {
    [vmovl_u16(vget_low_u16(low)), vmovl_high_u16(low), vmovl_u16(vget_low_u16(high)), vmovl_high_u16(high)]
}

impl Lanes for Neon {
    /// 32, of which four make up sixteen lanes.
    const REGISTERS: usize = 8;
    const NARROW: bool = false;

    type Sums = [int32x4_t; 4];
    type Whole = [int32x4_t; 4];
    type Codes = [uint32x4_t; 4];
    type Floats = [float32x4_t; 4];

    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "neon,dotprod")]
        fn inner<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        call!(inner(work))
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        // SAFETY: a hint, which never fails.
        unsafe { asm!("prfm pldl1keep, [{}]", in(reg) address, options(readonly, nostack, preserves_flags)) };
    }

    #[inline(always)]
    fn load(self, group: &Group) -> [uint32x4_t; 4] {
        let [a, b, c, d] = quarters(group);
        [call!(vld1q_u32(a)), call!(vld1q_u32(b)), call!(vld1q_u32(c)), call!(vld1q_u32(d))]
    }

    #[inline(always)]
    fn splat(self, lane: u32) -> [uint32x4_t; 4] {
        [call!(vdupq_n_u32(lane)); 4]
    }

    #[inline(always)]
    fn and(self, a: [uint32x4_t; 4], b: [uint32x4_t; 4]) -> [uint32x4_t; 4] {
        four!(vandq_u32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: [uint32x4_t; 4], b: [uint32x4_t; 4]) -> [uint32x4_t; 4] {
        four!(veorq_u32(a, b))
    }

    #[inline(always)]
    fn or(self, a: [uint32x4_t; 4], b: [uint32x4_t; 4]) -> [uint32x4_t; 4] {
        four!(vorrq_u32(a, b))
    }

    #[inline(always)]
    fn shift(self, codes: [uint32x4_t; 4], by: i32) -> [uint32x4_t; 4] {
        // To the right if negative.
        let by = [call!(vdupq_n_s32(by)); 4];
        four!(vshlq_u32(codes, by))
    }

    #[inline(always)]
    fn look_up(self, table: &[u8; 16], places: [uint32x4_t; 4]) -> [uint32x4_t; 4] {
        let table = call!(vld1q_u8(table.as_ptr()));
        let mut found = places;
        for found in &mut found {
            *found = call!(vreinterpretq_u32_u8(vqtbl1q_u8(table, vreinterpretq_u8_u32(*found))));
        }
        found
    }

    #[inline(always)]
    fn with_offset(self, offset: i32, codes: [uint32x4_t; 4]) -> [uint32x4_t; 4] {
        if offset == 128 { self.xor(codes, self.splat(0x8080_8080)) } else { codes }
    }

    #[inline(always)]
    fn begin(self, offset: i32, pair: [i16; 2]) -> [int32x4_t; 4] {
        let total = if offset == 128 { 0 } else { -offset * (i32::from(pair[0]) + i32::from(pair[1])) };
        [call!(vdupq_n_s32(total)); 4]
    }

    #[inline(always)]
    fn dot(
        self,
        _: i32,
        sums: [int32x4_t; 4],
        weights: [uint32x4_t; 4],
        input: [uint32x4_t; 4],
    ) -> [int32x4_t; 4] {
        four!(dot(sums, weights, input))
    }

    #[inline(always)]
    fn steps(self, steps: &[u8; ROWS]) -> [int32x4_t; 4] {
        let steps = call!(vld1q_u8(steps.as_ptr()));
        let steps = call!(widened(vmovl_u8(vget_low_u8(steps)), vmovl_high_u8(steps)));
        four!(vreinterpretq_s32_u32(steps))
    }

    #[inline(always)]
    fn signed_steps(self, steps: &[i8; ROWS]) -> [int32x4_t; 4] {
        let steps = call!(vld1q_s8(steps.as_ptr()));
        let (low, high) = (call!(vmovl_s8(vget_low_s8(steps))), call!(vmovl_high_s8(steps)));
        [
            call!(vmovl_s16(vget_low_s16(low))),
            call!(vmovl_high_s16(low)),
            call!(vmovl_s16(vget_low_s16(high))),
            call!(vmovl_high_s16(high)),
        ]
    }

    #[inline(always)]
    fn widen(
        self,
        whole: Option<[int32x4_t; 4]>,
        sums: [int32x4_t; 4],
        steps: [int32x4_t; 4],
    ) -> [int32x4_t; 4] {
        match whole {
            None => four!(vmulq_s32(sums, steps)),
            Some(whole) => four!(vmlaq_s32(whole, sums, steps)),
        }
    }

    #[inline(always)]
    fn whole_floats(self, whole: [int32x4_t; 4]) -> [float32x4_t; 4] {
        four!(vcvtq_f32_s32(whole))
    }

    #[inline(always)]
    fn reinterpret(self, bits: [uint32x4_t; 4]) -> [float32x4_t; 4] {
        four!(vreinterpretq_f32_u32(bits))
    }

    #[inline(always)]
    fn load_floats(self, numbers: &[f32; ROWS]) -> [float32x4_t; 4] {
        let [a, b, c, d] = quarters(numbers);
        [call!(vld1q_f32(a)), call!(vld1q_f32(b)), call!(vld1q_f32(c)), call!(vld1q_f32(d))]
    }

    #[inline(always)]
    fn halves(self, bits: &[u16; ROWS]) -> [float32x4_t; 4] {
        let [a, b, c, d] = quarters(bits);
        [call!(four(a)), call!(four(b)), call!(four(c)), call!(four(d))]
    }

    #[inline(always)]
    fn bytes(self, numbers: &[u8; ROWS]) -> [float32x4_t; 4] {
        self.whole_floats(self.steps(numbers))
    }

    #[inline(always)]
    fn zero(self) -> [float32x4_t; 4] {
        self.splat_float(0.0)
    }

    #[inline(always)]
    fn splat_float(self, number: f32) -> [float32x4_t; 4] {
        [call!(vdupq_n_f32(number)); 4]
    }

    #[inline(always)]
    fn multiply_add(self, a: [float32x4_t; 4], b: [float32x4_t; 4], c: [float32x4_t; 4]) -> [float32x4_t; 4] {
        four!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn numbers(self, floats: [float32x4_t; 4]) -> [f32; ROWS] {
        let mut numbers = [0.0; ROWS];
        for (numbers, floats) in numbers.as_chunks_mut::<4>().0.iter_mut().zip(floats) {
            call!(vst1q_f32(numbers.as_mut_ptr(), floats));
        }
        numbers
    }
}
