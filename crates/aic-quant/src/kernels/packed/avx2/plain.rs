//! Plain numbers: six rows of the input at a time, whose sums take twelve of the sixteen registers.
use std::arch::x86_64::{__m256, _mm256_fmadd_ps, _mm256_set1_ps, _mm256_setzero_ps};
use std::ops::Range;

use super::super::activations::bundle_rows;
use super::super::dot::{Lanes, Numbers};
use super::super::layout::ROWS;
use super::super::product::{TILE_ROWS, Tile};
use super::coded::{hold, load_numbers, store_numbers};
use super::{Avx2, PANELS};

/// Columns multiplied in a step of a loop.
const UNROLLED: usize = 4;

/// Columns unpacked at a time.
const COLUMNS: usize = 256;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn compute<B: Numbers>(lanes: Avx2, tile: &Tile<'_>) {
    let mut unpacked = [[0.0; ROWS]; COLUMNS];
    let mut sums = [[[0.0; ROWS]; TILE_ROWS]; PANELS];
    for first in tile.panels.clone().step_by(PANELS) {
        let panels = first..tile.panels.end.min(first + PANELS);
        for sums in &mut sums[..panels.len()] {
            sums[..tile.rows.len()].fill([0.0; ROWS]);
        }
        for start in (0..tile.input.columns()).step_by(COLUMNS) {
            let columns = start..tile.input.columns().min(start + COLUMNS);
            for (panel, sums) in panels.clone().zip(&mut sums) {
                let blocks = columns.start / B::COLUMNS..columns.end.div_ceil(B::COLUMNS);
                unpack(lanes, &tile.weights.panel::<B>(panel)[blocks], &mut unpacked);
                add_rows(tile, columns.clone(), &unpacked, &mut sums[..tile.rows.len()]);
            }
        }
        for (panel, sums) in panels.zip(&sums) {
            for (row, sums) in tile.rows.clone().zip(sums) {
                tile.store(row, panel, sums);
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<B: Numbers>(lanes: Avx2, blocks: &[B], out: &mut [[f32; ROWS]; COLUMNS]) {
    for (block, out) in blocks.iter().zip(out.chunks_exact_mut(B::COLUMNS)) {
        for (column, out) in out.iter_mut().enumerate() {
            *out = lanes.numbers(block.column(lanes, column));
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add_rows(
    tile: &Tile<'_>,
    columns: Range<usize>,
    weights: &[[f32; ROWS]; COLUMNS],
    mut sums: &mut [[f32; ROWS]],
) {
    let weights = &weights[..columns.len()];
    let mut row = tile.rows.start;
    while !sums.is_empty() {
        let (bundle, rest) = sums.split_at_mut(bundle_rows(sums.len()));
        let bundle_end = row + bundle.len();
        match bundle.len() {
            6 => add::<6>(weights, &tile.input.bundle(row)[columns.clone()], bundle),
            3 => add::<3>(weights, &tile.input.bundle(row)[columns.clone()], bundle),
            2 => add::<2>(weights, &tile.input.bundle(row)[columns.clone()], bundle),
            _ => add::<1>(weights, &tile.input.bundle(row)[columns.clone()], bundle),
        }
        (row, sums) = (bundle_end, rest);
    }
}

/// Adds the products of columns with `M` rows of the input to their sums.
#[target_feature(enable = "avx2,fma,f16c")]
fn add<const M: usize>(weights: &[[f32; ROWS]], input: &[[f32; M]], sums: &mut [[f32; ROWS]]) {
    let mut totals = [[_mm256_setzero_ps(); 2]; M];
    for (total, sums) in totals.iter_mut().zip(&*sums) {
        *total = load_numbers(sums);
    }
    let (weights_runs, weights_rest) = weights.as_chunks::<UNROLLED>();
    let (input_runs, input_rest) = input.as_chunks::<UNROLLED>();
    for (weights, input) in weights_runs.iter().zip(input_runs) {
        for i in 0..UNROLLED {
            add_column(&weights[i], &input[i], &mut totals);
        }
    }
    for (weights, input) in weights_rest.iter().zip(input_rest) {
        add_column(weights, input, &mut totals);
    }
    for (sums, totals) in sums.iter_mut().zip(totals) {
        store_numbers(sums, totals);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_column<const M: usize>(weights: &[f32; ROWS], input: &[f32; M], totals: &mut [[__m256; 2]; M]) {
    let weights = load_numbers(weights);
    for j in 0..M {
        let input = _mm256_set1_ps(input[j]);
        for h in 0..2 {
            totals[j][h] = _mm256_fmadd_ps(weights[h], input, totals[j][h]);
        }
    }
    hold!(totals);
}
