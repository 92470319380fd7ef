//! Plain numbers: six rows of the input at a time, whose sums take twelve of the sixteen registers.
use std::arch::asm;
use std::arch::x86_64::{
    _mm256_and_si256, _mm256_castsi256_ps, _mm256_fmadd_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_slli_epi32,
};
use std::ops::Range;

use super::super::activations::bundle_rows;
use super::super::layout::{Bf16, Block, F16, F32, ROWS};
use super::super::product::{TILE_ROWS, Tile};
use super::coded::{hold, load_numbers, store_numbers};
use super::unpack::{halves, load};

/// Columns unpacked at a time.
const COLUMNS: usize = 64;

/// Panels multiplied at a time with a few rows of the input, so that no sum waits for the one before; as many streams of memory.
const PANELS: usize = 4;

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
    let panels = if tile.rows.len() < 3 { PANELS } else { 1 };
    let mut first = tile.panels.start;
    while first < tile.panels.end {
        if panels == PANELS && tile.panels.end - first >= PANELS {
            compute_panels::<B, PANELS>(tile, first);
            first += PANELS;
        } else {
            compute_panels::<B, 1>(tile, first);
            first += 1;
        }
    }
}

/// Computes `P` panels from `first` on.
#[target_feature(enable = "avx2,fma,f16c")]
fn compute_panels<B: Widen, const P: usize>(tile: &Tile<'_>, first: usize) {
    let mut spaces = [[[0.0; ROWS]; COLUMNS]; P];
    let mut sums = [[[0.0; ROWS]; P]; TILE_ROWS];
    let sums = &mut sums[..tile.rows.len()];
    let panels: [&[B]; P] = std::array::from_fn(|i| tile.weights.panel(first + i));
    for start in (0..tile.input.columns()).step_by(COLUMNS) {
        let end = tile.input.columns().min(start + COLUMNS);
        let mut weights = [&[][..]; P];
        for ((weights, space), panel) in weights.iter_mut().zip(&mut spaces).zip(panels) {
            // SAFETY: this function has the instructions.
            *weights = unsafe { B::widen(&panel[start / B::COLUMNS..end.div_ceil(B::COLUMNS)], space) };
        }
        add_rows(tile, start..end, weights, sums);
    }
    for (row, sums) in tile.rows.clone().zip(sums) {
        for (i, sums) in sums.iter().enumerate() {
            tile.store(row, first + i, sums);
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add_rows<const P: usize>(
    tile: &Tile<'_>,
    columns: Range<usize>,
    weights: [&[[f32; ROWS]]; P],
    mut sums: &mut [[[f32; ROWS]; P]],
) {
    let mut row = tile.rows.start;
    while !sums.is_empty() {
        let (bundle, rest) = sums.split_at_mut(bundle_rows(sums.len()));
        let bundle_end = row + bundle.len();
        match bundle.len() {
            6 => add::<6, P>(weights, &tile.input.bundle(row)[columns.clone()], bundle),
            3 => add::<3, P>(weights, &tile.input.bundle(row)[columns.clone()], bundle),
            2 => add::<2, P>(weights, &tile.input.bundle(row)[columns.clone()], bundle),
            _ => add::<1, P>(weights, &tile.input.bundle(row)[columns.clone()], bundle),
        }
        (row, sums) = (bundle_end, rest);
    }
}

/// Adds the products of columns of `P` panels with `M` rows of the input to their sums.
#[target_feature(enable = "avx2,fma,f16c")]
fn add<const M: usize, const P: usize>(
    weights: [&[[f32; ROWS]]; P],
    input: &[[f32; M]],
    sums: &mut [[[f32; ROWS]; P]],
) {
    let mut totals = [[[_mm256_setzero_ps(); 2]; P]; M];
    for (totals, sums) in totals.iter_mut().zip(&*sums) {
        for (total, sums) in totals.iter_mut().zip(sums) {
            *total = load_numbers(sums);
        }
    }
    let weights = weights.map(|weights| &weights[..input.len()]);
    for (i, input) in input.iter().enumerate() {
        for p in 0..P {
            let weights = load_numbers(&weights[p][i]);
            for j in 0..M {
                let input = _mm256_set1_ps(input[j]);
                for h in 0..2 {
                    totals[j][p][h] = _mm256_fmadd_ps(weights[h], input, totals[j][p][h]);
                }
            }
        }
        hold!(totals.as_flattened_mut());
    }
    for (sums, totals) in sums.iter_mut().zip(totals) {
        for (sums, total) in sums.iter_mut().zip(totals) {
            store_numbers(sums, total);
        }
    }
}
