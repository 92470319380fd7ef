//! 256-bit vectors with 8-bit dot products: two registers are a panel's sixteen rows.
use std::arch::x86_64::*;

use super::avx512::pair;
use super::dot::Lanes;
use super::layout::{Group, ROWS};

/// The proof that the processor has AVX-VNNI, AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct AvxVnni(());

impl AvxVnni {
    pub(crate) fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avxvnni")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }
}

/// Calls an instruction.
macro_rules! call {
    ($call:expr) => {
        // SAFETY: an `AvxVnni` is made only where the processor has the instructions, and references are to as many bytes as
        // are read or written.
        unsafe { $call }
    };
}

/// Calls an instruction for both halves of the rows.
macro_rules! both {
    ($name:ident($($operand:expr),*)) => {
        [call!($name($($operand[0]),*)), call!($name($($operand[1]),*))]
    };
}

impl Lanes for AvxVnni {
    const REGISTERS: usize = 8;

    type Codes = [__m256i; 2];
    type Floats = [__m256; 2];

    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
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
    fn load(self, group: &Group) -> [__m256i; 2] {
        [
            call!(_mm256_loadu_si256(group[..8].as_ptr().cast())),
            call!(_mm256_loadu_si256(group[8..].as_ptr().cast())),
        ]
    }

    #[inline(always)]
    fn splat(self, lane: u32) -> [__m256i; 2] {
        [call!(_mm256_set1_epi32(lane as i32)); 2]
    }

    #[inline(always)]
    fn and(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        both!(_mm256_and_si256(a, b))
    }

    #[inline(always)]
    fn xor(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        both!(_mm256_xor_si256(a, b))
    }

    #[inline(always)]
    fn or(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        both!(_mm256_or_si256(a, b))
    }

    #[inline(always)]
    fn shift(self, codes: [__m256i; 2], by: i32) -> [__m256i; 2] {
        let count = self.splat(by.unsigned_abs());
        if by < 0 { both!(_mm256_srlv_epi32(codes, count)) } else { both!(_mm256_sllv_epi32(codes, count)) }
    }

    #[inline(always)]
    fn look_up(self, table: &[u8; 16], places: [__m256i; 2]) -> [__m256i; 2] {
        let table = [call!(_mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()))); 2];
        both!(_mm256_shuffle_epi8(table, places))
    }

    #[inline(always)]
    fn with_offset(self, codes: [__m256i; 2], _: i32) -> [__m256i; 2] {
        codes
    }

    #[inline(always)]
    fn offset(self, offset: i32, which: [bool; 2], totals: [i16; 2]) -> [__m256i; 2] {
        if offset == 0 {
            return self.splat(0);
        }
        let weights = which.map(|counts| if counts { -offset as i16 } else { 0 });
        // The same in all lanes.
        [call!(_mm256_madd_epi16(self.splat(pair(weights))[0], self.splat(pair(totals))[0])); 2]
    }

    #[inline(always)]
    fn dot(self, sum: [__m256i; 2], weights: [__m256i; 2], input: [__m256i; 2]) -> [__m256i; 2] {
        both!(_mm256_dpbusd_avx_epi32(sum, weights, input))
    }

    #[inline(always)]
    fn floats(self, numbers: [__m256i; 2]) -> [__m256; 2] {
        both!(_mm256_cvtepi32_ps(numbers))
    }

    #[inline(always)]
    fn reinterpret(self, bits: [__m256i; 2]) -> [__m256; 2] {
        both!(_mm256_castsi256_ps(bits))
    }

    #[inline(always)]
    fn load_floats(self, numbers: &[f32; ROWS]) -> [__m256; 2] {
        [call!(_mm256_loadu_ps(numbers[..8].as_ptr())), call!(_mm256_loadu_ps(numbers[8..].as_ptr()))]
    }

    #[inline(always)]
    fn halves(self, bits: &[u16; ROWS]) -> [__m256; 2] {
        [
            call!(_mm256_cvtph_ps(_mm_loadu_si128(bits[..8].as_ptr().cast()))),
            call!(_mm256_cvtph_ps(_mm_loadu_si128(bits[8..].as_ptr().cast()))),
        ]
    }

    #[inline(always)]
    fn bytes(self, numbers: &[u8; ROWS]) -> [__m256; 2] {
        let halves = [
            call!(_mm256_cvtepu8_epi32(_mm_loadu_si64(numbers[..8].as_ptr()))),
            call!(_mm256_cvtepu8_epi32(_mm_loadu_si64(numbers[8..].as_ptr()))),
        ];
        self.floats(halves)
    }

    #[inline(always)]
    fn signed_bytes(self, numbers: &[i8; ROWS]) -> [__m256; 2] {
        let halves = [
            call!(_mm256_cvtepi8_epi32(_mm_loadu_si64(numbers[..8].as_ptr().cast()))),
            call!(_mm256_cvtepi8_epi32(_mm_loadu_si64(numbers[8..].as_ptr().cast()))),
        ];
        self.floats(halves)
    }

    #[inline(always)]
    fn zero(self) -> [__m256; 2] {
        [call!(_mm256_setzero_ps()); 2]
    }

    #[inline(always)]
    fn splat_float(self, number: f32) -> [__m256; 2] {
        [call!(_mm256_set1_ps(number)); 2]
    }

    #[inline(always)]
    fn multiply(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        both!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn multiply_add(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        both!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn numbers(self, floats: [__m256; 2]) -> [f32; ROWS] {
        let mut numbers = [0.0; ROWS];
        for (numbers, floats) in numbers.as_chunks_mut::<8>().0.iter_mut().zip(floats) {
            call!(_mm256_storeu_ps(numbers.as_mut_ptr(), floats));
        }
        numbers
    }
}
