//! 512-bit vectors: a register is a panel's sixteen rows.
use std::arch::x86_64::*;

use super::dot::{Lanes, pair};
use super::layout::{Group, ROWS};

/// The proof that the processor has AVX-512 with bytes (BW) and 8-bit dot products (VNNI).
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni");
        found.then_some(Self(()))
    }
}

/// Calls an instruction.
macro_rules! call {
    ($call:expr) => {
        // SAFETY: an `Avx512` is made only where the processor has the instructions, and references are to as many bytes as
        // are read or written.
        unsafe { $call }
    };
}

impl Avx512 {
    /// Whole numbers as floating-point ones.
    #[inline(always)]
    pub(super) fn floats(self, numbers: __m512i) -> __m512 {
        call!(_mm512_cvtepi32_ps(numbers))
    }

    #[inline(always)]
    pub(super) fn multiply(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_mul_ps(a, b))
    }
}

impl Lanes for Avx512 {
    const REGISTERS: usize = 32;
    const NARROW: bool = false;

    type Sums = __m512i;
    type Whole = __m512;
    type Codes = __m512i;
    type Floats = __m512;

    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn inner<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        call!(inner(work))
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        call!(_mm_prefetch::<_MM_HINT_T0>(address.cast()));
    }

    #[inline(always)]
    fn load(self, group: &Group) -> __m512i {
        call!(_mm512_loadu_si512(group.as_ptr().cast()))
    }

    #[inline(always)]
    fn splat(self, lane: u32) -> __m512i {
        call!(_mm512_set1_epi32(lane as i32))
    }

    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        call!(_mm512_and_si512(a, b))
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        call!(_mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        call!(_mm512_or_si512(a, b))
    }

    #[inline(always)]
    fn shift(self, codes: __m512i, by: i32) -> __m512i {
        let count = self.splat(by.unsigned_abs());
        if by < 0 { call!(_mm512_srlv_epi32(codes, count)) } else { call!(_mm512_sllv_epi32(codes, count)) }
    }

    #[inline(always)]
    fn look_up(self, table: &[u8; 16], places: __m512i) -> __m512i {
        call!(_mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())), places))
    }

    #[inline(always)]
    fn with_offset(self, _: i32, codes: __m512i) -> __m512i {
        codes
    }

    #[inline(always)]
    fn begin(self, offset: i32, sums: [i16; 2]) -> __m512i {
        if offset == 0 {
            return self.splat(0);
        }
        let weights = self.splat(pair([-offset as i16; 2]));
        call!(_mm512_dpwssd_epi32(self.splat(0), weights, self.splat(pair(sums))))
    }

    #[inline(always)]
    fn dot(self, _: i32, sum: __m512i, weights: __m512i, input: __m512i) -> __m512i {
        call!(_mm512_dpbusd_epi32(sum, weights, input))
    }

    #[inline(always)]
    fn widen(self, whole: Option<__m512>, sums: __m512i, steps: __m512) -> __m512 {
        match whole {
            None => self.multiply(self.floats(sums), steps),
            Some(whole) => self.multiply_add(self.floats(sums), steps, whole),
        }
    }

    #[inline(always)]
    fn whole_floats(self, whole: __m512) -> __m512 {
        whole
    }

    #[inline(always)]
    fn steps(self, steps: &[u8; ROWS]) -> __m512 {
        self.bytes(steps)
    }

    #[inline(always)]
    fn signed_steps(self, steps: &[i8; ROWS]) -> __m512 {
        self.floats(call!(_mm512_cvtepi8_epi32(_mm_loadu_si128(steps.as_ptr().cast()))))
    }

    #[inline(always)]
    fn reinterpret(self, bits: __m512i) -> __m512 {
        call!(_mm512_castsi512_ps(bits))
    }

    #[inline(always)]
    fn load_floats(self, numbers: &[f32; ROWS]) -> __m512 {
        call!(_mm512_loadu_ps(numbers.as_ptr()))
    }

    #[inline(always)]
    fn halves(self, bits: &[u16; ROWS]) -> __m512 {
        call!(_mm512_cvtph_ps(_mm256_loadu_si256(bits.as_ptr().cast())))
    }

    #[inline(always)]
    fn bytes(self, numbers: &[u8; ROWS]) -> __m512 {
        self.floats(call!(_mm512_cvtepu8_epi32(_mm_loadu_si128(numbers.as_ptr().cast()))))
    }

    #[inline(always)]
    fn zero(self) -> __m512 {
        call!(_mm512_setzero_ps())
    }

    #[inline(always)]
    fn splat_float(self, number: f32) -> __m512 {
        call!(_mm512_set1_ps(number))
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        call!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn numbers(self, floats: __m512) -> [f32; ROWS] {
        let mut numbers = [0.0; ROWS];
        call!(_mm512_storeu_ps(numbers.as_mut_ptr(), floats));
        numbers
    }
}
