//! Whole numbers: products of 8 bits, summed over as many columns as 16 bits hold, then multiplied by scales.
//!
//! `vpmaddubsw` takes an unsigned byte times a signed one and adds two neighbours. With codes of 4 bits, eight such sums fit 16
//! bits (8 × 2 × 15 × 127 = 30480), with 5 bits four, with 6 bits two; codes of less than 8 bits are unsigned here, and what
//! they are too large by goes into the minimum. Codes of 8 bits have a sign, which is moved to the input, and their products
//! are widened at once (2 × 128 × 127 = 32512).
use std::arch::asm;
use std::arch::x86_64::{
    __m256, __m256i, _mm256_abs_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_cvtepi32_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_sign_epi8, _mm256_storeu_ps,
};

use super::super::activations::{self, Chunk};
use super::super::layout::{Group, ROWS};
use super::super::product::{TILE_ROWS, Tile};
use super::unpack::{Unpack, Unpacked, load};

/// Keeps sums in registers between the steps of a loop: the compiler otherwise unrolls it, computes one row after the other,
/// and runs out of registers for the weights of all steps.
macro_rules! hold {
    ($sums:expr) => {
        for sum in $sums.as_flattened_mut() {
            // SAFETY: nothing is done.
            unsafe { asm!("/* {0} */", inout(ymm_reg) * sum, options(nomem, nostack, preserves_flags)) };
        }
    };
}
pub(super) use hold;

/// Rows of the input multiplied at a time: their sums and the weights just fit the 16 registers.
const STEP: usize = 3;

