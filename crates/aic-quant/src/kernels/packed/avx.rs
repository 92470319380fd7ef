//! 256-bit vectors: two registers are a panel's sixteen rows.
use std::arch::x86_64::*;

use super::dot::{Lanes, pair};
use super::layout::{Group, ROWS};

/// The proof that the processor has AVX2, FMA and F16C; and AVX-VNNI, which are 8-bit dot products, if so it says.
#[derive(Clone, Copy)]
pub(crate) struct Avx<const VNNI: bool>(());

impl<const VNNI: bool> Avx<VNNI> {
    pub(crate) fn new() -> Option<Self> {
        let found = (!VNNI || is_x86_feature_detected!("avxvnni"))
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }
}

/// Calls an instruction.
macro_rules! call {
    ($call:expr) => {
        // SAFETY: an `Avx` is made only where the processor has the instructions, and references are to as many bytes as
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

impl<const VNNI: bool> Avx<VNNI> {
    #[inline(always)]
    fn whole_bytes(self, numbers: &[u8; ROWS]) -> [__m256i; 2] {
        [
            call!(_mm256_cvtepu8_epi32(_mm_loadu_si64(numbers[..8].as_ptr()))),
            call!(_mm256_cvtepu8_epi32(_mm_loadu_si64(numbers[8..].as_ptr()))),
        ]
    }

    /// Bytes at their [places](places).
    #[inline(always)]
    fn bytes_to(self, places: &[[u8; 32]; 2], numbers: &[u8; ROWS]) -> [__m256i; 2] {
        let both = call!(_mm256_broadcastsi128_si256(_mm_loadu_si128(numbers.as_ptr().cast())));
        [
            call!(_mm256_shuffle_epi8(both, _mm256_loadu_si256(places[0].as_ptr().cast()))),
            call!(_mm256_shuffle_epi8(both, _mm256_loadu_si256(places[1].as_ptr().cast()))),
        ]
    }
}

/// No byte, but zero.
const NONE: u8 = 0x80;

/// Where the bytes of two vectors come from, of sixteen in each half: those of both 16-bit numbers of a lane are the byte of its
/// row, moved by `bytes`.
const fn places(bytes: [u8; 2]) -> [[u8; 32]; 2] {
    let (mut places, mut i) = ([[0; 32]; 2], 0);
    while i < 64 {
        places[i / 32][i % 32] = (i / 4) as u8 | bytes[i % 2];
        i += 1;
    }
    places
}

impl<const VNNI: bool> Lanes for Avx<VNNI> {
    const REGISTERS: usize = 8;
    const NARROW: bool = !VNNI;

    /// Two sums of 16 bits in a lane, or one of 32.
    type Sums = [__m256i; 2];
    /// Both halves of a lane of 16 bits, or all of 32.
    type Whole = [__m256i; 2];
    type Codes = [__m256i; 2];
    type Floats = [__m256; 2];

    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn without<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn with<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        if VNNI { call!(with(work)) } else { call!(without(work)) }
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
    fn with_offset(self, offset: i32, codes: [__m256i; 2]) -> [__m256i; 2] {
        if signed::<VNNI>(offset) { self.xor(codes, self.splat(0x8080_8080)) } else { codes }
    }

    #[inline(always)]
    fn begin(self, offset: i32, sums: [i16; 2]) -> [__m256i; 2] {
        if offset == 0 || signed::<VNNI>(offset) {
            return self.splat(0);
        }
        let (sums, weights) = (self.splat(pair(sums))[0], self.splat(pair([-offset as i16; 2]))[0]);
        // The same in all lanes.
        [if VNNI {
            call!(_mm256_madd_epi16(weights, sums))
        } else {
            call!(_mm256_mullo_epi16(weights, sums))
        }; 2]
    }

    #[inline(always)]
    fn dot(
        self,
        offset: i32,
        sums: [__m256i; 2],
        weights: [__m256i; 2],
        input: [__m256i; 2],
    ) -> [__m256i; 2] {
        if VNNI {
            return both!(_mm256_dpbusd_avx_epi32(sums, weights, input));
        }
        let [weights, input] = if signed::<VNNI>(offset) {
            [both!(_mm256_abs_epi8(weights)), both!(_mm256_sign_epi8(input, weights))]
        } else {
            [weights, input]
        };
        let products = both!(_mm256_maddubs_epi16(weights, input));
        both!(_mm256_add_epi16(sums, products))
    }

    #[inline(always)]
    fn steps(self, steps: &[u8; ROWS]) -> [__m256i; 2] {
        if VNNI {
            return self.whole_bytes(steps);
        }
        self.bytes_to(&const { places([0, NONE]) }, steps)
    }

    #[inline(always)]
    fn signed_steps(self, steps: &[i8; ROWS]) -> [__m256i; 2] {
        if VNNI {
            return [
                call!(_mm256_cvtepi8_epi32(_mm_loadu_si64(steps[..8].as_ptr().cast()))),
                call!(_mm256_cvtepi8_epi32(_mm_loadu_si64(steps[8..].as_ptr().cast()))),
            ];
        }
        let upper = self.bytes_to(&const { places([NONE, 0]) }, &steps.map(|step| step as u8));
        [call!(_mm256_srai_epi16::<8>(upper[0])), call!(_mm256_srai_epi16::<8>(upper[1]))]
    }

    #[inline(always)]
    fn widen(self, whole: Option<[__m256i; 2]>, sums: [__m256i; 2], steps: [__m256i; 2]) -> [__m256i; 2] {
        let products =
            if VNNI { both!(_mm256_mullo_epi32(sums, steps)) } else { both!(_mm256_madd_epi16(sums, steps)) };
        match whole {
            None => products,
            Some(whole) => both!(_mm256_add_epi32(whole, products)),
        }
    }

    #[inline(always)]
    fn whole_floats(self, whole: [__m256i; 2]) -> [__m256; 2] {
        both!(_mm256_cvtepi32_ps(whole))
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
        self.whole_floats(self.whole_bytes(numbers))
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

/// Whether codes that are so much too large are multiplied with their signs: sums of two products of theirs do not fit 16 bits
/// without.
const fn signed<const VNNI: bool>(offset: i32) -> bool {
    !VNNI && offset == 128
}
