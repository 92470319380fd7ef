//! Products without special instructions: the meaning of the others.
use super::activations::{self, Chunk};
use super::layout::{Coded, Line, Plain, ROWS, with_coded, with_plain};
use super::product::{TILE_ROWS, Tile};

pub(super) fn compute(tile: &Tile<'_>) {
    let dtype = tile.weights.dtype();
    with_coded!(dtype, B => compute_coded::<B>(tile), else
        with_plain!(dtype, B => compute_plain::<B>(tile), else unreachable!("not packed")));
}

fn compute_coded<B: Coded>(tile: &Tile<'_>) {
    for_each_panel(tile, |panel, sums| {
        for (index, block) in tile.weights.panel::<B>(panel).iter().enumerate() {
            let (chunk, start) =
                (index * B::COLUMNS / activations::COLUMNS, index * B::COLUMNS % activations::COLUMNS);
            let chunks = tile.input.chunks(chunk, tile.rows.clone());
            for row in 0..ROWS {
                let line = block.line(row);
                for (sums, chunk) in sums.iter_mut().zip(chunks) {
                    sums[row] += product(&line, chunk, start, B::COLUMNS);
                }
            }
        }
    });
}

/// What `columns` columns of a chunk from `start` on add to a result.
fn product(line: &Line, chunk: &Chunk, start: usize, columns: usize) -> f32 {
    let mut sum = 0.0;
    for part in 0..columns / 16 {
        let at = start + 16 * part;
        let codes = line.codes[16 * part..][..16].iter().zip(&chunk.codes[at..][..16]);
        let products: i32 = codes.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        sum += products as f32 * line.scales[part] * chunk.scales[at / 32];
        sum += line.minima[part] * chunk.half_sums[at / 16];
    }
    sum
}

fn compute_plain<B: Plain>(tile: &Tile<'_>) {
    for_each_panel(tile, |panel, sums| {
        for (index, block) in tile.weights.panel::<B>(panel).iter().enumerate() {
            let columns = index * B::COLUMNS..tile.input.columns().min((index + 1) * B::COLUMNS);
            for row in 0..ROWS {
                let mut weights = [0.0; 2];
                block.numbers(row, &mut weights[..columns.len()]);
                for (sums, i) in sums.iter_mut().zip(tile.rows.clone()) {
                    let numbers = &tile.input.numbers(i)[columns.clone()];
                    sums[row] += weights.iter().zip(numbers).map(|(a, b)| a * b).sum::<f32>();
                }
            }
        }
    });
}

/// Calls `add` for each panel with sums that begin at zero, and stores them.
fn for_each_panel(tile: &Tile<'_>, add: impl Fn(usize, &mut [[f32; ROWS]])) {
    for panel in tile.panels.clone() {
        let mut sums = [[0.0; ROWS]; TILE_ROWS];
        let sums = &mut sums[..tile.rows.len()];
        add(panel, sums);
        for (row, sums) in tile.rows.clone().zip(sums) {
            tile.store(row, panel, sums);
        }
    }
}
