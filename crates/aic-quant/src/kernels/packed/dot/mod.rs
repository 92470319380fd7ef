//! Products by instructions that multiply four pairs of 8-bit numbers in each 32-bit lane and add the results, at once or, with
//! AVX2, in two steps.
//!
//! One program for all instruction sets that have such, written over [`Lanes`]: a lane is a row of a panel, so a
//! [`Group`](super::layout::Group) of weights is one operand and four codes of the input, the same in every lane, the other.
//! Weights are unpacked in registers, 32 columns at a time, for up to eight rows of the input.
//!
//! x86 multiplies numbers without a sign by numbers with one, ARM numbers with signs. So the codes of weights are taken from
//! zero up, and what they are too large by comes off again as a multiple of the sum of the input's codes, all in whole numbers:
//! those are the same as without special instructions.
//!
//! No vector goes through a method of arrays or options that takes a function: those are not compiled with the instructions.
mod lanes;
mod slices;
#[cfg(test)]
mod tests;

use std::array;
use std::marker::PhantomData;

pub(super) use self::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
pub(super) use self::lanes::pair;
pub(super) use self::slices::{Numbers, Slices, run};
use super::activations::{self, Chunk};
use super::layout::{ROWS, with_coded, with_plain};
use super::product::Tile;

/// Columns that are unpacked at once.
pub(super) const SLICE: usize = 32;

/// How far ahead of their use weights are fetched.
const PREFETCH_BYTES: usize = 2 << 10;

/// Computes a tile.
pub(super) fn compute<L: Lanes>(lanes: L, tile: &Tile<'_>) {
    let dtype = tile.weights.dtype();
    with_coded!(dtype, B => for_each_strip::<L, Coded<B>>(lanes, tile), else
        with_plain!(dtype, B => for_each_strip::<L, Plain<B>>(lanes, tile), else unreachable!("not packed")));
}

fn for_each_strip<L: Lanes, S: Strip>(lanes: L, tile: &Tile<'_>) {
    if tile.rows.len() == 1 {
        return for_each_panel::<L, S>(lanes, tile);
    }
    for panel in tile.panels.clone() {
        let mut row = tile.rows.start;
        while row < tile.rows.end {
            row += match S::rows::<L>().min(tile.rows.end - row) {
                8.. => strip::<L, S, 8, 1>(lanes, tile, [panel], row),
                4.. => strip::<L, S, 4, 1>(lanes, tile, [panel], row),
                3 => strip::<L, S, 3, 1>(lanes, tile, [panel], row),
                2 => strip::<L, S, 2, 1>(lanes, tile, [panel], row),
                _ => strip::<L, S, 1, 1>(lanes, tile, [panel], row),
            };
        }
    }
}

/// Of one row, two panels at a time, one from each half of the tile: two streams of memory, each without a gap, and no sum that
/// waits for the one before.
fn for_each_panel<L: Lanes, S: Strip>(lanes: L, tile: &Tile<'_>) {
    let row = tile.rows.start;
    let (first, half) = (tile.panels.start, tile.panels.len() / 2);
    for panel in first..first + half {
        strip::<L, S, 1, 2>(lanes, tile, [panel, panel + half], row);
    }
    if tile.panels.len() % 2 == 1 {
        strip::<L, S, 1, 1>(lanes, tile, [tile.panels.end - 1], row);
    }
}

/// Computes and stores the results of `M` rows from `row` on for `panels`; returns `M`.
fn strip<L: Lanes, S: Strip, const M: usize, const P: usize>(
    lanes: L,
    tile: &Tile<'_>,
    panels: [usize; P],
    row: usize,
) -> usize {
    lanes.call(
        #[inline(always)]
        || {
            let sums = S::sums::<L, M, P>(lanes, tile, panels, row);
            for (panel, sums) in panels.into_iter().zip(sums) {
                for (m, sums) in sums.into_iter().enumerate() {
                    tile.store(row + m, panel, &lanes.numbers(sums));
                }
            }
        },
    );
    M
}

/// Some rows of the input times panels of weights of some type.
trait Strip {
    /// Most rows at a time, for which there are registers.
    fn rows<L: Lanes>() -> usize;

    /// The results for `M` rows from `row` on and `panels`.
    fn sums<L: Lanes, const M: usize, const P: usize>(
        lanes: L,
        tile: &Tile<'_>,
        panels: [usize; P],
        row: usize,
    ) -> [[L::Floats; M]; P];
}

struct Coded<B>(PhantomData<B>);