/// Two vectors: a number for each row of a panel.
type Pair<T> = [T; 2];

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn compute<B: Unpack>(tile: &Tile<'_>) {
    let mut unpacked = Unpacked::new();
    let mut sums = [[0.0; ROWS]; TILE_ROWS];
    for panel in tile.panels.clone() {
        let sums = &mut sums[..tile.rows.len()];
        sums.fill([0.0; ROWS]);
        for (index, blocks) in
            tile.weights.panel::<B>(panel).chunks(activations::COLUMNS / B::COLUMNS).enumerate()
        {
            // SAFETY: this function has the instructions.
            unsafe { B::unpack(blocks, &mut unpacked) };
            add_rows(blocks, &unpacked, tile.input.chunks(index, tile.rows.clone()), sums);
        }
        for (row, sums) in tile.rows.clone().zip(sums) {
            tile.store(row, panel, sums);
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add_rows<B: Unpack>(blocks: &[B], unpacked: &Unpacked, chunks: &[Chunk], sums: &mut [[f32; ROWS]]) {
    let (steps, rest) = chunks.as_chunks::<STEP>();
    let (sums, sums_rest) = sums.as_chunks_mut::<STEP>();
    for (chunks, sums) in steps.iter().zip(sums) {
        add(blocks, unpacked, chunks, sums);
    }
    if let (Some(chunks), Some(sums)) = (rest.as_array::<2>(), sums_rest.as_mut_array()) {
        add(blocks, unpacked, chunks, sums);
    }
    if let ([chunk], [sums]) = (rest, sums_rest) {
        add(blocks, unpacked, std::array::from_ref(chunk), std::array::from_mut(sums));
    }
}

/// Adds to the sums of `M` rows of the input what the unpacked columns contribute.
#[target_feature(enable = "avx2,fma,f16c")]
fn add<B: Unpack, const M: usize>(
    blocks: &[B],
    unpacked: &Unpacked,
    chunks: &[Chunk; M],
    sums: &mut [[f32; ROWS]; M],
) {
    let mut totals = [[_mm256_setzero_ps(); 2]; M];
    for (total, sums) in totals.iter_mut().zip(&*sums) {
        *total = load_numbers(sums);
    }
    for unit in 0..blocks.len() * B::COLUMNS / 32 {
        let codes = B::codes(blocks, unpacked, unit);
        let mut products = [[_mm256_setzero_ps(); 2]; M];
        for part in 0..B::PARTS {
            let whole = if B::RUN == 0 {
                signed(codes, chunks, unit)
            } else {
                unsigned::<B, M>(&codes[part * 8 / B::PARTS..][..8 / B::PARTS], chunks, unit, part)
            };
            let scales = load_numbers(&unpacked.scales[unit * B::PARTS + part]);
            for j in 0..M {
                for h in 0..2 {
                    let whole = _mm256_cvtepi32_ps(whole[j][h]);
                    products[j][h] = match part {
                        0 => _mm256_mul_ps(whole, scales[h]),
                        _ => _mm256_fmadd_ps(whole, scales[h], products[j][h]),
                    };
                }
            }
            if B::MINIMA {
                let minima = load_numbers(&unpacked.minima[unit * B::PARTS + part]);
                for j in 0..M {
                    let sum = if B::PARTS == 1 {
                        chunks[j].sums[unit]
                    } else {
                        chunks[j].half_sums[2 * unit + part]
                    };
                    for h in 0..2 {
                        totals[j][h] = _mm256_fmadd_ps(minima[h], _mm256_set1_ps(sum), totals[j][h]);
                    }
                }
            }
        }
        for j in 0..M {
            let scale = _mm256_set1_ps(chunks[j].scales[unit]);
            for h in 0..2 {
                totals[j][h] = _mm256_fmadd_ps(products[j][h], scale, totals[j][h]);
            }
        }
    }
    for (sums, total) in sums.iter_mut().zip(totals) {
        store_numbers(sums, total);
    }
}

/// Sums of products of unsigned codes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unsigned<B: Unpack, const M: usize>(
    codes: &[Group],
    chunks: &[Chunk; M],
    unit: usize,
    part: usize,
) -> [Pair<__m256i>; M] {
    let ones = _mm256_set1_epi16(1);
    let mut whole = [[_mm256_setzero_si256(); 2]; M];
    for (run, codes) in codes.chunks_exact(B::RUN).enumerate() {
        let mut narrow = [[_mm256_setzero_si256(); 2]; M];
        for (i, codes) in codes.iter().enumerate() {
            let weights = load(codes);
            for j in 0..M {
                let input = input(&chunks[j], unit, part * 8 / B::PARTS + run * B::RUN + i);
                for h in 0..2 {
                    narrow[j][h] = _mm256_add_epi16(narrow[j][h], _mm256_maddubs_epi16(weights[h], input));
                }
            }
            hold!(narrow);
        }
        for j in 0..M {
            for h in 0..2 {
                whole[j][h] = _mm256_add_epi32(whole[j][h], _mm256_madd_epi16(narrow[j][h], ones));
            }
        }
    }
    whole
}

/// Sums of products of codes with signs.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn signed<const M: usize>(codes: &[Group; 8], chunks: &[Chunk; M], unit: usize) -> [Pair<__m256i>; M] {
    let ones = _mm256_set1_epi16(1);
    let mut whole = [[_mm256_setzero_si256(); 2]; M];
    for (group, codes) in codes.iter().enumerate() {
        let weights = load(codes);
        let sizes = weights.map(|weights| _mm256_abs_epi8(weights));
        for j in 0..M {
            let input = input(&chunks[j], unit, group);
            for h in 0..2 {
                let narrow = _mm256_maddubs_epi16(sizes[h], _mm256_sign_epi8(input, weights[h]));
                whole[j][h] = _mm256_add_epi32(whole[j][h], _mm256_madd_epi16(narrow, ones));
            }
        }
        hold!(whole);
    }
    whole
}

/// Four columns of the input, for each row of the weights.
#[inline]
#[target_feature(enable = "avx2")]
fn input(chunk: &Chunk, unit: usize, group: usize) -> __m256i {
    let codes = chunk.codes.as_chunks::<32>().0[unit].as_chunks().0[group];
    _mm256_set1_epi32(i32::from_le_bytes(codes.map(|code: i8| code as u8)))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_numbers(numbers: &[f32; ROWS]) -> Pair<__m256> {
    // SAFETY: there are 16 numbers.
    unsafe { [_mm256_loadu_ps(numbers.as_ptr()), _mm256_loadu_ps(numbers.as_ptr().add(8))] }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_numbers(out: &mut [f32; ROWS], numbers: Pair<__m256>) {
    // SAFETY: there is room for 16 numbers.
    unsafe {
        _mm256_storeu_ps(out.as_mut_ptr(), numbers[0]);
        _mm256_storeu_ps(out.as_mut_ptr().add(8), numbers[1]);
    }
}
