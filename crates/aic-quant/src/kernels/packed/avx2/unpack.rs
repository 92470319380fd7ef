//! From planes of codes to bytes, from scales of all kinds to 32-bit floats.
use std::arch::x86_64::{
    __m256, __m256i, _mm_loadl_epi64, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtph_ps, _mm256_loadu_si256,
    _mm256_mul_ps, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_ps, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srli_epi16, _mm256_storeu_si256,
};

use super::super::activations::COLUMNS;
use super::super::layout::{
    Coded, Group, Iq4Nl, Iq4Xs, Mxfp4, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0, ROWS,
};
use super::coded::store_numbers;
use crate::codec::nonlinear::{FP4_LEVELS, LEVELS, half_of_power};

/// Up to 256 columns of a panel.
#[repr(C, align(64))]
pub(super) struct Unpacked {
    pub(super) codes: [Group; COLUMNS / 4],
    /// For each 32 columns, or each 16.
    pub(super) scales: [[f32; ROWS]; COLUMNS / 16],
    pub(super) minima: [[f32; ROWS]; COLUMNS / 16],
}

impl Unpacked {
    pub(super) fn new() -> Self {
        Self { codes: [[0; ROWS]; 64], scales: [[0.0; ROWS]; 16], minima: [[0.0; ROWS]; 16] }
    }
}

/// What the product of a type needs to know.
pub(super) trait Unpack: Coded {
    /// Scales in 32 columns.
    const PARTS: usize = 1;
    /// Groups whose products can be summed in 16 bits; 0 for codes with a sign.
    const RUN: usize;
    /// Whether numbers have a minimum, or codes an offset.
    const MINIMA: bool = true;

    /// Unpacks the blocks of up to 256 columns.
    ///
    /// # Safety
    /// The processor has AVX2, FMA and F16C.
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked);

    /// The codes of 32 columns.
    #[inline(always)]
    fn codes<'a>(_: &'a [Self], unpacked: &'a Unpacked, unit: usize) -> &'a [Group; 8] {
        &unpacked.codes.as_chunks().0[unit]
    }
}

impl Unpack for Q8_0 {
    const RUN: usize = 0;
    const MINIMA: bool = false;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        for (block, scales) in blocks.iter().zip(&mut out.scales) {
            store_numbers(scales, halves(&block.scales));
        }
    }

    /// They are bytes already.
    #[inline(always)]
    fn codes<'a>(blocks: &'a [Self], _: &'a Unpacked, unit: usize) -> &'a [Group; 8] {
        &blocks[unit].codes
    }
}

impl Unpack for Q4_0 {
    const RUN: usize = 8;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        for (i, block) in blocks.iter().enumerate() {
            let scales = halves(&block.scales);
            store_numbers(&mut out.scales[i], scales);
            store_numbers(&mut out.minima[i], times(scales, -8.0));
            nibbles(&block.nibbles, &mut out.codes.as_chunks_mut().0[i]);
        }
    }
}

impl Unpack for Q4_1 {
    const RUN: usize = 8;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        for (i, block) in blocks.iter().enumerate() {
            store_numbers(&mut out.scales[i], halves(&block.scales));
            store_numbers(&mut out.minima[i], halves(&block.minima));
            nibbles(&block.nibbles, &mut out.codes.as_chunks_mut().0[i]);
        }
    }
}

impl Unpack for Q5_0 {
    const RUN: usize = 4;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        for (i, block) in blocks.iter().enumerate() {
            let scales = halves(&block.scales);
            store_numbers(&mut out.scales[i], scales);
            store_numbers(&mut out.minima[i], times(scales, -16.0));
            five_bits(&block.nibbles, &block.bits, &mut out.codes.as_chunks_mut().0[i]);
        }
    }
}

impl Unpack for Q5_1 {
    const RUN: usize = 4;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        for (i, block) in blocks.iter().enumerate() {
            store_numbers(&mut out.scales[i], halves(&block.scales));
            store_numbers(&mut out.minima[i], halves(&block.minima));
            five_bits(&block.nibbles, &block.bits, &mut out.codes.as_chunks_mut().0[i]);
        }
    }
}

impl Unpack for Iq4Nl {
    const RUN: usize = 0;
    const MINIMA: bool = false;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        for (i, block) in blocks.iter().enumerate() {
            store_numbers(&mut out.scales[i], halves(&block.scales));
            levels(&LEVELS, &block.nibbles, &mut out.codes.as_chunks_mut().0[i]);
        }
    }
}

impl Unpack for Mxfp4 {
    const RUN: usize = 0;
    const MINIMA: bool = false;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        for (i, block) in blocks.iter().enumerate() {
            out.scales[i] = block.exponents.map(half_of_power);
            levels(&FP4_LEVELS, &block.nibbles, &mut out.codes.as_chunks_mut().0[i]);
        }
    }
}