impl<B: Slices> Strip for Coded<B> {
    fn rows<L: Lanes>() -> usize {
        match L::REGISTERS {
            32.. => 8,
            // Products need a register of their own before they are added.
            _ if L::NARROW => 3,
            _ => 4,
        }
    }

    #[inline(always)]
    fn sums<L: Lanes, const M: usize, const P: usize>(
        lanes: L,
        tile: &Tile<'_>,
        panels: [usize; P],
        row: usize,
    ) -> [[L::Floats; M]; P] {
        let mut sums = [[lanes.zero(); M]; P];
        let panels: [&[B]; P] = panels.map(|panel| tile.weights.panel(panel));
        let in_chunk = activations::COLUMNS / B::COLUMNS;
        for index in 0..panels[0].len().div_ceil(in_chunk) {
            let chunks = tile.input.chunks(index, row..row + M).as_array().expect("there are M rows");
            for (panel, sums) in panels.iter().zip(&mut sums) {
                let blocks = &panel[index * in_chunk..panel.len().min((index + 1) * in_chunk)];
                for (at, block) in blocks.iter().enumerate() {
                    add_block(lanes, block, chunks, at * (B::COLUMNS / SLICE), sums);
                }
            }
        }
        sums
    }
}

/// Adds the products of a block with the slices from `at` on of each chunk.
#[inline(always)]
fn add_block<L: Lanes, B: Slices, const M: usize>(
    lanes: L,
    block: &B,
    chunks: &[Chunk; M],
    at: usize,
    sums: &mut [L::Floats; M],
) {
    let mut products = [lanes.zero(); M];
    for slice in 0..B::COLUMNS / SLICE {
        prefetch(lanes, block, slice, B::COLUMNS / SLICE);
        let whole = slice_products(lanes, block, slice, chunks, at + slice);
        for ((products, whole), chunk) in products.iter_mut().zip(whole).zip(chunks) {
            *products = lanes.multiply_add(whole, lanes.splat_float(chunk.scales[at + slice]), *products);
        }
    }
    let scale = block.scale(lanes);
    for (sums, products) in sums.iter_mut().zip(products) {
        *sums = lanes.multiply_add(products, scale, *sums);
    }
    if B::MINIMA {
        add_minima(lanes, block, chunks, at, sums);
    }
}

/// The products of a slice of a block with the slice `at` of each chunk, steps included: whole numbers below 2²⁴.
#[inline(always)]
fn slice_products<L: Lanes, B: Slices, const M: usize>(
    lanes: L,
    block: &B,
    slice: usize,
    chunks: &[Chunk; M],
    at: usize,
) -> [L::Floats; M] {
    let run = if L::NARROW { const { run::<B>() } } else { 8 / B::PARTS };
    let part_groups = 8 / B::PARTS;
    let mut sums = [lanes.begin(0, [0; 2]); M];
    let mut whole = [lanes.steps(&[0; ROWS]); M];
    for_each_of_eight(
        #[inline(always)]
        |index| {
            let part = index / part_groups;
            if index % part_groups == 0 {
                for (sums, chunk) in sums.iter_mut().zip(chunks) {
                    *sums = lanes.begin(B::OFFSET, pairs::<B>(chunk, at, part));
                }
            } else if index % run == 0 {
                sums = [lanes.begin(0, [0; 2]); M];
            }
            // Lower and upper halves of the same bytes follow each other, so that few codes wait in registers.
            let group = if run == 8 { index / 2 + index % 2 * 4 } else { index };
            let codes = lanes.with_offset(B::OFFSET, block.codes(lanes, slice, group));
            for (sums, chunk) in sums.iter_mut().zip(chunks) {
                *sums = lanes.dot(B::OFFSET, *sums, codes, lanes.splat(group_of(chunk, 8 * at + group)));
            }
            if index % run == run - 1 {
                let steps = block.step(lanes, slice * B::PARTS + part);
                for (whole, sums) in whole.iter_mut().zip(sums) {
                    let before = if index < run { None } else { Some(*whole) };
                    *whole = lanes.widen(before, sums, steps);
                }
            }
        },
    );
    let mut floats = [lanes.zero(); M];
    for (floats, whole) in floats.iter_mut().zip(whole) {
        *floats = lanes.whole_floats(whole);
    }
    floats
}

/// Not a loop, so that places and distances are constants and vectors stay in registers.
#[inline(always)]
fn for_each_of_eight(mut call: impl FnMut(usize)) {
    call(0);
    call(1);
    call(2);
    call(3);
    call(4);
    call(5);
    call(6);
    call(7);
}

