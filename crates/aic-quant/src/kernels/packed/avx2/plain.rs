//! Plain numbers: six rows of the input at a time, whose sums take twelve of the sixteen registers.
use std::arch::x86_64::{
    _mm256_and_si256, _mm256_castsi256_ps, _mm256_fmadd_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_slli_epi32,
};

use super::super::layout::{Bf16, Block, F16, F32, ROWS};
use super::super::product::{TILE_ROWS, Tile};
use super::coded::{load_numbers, store_numbers};
use super::unpack::{halves, load};

/// Rows of the input multiplied at a time.
const STEP: usize = 6;

/// Columns unpacked at a time: 8 kB, a quarter of the first cache.
const COLUMNS: usize = 128;

/// Plain numbers of any size as 32-bit ones.
pub(super) trait Widen: Block {
    /// Columns of a panel as 32-bit numbers, in `space` or where they are.
    ///
    /// # Safety
    /// The processor has AVX2, FMA and F16C.
    unsafe fn widen<'a>(blocks: &'a [Self], space: &'a mut [[f32; ROWS]; COLUMNS]) -> &'a [[f32; ROWS]];
}

impl Widen for F32 {
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn widen<'a>(blocks: &'a [Self], _: &'a mut [[f32; ROWS]; COLUMNS]) -> &'a [[f32; ROWS]] {
        Self::columns(blocks)
    }
}

impl Widen for F16 {
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn widen<'a>(blocks: &'a [Self], space: &'a mut [[f32; ROWS]; COLUMNS]) -> &'a [[f32; ROWS]] {
        for (block, out) in blocks.iter().zip(&mut *space) {
            store_numbers(out, halves(&block.0));
        }
        space
    }
}

impl Widen for Bf16 {
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn widen<'a>(blocks: &'a [Self], space: &'a mut [[f32; ROWS]; COLUMNS]) -> &'a [[f32; ROWS]] {
        let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
        for (block, [even, odd]) in blocks.iter().zip(space.as_chunks_mut().0) {
            let pairs = load(&block.0);
            store_numbers(even, pairs.map(|pairs| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs))));
            store_numbers(odd, pairs.map(|pairs| _mm256_castsi256_ps(_mm256_and_si256(pairs, upper))));
        }
        space
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn compute<B: Widen>(tile: &Tile<'_>) {
    let mut space = [[0.0; ROWS]; COLUMNS];
    let mut sums = [[0.0; ROWS]; TILE_ROWS];
    for panel in tile.panels.clone() {
        let sums = &mut sums[..tile.rows.len()];
        sums.fill([0.0; ROWS]);
        for (index, blocks) in tile.weights.panel::<B>(panel).chunks(COLUMNS / B::COLUMNS).enumerate() {
            // SAFETY: this function has the instructions.
            let weights = unsafe { B::widen(blocks, &mut space) };
            add_rows(tile, index * COLUMNS, weights, sums);
        }
        for (row, sums) in tile.rows.clone().zip(sums) {
            tile.store(row, panel, sums);
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add_rows(tile: &Tile<'_>, start: usize, weights: &[[f32; ROWS]], sums: &mut [[f32; ROWS]]) {
    let end = tile.input.columns().min(start + COLUMNS);
    let rows =
        |first: usize| move |row: usize| &tile.input.numbers(tile.rows.start + first + row)[start..end];
    let (steps, rest) = sums.as_chunks_mut::<STEP>();
    let first_of_rest = steps.len() * STEP;
    for (i, sums) in steps.iter_mut().enumerate() {
        add(weights, std::array::from_fn(rows(i * STEP)), sums);
    }
    let (pairs, last) = rest.as_chunks_mut::<2>();
    let first_of_last = first_of_rest + 2 * pairs.len();
    for (i, sums) in pairs.iter_mut().enumerate() {
        add(weights, std::array::from_fn(rows(first_of_rest + 2 * i)), sums);
    }
    if let [sums] = last {
        add(weights, std::array::from_fn(rows(first_of_last)), std::array::from_mut(sums));
    }
}

/// Adds the products of columns with `M` rows of the input to their sums.
#[target_feature(enable = "avx2,fma,f16c")]
fn add<const M: usize>(weights: &[[f32; ROWS]], rows: [&[f32]; M], sums: &mut [[f32; ROWS]; M]) {
    let mut totals = [[_mm256_setzero_ps(); 2]; M];
    for (total, sums) in totals.iter_mut().zip(&*sums) {
        *total = load_numbers(sums);
    }
    let columns = rows[0].len();
    let rows = rows.map(|row| &row[..columns]);
    for (i, weights) in weights[..columns].iter().enumerate() {
        let weights = load_numbers(weights);
        for j in 0..M {
            let input = _mm256_set1_ps(rows[j][i]);
            for h in 0..2 {
                totals[j][h] = _mm256_fmadd_ps(weights[h], input, totals[j][h]);
            }
        }
    }
    for (sums, total) in sums.iter_mut().zip(totals) {
        store_numbers(sums, total);
    }
}
