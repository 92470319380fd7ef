//! 128-bit vectors with 8-bit dot products on 64-bit ARM: four registers are a panel's sixteen rows.
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use super::dot::Lanes;
use super::layout::{Group, ROWS};

/// The proof that the processor has the dot products.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    pub(crate) fn new() -> Option<Self> {
        is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }
}

/// Calls an instruction.
macro_rules! call {
    ($call:expr) => {
        // SAFETY: a `Neon` is made only where the processor has the instructions, and references are to as many bytes as are
        // read or written.
        unsafe { $call }
    };
}

/// Calls an instruction for each four rows.
macro_rules! all {
    ($name:ident($($operand:expr),*)) => {
        [
            call!($name($($operand[0]),*)),
            call!($name($($operand[1]),*)),
            call!($name($($operand[2]),*)),
            call!($name($($operand[3]),*)),
        ]
    };
}

type Codes = [uint32x4_t; 4];
type Floats = [float32x4_t; 4];

impl Lanes for Neon {
    const REGISTERS: usize = 8;

    type Codes = Codes;
    type Floats = Floats;

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
        // SAFETY: memory that is not there is not fetched.
        unsafe { asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags)) };
    }

    #[inline(always)]
    fn load(self, group: &Group) -> Codes {
        [
            call!(vld1q_u32(group[0..4].as_ptr())),
            call!(vld1q_u32(group[4..8].as_ptr())),
            call!(vld1q_u32(group[8..12].as_ptr())),
            call!(vld1q_u32(group[12..16].as_ptr())),
        ]
    }

    #[inline(always)]
    fn splat(self, lane: u32) -> Codes {
        [call!(vdupq_n_u32(lane)); 4]
    }

    #[inline(always)]
    fn and(self, a: Codes, b: Codes) -> Codes {
        all!(vandq_u32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: Codes, b: Codes) -> Codes {
        all!(veorq_u32(a, b))
    }

    #[inline(always)]
    fn or(self, a: Codes, b: Codes) -> Codes {
        all!(vorrq_u32(a, b))
    }

    #[inline(always)]
    fn shift(self, codes: Codes, by: i32) -> Codes {
        let by = [call!(vdupq_n_s32(by)); 4];
        all!(vshlq_u32(codes, by))
    }

    #[inline(always)]
    fn look_up(self, table: &[u8; 16], places: Codes) -> Codes {
        let table = call!(vld1q_u8(table.as_ptr()));
        let (tables, places) = ([table; 4], all!(vreinterpretq_u8_u32(places)));
        let bytes = all!(vqtbl1q_u8(tables, places));
        all!(vreinterpretq_u32_u8(bytes))
    }

    #[inline(always)]
    fn with_offset(self, codes: Codes, offset: i32) -> Codes {
        if offset == 128 { self.xor(codes, self.splat(0x8080_8080)) } else { codes }
    }

    #[inline(always)]
    fn offset(self, offset: i32, which: [bool; 2], totals: [i16; 2]) -> Codes {
        if offset == 128 {
            return self.splat(0);
        }
        let total: i32 = (0..2).map(|half| i32::from(which[half]) * i32::from(totals[half])).sum();
        self.splat((-offset * total) as u32)
    }

    #[inline(always)]
    fn dot(self, sum: Codes, weights: Codes, input: Codes) -> Codes {
        all!(dot_products(sum, weights, input))
    }

    #[inline(always)]
    fn floats(self, numbers: Codes) -> Floats {
        let numbers = all!(vreinterpretq_s32_u32(numbers));
        all!(vcvtq_f32_s32(numbers))
    }

    #[inline(always)]
    fn reinterpret(self, bits: Codes) -> Floats {
        all!(vreinterpretq_f32_u32(bits))
    }

    #[inline(always)]
    fn load_floats(self, numbers: &[f32; ROWS]) -> Floats {
        [
            call!(vld1q_f32(numbers[0..4].as_ptr())),
            call!(vld1q_f32(numbers[4..8].as_ptr())),
            call!(vld1q_f32(numbers[8..12].as_ptr())),
            call!(vld1q_f32(numbers[12..16].as_ptr())),
        ]
    }

    #[inline(always)]
    fn halves(self, bits: &[u16; ROWS]) -> Floats {
        [
            call!(widened_halves(vld1_u16(bits[0..4].as_ptr()))),
            call!(widened_halves(vld1_u16(bits[4..8].as_ptr()))),
            call!(widened_halves(vld1_u16(bits[8..12].as_ptr()))),
            call!(widened_halves(vld1_u16(bits[12..16].as_ptr()))),
        ]
    }

    #[inline(always)]
    fn bytes(self, numbers: &[u8; ROWS]) -> Floats {
        let numbers = call!(vld1q_u8(numbers.as_ptr()));
        let (a, b) = call!((vmovl_u8(vget_low_u8(numbers)), vmovl_high_u8(numbers)));
        let (a, b) = call!((
            [vmovl_u16(vget_low_u16(a)), vmovl_high_u16(a)],
            [vmovl_u16(vget_low_u16(b)), vmovl_high_u16(b)]
        ));
        self.floats([a[0], a[1], b[0], b[1]])
    }

    #[inline(always)]
    fn signed_bytes(self, numbers: &[i8; ROWS]) -> Floats {
        let numbers = call!(vld1q_s8(numbers.as_ptr()));
        let (a, b) = call!((vmovl_s8(vget_low_s8(numbers)), vmovl_high_s8(numbers)));
        let numbers = call!([
            vmovl_s16(vget_low_s16(a)),
            vmovl_high_s16(a),
            vmovl_s16(vget_low_s16(b)),
            vmovl_high_s16(b)
        ]);
        all!(vcvtq_f32_s32(numbers))
    }

    #[inline(always)]
    fn zero(self) -> Floats {
        self.splat_float(0.0)
    }

    #[inline(always)]
    fn splat_float(self, number: f32) -> Floats {
        [call!(vdupq_n_f32(number)); 4]
    }

    #[inline(always)]
    fn multiply(self, a: Floats, b: Floats) -> Floats {
        all!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn multiply_add(self, a: Floats, b: Floats, c: Floats) -> Floats {
        all!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn numbers(self, floats: Floats) -> [f32; ROWS] {
        let mut numbers = [0.0; ROWS];
        for (numbers, floats) in numbers.as_chunks_mut::<4>().0.iter_mut().zip(floats) {
            call!(vst1q_f32(numbers.as_mut_ptr(), floats));
        }
        numbers
    }
}

/// `SDOT`, for which the standard library's function is not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot_products(mut sum: uint32x4_t, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
    // SAFETY: the instruction reads and writes registers only, and the function's features have it.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// `FCVTL`, from 16-bit floats, which are no type of the stable language yet.
#[inline]
#[target_feature(enable = "neon")]
fn widened_halves(bits: uint16x4_t) -> float32x4_t {
    let widened: float32x4_t;
    // SAFETY: the instruction reads and writes registers only, and the function's features have it.
    unsafe {
        asm!(
            "fcvtl {widened:v}.4s, {bits:v}.4h",
            widened = lateout(vreg) widened,
            bits = in(vreg) bits,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    widened
}