/// What the offset of a part's codes is multiplied with.
#[inline(always)]
fn pairs<B: Slices>(chunk: &Chunk, at: usize, part: usize) -> [i16; 2] {
    if B::PARTS == 1 { chunk.pairs[at] } else { chunk.half_pairs[2 * at + part] }
}

#[inline(always)]
fn add_minima<L: Lanes, B: Slices, const M: usize>(
    lanes: L,
    block: &B,
    chunks: &[Chunk; M],
    at: usize,
    sums: &mut [L::Floats; M],
) {
    let mut minima = [lanes.zero(); M];
    for part in 0..B::COLUMNS / SLICE * B::PARTS {
        let step = block.minimum_step(lanes, part);
        for (minima, chunk) in minima.iter_mut().zip(chunks) {
            let input = if B::PARTS == 1 { chunk.sums[at + part] } else { chunk.half_sums[2 * at + part] };
            let input = lanes.splat_float(input);
            *minima = if B::STEPS { lanes.multiply_add(step, input, *minima) } else { input };
        }
    }
    let minimum = block.minimum(lanes);
    for (sums, minima) in sums.iter_mut().zip(minima) {
        *sums = lanes.multiply_add(minima, minimum, *sums);
    }
}

struct Plain<B>(PhantomData<B>);

/// Columns of plain weights that are multiplied at once.
const RUN: usize = 16;

impl<B: Numbers> Strip for Plain<B> {
    fn rows<L: Lanes>() -> usize {
        if L::REGISTERS >= 32 { 8 } else { 4 }
    }

    #[inline(always)]
    fn sums<L: Lanes, const M: usize, const P: usize>(
        lanes: L,
        tile: &Tile<'_>,
        panels: [usize; P],
        row: usize,
    ) -> [[L::Floats; M]; P] {
        let mut sums = [[lanes.zero(); M]; P];
        let rows: [_; M] = array::from_fn(|m| tile.input.numbers(row + m).as_chunks::<RUN>());
        let whole = tile.input.columns() / RUN;
        let panels: [&[B]; P] = panels.map(|panel| tile.weights.panel(panel));
        for index in 0..whole {
            let blocks = panels.map(|panel| &panel[index * (RUN / B::COLUMNS)..][..RUN / B::COLUMNS]);
            for blocks in blocks {
                blocks.iter().for_each(|block| prefetch(lanes, block, 0, 1));
            }
            add_run(lanes, blocks, &rows.map(|(runs, _)| &runs[index]), &mut sums);
        }
        let mut last = [[0.0; RUN]; M];
        for (last, (_, rest)) in last.iter_mut().zip(rows) {
            last[..rest.len()].copy_from_slice(rest);
        }
        add_run(lanes, panels.map(|panel| &panel[whole * (RUN / B::COLUMNS)..]), &last.each_ref(), &mut sums);
        sums
    }
}

/// Adds the products of up to 16 columns.
#[inline(always)]
fn add_run<L: Lanes, B: Numbers, const M: usize, const P: usize>(
    lanes: L,
    blocks: [&[B]; P],
    rows: &[&[f32; RUN]; M],
    sums: &mut [[L::Floats; M]; P],
) {
    for index in 0..blocks[0].len() {
        for column in 0..B::COLUMNS {
            for (blocks, sums) in blocks.iter().zip(&mut *sums) {
                let weights = blocks[index].column(lanes, column);
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let input = lanes.splat_float(row[index * B::COLUMNS + column]);
                    *sums = lanes.multiply_add(weights, input, *sums);
                }
            }
        }
    }
}

/// Four neighbouring codes of the input, as a lane of a group has those of the weights.
#[inline(always)]
fn group_of(chunk: &Chunk, index: usize) -> u32 {
    u32::from_le_bytes(chunk.codes.as_chunks().0[index].map(|code| code as u8))
}

/// Asks for what comes some way after a slice of a block, each slice for its share.
#[inline(always)]
fn prefetch<L: Lanes, B>(lanes: L, block: &B, slice: usize, slices: usize) {
    let lines = size_of::<B>().div_ceil(64).div_ceil(slices);
    let start = std::ptr::from_ref(block).cast::<u8>().wrapping_add(PREFETCH_BYTES + slice * lines * 64);
    for line in 0..lines {
        lanes.prefetch(start.wrapping_add(64 * line));
    }
}