impl Unpack for Q2K {
    const PARTS: usize = 2;
    const RUN: usize = 4;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        let block = &blocks[0];
        let (scale, minimum) = (halves(&block.scales), times(halves(&block.minima), -1.0));
        for (i, steps) in block.steps.iter().enumerate() {
            store_numbers(&mut out.scales[i], products(scale, unsigned(&steps.map(|step| step & 15))));
            store_numbers(&mut out.minima[i], products(minimum, unsigned(&steps.map(|step| step >> 4))));
            let codes: &mut [Group; 4] = &mut out.codes.as_chunks_mut().0[i];
            for (codes, crumbs) in codes.iter_mut().zip(crumbs(&block.crumbs[i])) {
                store(codes, crumbs);
            }
        }
    }
}

impl Unpack for Q3K {
    const PARTS: usize = 2;
    const RUN: usize = 4;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        let block = &blocks[0];
        let scale = halves(&block.scales);
        for (i, steps) in block.steps.iter().enumerate() {
            let scales = products(scale, signed(steps));
            store_numbers(&mut out.scales[i], scales);
            store_numbers(&mut out.minima[i], times(scales, -4.0));
        }
        for (i, codes) in out.codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let [low, high] = [crumbs(&block.crumbs[2 * i]), crumbs(&block.crumbs[2 * i + 1])];
            let bits = bits(&block.bits[i]);
            for (p, codes) in codes.iter_mut().enumerate() {
                let crumbs = if p < 4 { low[p] } else { high[p - 4] };
                // Bit 4 becomes bit 2.
                store(codes, or(crumbs, bits[p].map(|bits| _mm256_srli_epi16::<2>(bits))));
            }
        }
    }
}

impl Unpack for Q4K {
    const RUN: usize = 8;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        let block = &blocks[0];
        let (scale, minimum) = (halves(&block.scales), times(halves(&block.minima), -1.0));
        for i in 0..8 {
            store_numbers(&mut out.scales[i], products(scale, unsigned(&block.scale_steps[i])));
            store_numbers(&mut out.minima[i], products(minimum, unsigned(&block.minimum_steps[i])));
            nibbles(&block.nibbles[i], &mut out.codes.as_chunks_mut().0[i]);
        }
    }
}

impl Unpack for Q5K {
    const RUN: usize = 4;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        let block = &blocks[0];
        let (scale, minimum) = (halves(&block.scales), times(halves(&block.minima), -1.0));
        for i in 0..8 {
            store_numbers(&mut out.scales[i], products(scale, unsigned(&block.scale_steps[i])));
            store_numbers(&mut out.minima[i], products(minimum, unsigned(&block.minimum_steps[i])));
            five_bits(&block.nibbles[i], &block.bits[i], &mut out.codes.as_chunks_mut().0[i]);
        }
    }
}

impl Unpack for Q6K {
    const PARTS: usize = 2;
    const RUN: usize = 2;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        let block = &blocks[0];
        let scale = halves(&block.scales);
        for (i, steps) in block.steps.iter().enumerate() {
            let scales = products(scale, signed(steps));
            store_numbers(&mut out.scales[i], scales);
            store_numbers(&mut out.minima[i], times(scales, -32.0));
        }
        for (i, codes) in out.codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let [low, high] = [crumbs(&block.crumbs[2 * i]), crumbs(&block.crumbs[2 * i + 1])];
            for (p, nibbles) in block.nibbles[i].iter().enumerate() {
                let nibbles = load(nibbles);
                let up = |crumbs: [__m256i; 2]| crumbs.map(|crumbs| _mm256_slli_epi16::<4>(crumbs));
                store(&mut codes[p], or(nibbles.map(|nibbles| lower(nibbles)), up(low[p])));
                store(&mut codes[p + 4], or(nibbles.map(|nibbles| upper(nibbles)), up(high[p])));
            }
        }
    }
}

