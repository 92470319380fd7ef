//! Products by instructions that multiply four pairs of 8-bit numbers in each 32-bit lane and add the results.
//!
//! One program for all instruction sets that have such, written over [`Lanes`]: a lane is a row of a panel, so a
//! [`Group`](super::layout::Group) of weights is one operand and four codes of the input, the same in every lane, the other.
//! Weights are unpacked in registers, 32 columns at a time, for up to eight rows of the input.
//!
//! x86 multiplies numbers without a sign by numbers with one. So the codes of weights are taken from zero up, and what they
//! are too large by comes off again as a multiple of the sum of the input's codes, all in whole numbers: those are the same
//! as without special instructions.
mod lanes;
mod slices;
#[cfg(test)]
mod tests;

use std::array;
use std::marker::PhantomData;

pub(super) use self::lanes::Lanes;
pub(super) use self::slices::{Numbers, Slices};
use super::activations::{self, Chunk};
use super::layout::{with_coded, with_plain};
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
    for panel in tile.panels.clone() {
        let mut row = tile.rows.start;
        while row < tile.rows.end {
            row += match tile.rows.end - row {
                8.. if L::REGISTERS >= 32 => strip::<L, S, 8>(lanes, tile, panel, row),
                4.. => strip::<L, S, 4>(lanes, tile, panel, row),
                2.. => strip::<L, S, 2>(lanes, tile, panel, row),
                _ => strip::<L, S, 1>(lanes, tile, panel, row),
            };
        }
    }
}

/// Computes and stores the results of `M` rows from `row` on for a panel; returns `M`.
fn strip<L: Lanes, S: Strip, const M: usize>(lanes: L, tile: &Tile<'_>, panel: usize, row: usize) -> usize {
    let sums = lanes.call(
        #[inline(always)]
        || S::sums::<L, M>(lanes, tile, panel, row).map(|sums| lanes.numbers(sums)),
    );
    for (m, sums) in sums.iter().enumerate() {
        tile.store(row + m, panel, sums);
    }
    M
}

/// Some rows of the input times a panel of weights of some type.
trait Strip {
    /// The results for `M` rows from `row` on.
    fn sums<L: Lanes, const M: usize>(lanes: L, tile: &Tile<'_>, panel: usize, row: usize) -> [L::Floats; M];
}

struct Coded<B>(PhantomData<B>);

impl<B: Slices> Strip for Coded<B> {
    #[inline(always)]
    fn sums<L: Lanes, const M: usize>(lanes: L, tile: &Tile<'_>, panel: usize, row: usize) -> [L::Floats; M] {
        let mut sums = [lanes.zero(); M];
        for (index, blocks) in
            tile.weights.panel::<B>(panel).chunks(activations::COLUMNS / B::COLUMNS).enumerate()
        {
            let chunks = tile.input.chunks(index, row..row + M).as_array().expect("there are M rows");
            for (at, block) in blocks.iter().enumerate() {
                prefetch(lanes, block);
                for slice in 0..B::COLUMNS / SLICE {
                    add_slice(lanes, block, slice, chunks, at * (B::COLUMNS / SLICE) + slice, &mut sums);
                }
            }
        }
        sums
    }
}

/// Adds the products of a slice of a block with the slice `at` of each chunk.
#[inline(always)]
fn add_slice<L: Lanes, B: Slices, const M: usize>(
    lanes: L,
    block: &B,
    slice: usize,
    chunks: &[Chunk; M],
    at: usize,
    sums: &mut [L::Floats; M],
) {
    let codes = block.codes(lanes, slice);
    for (part, codes) in codes.chunks(8 / B::PARTS).enumerate() {
        let scale = block.scale(lanes, slice * B::PARTS + part);
        let mut products = [lanes.splat(0); M];
        for (products, chunk) in products.iter_mut().zip(chunks) {
            *products = lanes.offset(B::OFFSET, counted::<B>(part), totals(chunk, at));
        }
        for (group, codes) in codes.iter().enumerate() {
            let (group, codes) = (8 * at + part * 8 / B::PARTS + group, lanes.with_offset(*codes, B::OFFSET));
            for (products, chunk) in products.iter_mut().zip(chunks) {
                *products = lanes.dot(*products, codes, lanes.splat(group_of(chunk, group)));
            }
        }
        for ((sums, products), chunk) in sums.iter_mut().zip(products).zip(chunks) {
            let products = lanes.multiply(lanes.floats(products), scale);
            *sums = lanes.multiply_add(products, lanes.splat_float(chunk.scales[at]), *sums);
        }
    }
    if B::MINIMA {
        add_minima(lanes, block, slice, chunks, at, sums);
    }
}

/// Which halves of a slice a part of it is.
#[inline(always)]
const fn counted<B: Slices>(part: usize) -> [bool; 2] {
    [B::PARTS == 1 || part == 0, B::PARTS == 1 || part == 1]
}

#[inline(always)]
fn add_minima<L: Lanes, B: Slices, const M: usize>(
    lanes: L,
    block: &B,
    slice: usize,
    chunks: &[Chunk; M],
    at: usize,
    sums: &mut [L::Floats; M],
) {
    for part in 0..B::PARTS {
        let minimum = block.minimum(lanes, slice * B::PARTS + part);
        for (sums, chunk) in sums.iter_mut().zip(chunks) {
            let input = if B::PARTS == 1 { chunk.sums[at] } else { chunk.half_sums[2 * at + part] };
            *sums = lanes.multiply_add(minimum, lanes.splat_float(input), *sums);
        }
    }
}

struct Plain<B>(PhantomData<B>);

/// Columns of plain weights that are multiplied at once.
const RUN: usize = 16;

impl<B: Numbers> Strip for Plain<B> {
    #[inline(always)]
    fn sums<L: Lanes, const M: usize>(lanes: L, tile: &Tile<'_>, panel: usize, row: usize) -> [L::Floats; M] {
        let mut sums = [lanes.zero(); M];
        let rows: [_; M] = array::from_fn(|m| tile.input.numbers(row + m).as_chunks::<RUN>());
        let (whole, rest) =
            tile.weights.panel::<B>(panel).split_at(tile.input.columns() / RUN * (RUN / B::COLUMNS));
        for (index, blocks) in whole.chunks_exact(RUN / B::COLUMNS).enumerate() {
            blocks.iter().for_each(|block| prefetch(lanes, block));
            add_run(lanes, blocks, &rows.map(|(runs, _)| &runs[index]), &mut sums);
        }
        let mut last = [[0.0; RUN]; M];
        for (last, (_, rest)) in last.iter_mut().zip(rows) {
            last[..rest.len()].copy_from_slice(rest);
        }
        add_run(lanes, rest, &last.each_ref(), &mut sums);
        sums
    }
}

/// Adds the products of up to 16 columns.
#[inline(always)]
fn add_run<L: Lanes, B: Numbers, const M: usize>(
    lanes: L,
    blocks: &[B],
    rows: &[&[f32; RUN]; M],
    sums: &mut [L::Floats; M],
) {
    for (index, block) in blocks.iter().take(RUN / B::COLUMNS).enumerate() {
        for column in 0..B::COLUMNS {
            let weights = block.column(lanes, column);
            for (sums, row) in sums.iter_mut().zip(rows) {
                *sums =
                    lanes.multiply_add(weights, lanes.splat_float(row[index * B::COLUMNS + column]), *sums);
            }
        }
    }
}

/// Four neighbouring codes of the input, as a lane of a group has those of the weights.
#[inline(always)]
fn group_of(chunk: &Chunk, index: usize) -> u32 {
    u32::from_le_bytes(chunk.codes.as_chunks().0[index].map(|code| code as u8))
}

/// The sums of the codes of both halves of a slice.
#[inline(always)]
fn totals(chunk: &Chunk, slice: usize) -> [i16; 2] {
    chunk.totals.as_chunks().0[slice]
}

/// Asks for what comes some way after `block`.
#[inline(always)]
fn prefetch<L: Lanes, B>(lanes: L, block: &B) {
    let block = std::ptr::from_ref(block).cast::<u8>();
    for line in 0..size_of::<B>().div_ceil(64) {
        lanes.prefetch(block.wrapping_add(PREFETCH_BYTES + 64 * line));
    }
}