impl Unpack for Iq4Xs {
    const RUN: usize = 0;
    const MINIMA: bool = false;

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(blocks: &[Self], out: &mut Unpacked) {
        let block = &blocks[0];
        let scale = halves(&block.scales);
        for i in 0..8 {
            store_numbers(&mut out.scales[i], products(scale, signed(&block.steps[i])));
            levels(&LEVELS, &block.nibbles[i], &mut out.codes.as_chunks_mut().0[i]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(nibbles: &[Group; 4], out: &mut [Group; 8]) {
    for (p, nibbles) in nibbles.iter().enumerate() {
        let nibbles = load(nibbles);
        store(&mut out[p], nibbles.map(|nibbles| lower(nibbles)));
        store(&mut out[p + 4], nibbles.map(|nibbles| upper(nibbles)));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn five_bits(nibbles: &[Group; 4], fifth: &Group, out: &mut [Group; 8]) {
    let fifth = bits(fifth);
    for (p, nibbles) in nibbles.iter().enumerate() {
        let nibbles = load(nibbles);
        store(&mut out[p], or(nibbles.map(|nibbles| lower(nibbles)), fifth[p]));
        store(&mut out[p + 4], or(nibbles.map(|nibbles| upper(nibbles)), fifth[p + 4]));
    }
}

/// Nibbles as whole numbers with a sign.
#[inline]
#[target_feature(enable = "avx2")]
fn levels(levels: &[f32; 16], nibbles: &[Group; 4], out: &mut [Group; 8]) {
    let table = levels.map(|level| level as i8);
    // SAFETY: there are 16 bytes.
    let table = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) });
    for (p, nibbles) in nibbles.iter().enumerate() {
        let nibbles = load(nibbles);
        store(&mut out[p], nibbles.map(|nibbles| _mm256_shuffle_epi8(table, lower(nibbles))));
        store(&mut out[p + 4], nibbles.map(|nibbles| _mm256_shuffle_epi8(table, upper(nibbles))));
    }
}

/// The bits of eight groups, each moved to bit 4.
#[inline]
#[target_feature(enable = "avx2")]
fn bits(bits: &Group) -> [[__m256i; 2]; 8] {
    let mut out = [[_mm256_setzero_si256(); 2]; 8];
    for (h, bits) in load(bits).into_iter().enumerate() {
        // Whole bytes move by four, which the mask makes of 16-bit shifts; then bit by bit.
        let (mut low, mut high) = (_mm256_slli_epi16::<4>(bits), bits);
        for p in 0..4 {
            out[p][h] = _mm256_and_si256(low, _mm256_set1_epi8(16));
            out[p + 4][h] = _mm256_and_si256(high, _mm256_set1_epi8(16));
            (low, high) = (_mm256_srli_epi16::<1>(low), _mm256_srli_epi16::<1>(high));
        }
    }
    out
}

/// The crumbs of four groups.
#[inline]
#[target_feature(enable = "avx2")]
fn crumbs(crumbs: &Group) -> [[__m256i; 2]; 4] {
    let mask = |x: __m256i| _mm256_and_si256(x, _mm256_set1_epi8(3));
    let crumbs = load(crumbs);
    [
        crumbs.map(mask),
        crumbs.map(|crumbs| mask(_mm256_srli_epi16::<2>(crumbs))),
        crumbs.map(|crumbs| mask(_mm256_srli_epi16::<4>(crumbs))),
        crumbs.map(|crumbs| mask(_mm256_srli_epi16::<6>(crumbs))),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn lower(nibbles: __m256i) -> __m256i {
    _mm256_and_si256(nibbles, _mm256_set1_epi8(15))
}

#[inline]
#[target_feature(enable = "avx2")]
fn upper(nibbles: __m256i) -> __m256i {
    lower(_mm256_srli_epi16::<4>(nibbles))
}

#[inline]
#[target_feature(enable = "avx2")]
fn or(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
    [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(group: &Group) -> [__m256i; 2] {
    let start = group.as_ptr().cast::<__m256i>();
    // SAFETY: a group is 64 bytes.
    unsafe { [_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))] }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(group: &mut Group, codes: [__m256i; 2]) {
    let start = group.as_mut_ptr().cast::<__m256i>();
    // SAFETY: a group is 64 bytes.
    unsafe {
        _mm256_storeu_si256(start, codes[0]);
        _mm256_storeu_si256(start.add(1), codes[1]);
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn halves(halves: &[u16; ROWS]) -> [__m256; 2] {
    // SAFETY: there are 16 numbers of 16 bits.
    let [low, high] =
        unsafe { [_mm_loadu_si128(halves.as_ptr().cast()), _mm_loadu_si128(halves.as_ptr().add(8).cast())] };
    [_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn unsigned(steps: &[u8; ROWS]) -> [__m256; 2] {
    // SAFETY: there are 16 bytes.
    let [low, high] =
        unsafe { [_mm_loadl_epi64(steps.as_ptr().cast()), _mm_loadl_epi64(steps.as_ptr().add(8).cast())] };
    [_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(low)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(high))]
}

#[inline]
#[target_feature(enable = "avx2")]
fn signed(steps: &[i8; ROWS]) -> [__m256; 2] {
    // SAFETY: there are 16 bytes.
    let [low, high] =
        unsafe { [_mm_loadl_epi64(steps.as_ptr().cast()), _mm_loadl_epi64(steps.as_ptr().add(8).cast())] };
    [_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high))]
}

#[inline]
#[target_feature(enable = "avx2")]
fn products(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
    [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn times(numbers: [__m256; 2], factor: f32) -> [__m256; 2] {
    products(numbers, [_mm256_set1_ps(factor); 2])
}
