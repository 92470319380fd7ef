use std::ops::Range;

use super::super::{InstructionSet, Parts, Pool};
use super::activations::{Activations, Space};
use super::layout::ROWS;
use super::{Packed, scalar};
#[cfg(target_arch = "x86_64")]
use super::{amx, amx::Amx, avx::Avx, avx2, avx512::Avx512, dot};
#[cfg(target_arch = "aarch64")]
use super::{dot, neon::Neon};

/// Most rows of the input in a tile. More would share the work of unpacking weights further, fewer stay in the second cache.
pub(super) const TILE_ROWS: usize = 96;

/// Tiles begin at multiples of this, which is what kernels take rows by.
const TILE_STEP: usize = 6;

/// Fewest multiply-adds worth a task of their own: some microseconds.
const TASK_WORK: usize = 200_000;

/// Tasks for each thread, so that none waits long for the last.
const TASKS_PER_THREAD: usize = 8;

/// A matrix to multiply the input with, and where the result goes.
pub(crate) struct Product<'a> {
    pub(crate) weights: &'a Packed,
    /// `[tokens, rows of the weights]`, row-major.
    pub(crate) output: &'a mut [f32],
}

/// Memory that products use while they are computed, kept from one to the next. Grows to what the largest input needs.
#[derive(Default)]
pub(crate) struct Scratch {
    activations: Space,
    #[cfg(target_arch = "x86_64")]
    squares: amx::Squares,
    tasks: Vec<Task>,
}

/// Multiplies an input `[tokens, columns]`, row-major, with several matrices of as many columns.
///
/// The input is quantized once for all of them, and the threads share the work of all. A result is the same for any number of
/// threads, and a token's for any number of other tokens, but for [`InstructionSet::Amx`], where tokens in numbers are rounded in
/// another way than a few. Where a block of the input or the weights has a number that is
/// infinite or none, so may be the results that it is part of.
///
/// # Panics
/// If the lengths of the input or an output do not fit.
pub(crate) fn multiply(
    pool: &Pool,
    scratch: &mut Scratch,
    input: &[f32],
    tokens: usize,
    products: &mut [Product<'_>],
) {
    for Product { weights, output } in products.iter() {
        assert_eq!(input.len(), tokens * weights.columns(), "input of {tokens} tokens for {weights:?}");
        assert_eq!(output.len(), tokens * weights.rows(), "output of {tokens} tokens for {weights:?}");
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(amx) = tiles(tokens, products) {
        return multiply_with_tiles(amx, pool, scratch, input, tokens, products);
    }
    multiply_with(compute, pool, scratch, input, tokens, products);
}

/// The same, with `compute` for each tile.
pub(super) fn multiply_with(
    compute: impl Fn(&Tile<'_>) + Sync,
    pool: &Pool,
    scratch: &mut Scratch,
    input: &[f32],
    tokens: usize,
    products: &mut [Product<'_>],
) {
    let any = |quantized| products.iter().any(|product| product.weights.dtype().is_quantized() == quantized);
    let input = Activations::new(input, tokens, (any(true), any(false)), pool, &mut scratch.activations);
    plan(&mut scratch.tasks, pool.threads(), tokens, [TILE_ROWS, 1], products);
    run(pool, &scratch.tasks, input, products, compute);
}

/// The proof that there are matrix tiles, if all weights are to be multiplied with them and it is worth while.
#[cfg(target_arch = "x86_64")]
fn tiles(tokens: usize, products: &[Product<'_>]) -> Option<Amx> {
    let wanted = products.iter().all(|product| product.weights.instructions == InstructionSet::Amx);
    if wanted && tokens >= amx::FEWEST_ROWS { Amx::new() } else { None }
}

#[cfg(target_arch = "x86_64")]
fn multiply_with_tiles(
    amx: Amx,
    pool: &Pool,
    scratch: &mut Scratch,
    input: &[f32],
    tokens: usize,
    products: &mut [Product<'_>],
) {
    let split = products.iter().any(|product| !product.weights.dtype().is_quantized());
    let squares = amx::Input::new(amx, input, input.len() / tokens, split, pool, &mut scratch.squares);
    let input = Activations::new(input, tokens, (false, false), pool, &mut scratch.activations);
    plan(&mut scratch.tasks, pool.threads(), tokens, [amx::TILE_ROWS, 2], products);
    run(pool, &scratch.tasks, input, products, |tile| amx.compute(tile, squares));
}

fn run(
    pool: &Pool,
    tasks: &[Task],
    input: Activations<'_>,
    products: &mut [Product<'_>],
    compute: impl Fn(&Tile<'_>) + Sync,
) {
    let products: Vec<_> = products.iter_mut().map(|p| (p.weights, Parts::new(&mut *p.output))).collect();
    pool.run(tasks.len(), |index| {
        let Task { product, panels, rows } = tasks[index].clone();
        let (weights, output) = &products[product];
        compute(&Tile { weights, panels, input, rows, output });
    });
}

#[derive(Clone)]
struct Task {
    product: usize,
    panels: Range<usize>,
    rows: Range<usize>,
}

/// Cuts products into tasks, of at most so many rows and a multiple of so many panels; those that share rows of the input come
/// one after the other.
fn plan(
    tasks: &mut Vec<Task>,
    threads: usize,
    tokens: usize,
    [most_rows, panels]: [usize; 2],
    products: &[Product<'_>],
) {
    tasks.clear();
    let height =
        tokens.div_ceil(tokens.div_ceil(most_rows).max(1)).next_multiple_of(TILE_STEP).max(TILE_STEP);
    let size = |product: &Product<'_>| product.weights.rows() * product.weights.columns();
    let work = tokens * products.iter().map(size).sum::<usize>();
    let share = (work / (threads * TASKS_PER_THREAD)).max(TASK_WORK);
    for rows in (0..tokens).step_by(height).map(|start| start..tokens.min(start + height)) {
        for (product, Product { weights, .. }) in products.iter().enumerate() {
            let panel_work = rows.len() * ROWS * weights.columns();
            let width = (share / panel_work.max(1)).max(1).next_multiple_of(panels);
            let panels = (0..weights.panels()).step_by(width);
            tasks.extend(panels.map(|start| Task {
                product,
                panels: start..weights.panels().min(start + width),
                rows: rows.clone(),
            }));
        }
    }
}

/// A part of an output: some rows of the input times some panels of the weights.
pub(super) struct Tile<'a> {
    pub(super) weights: &'a Packed,
    pub(super) panels: Range<usize>,
    pub(super) input: Activations<'a>,
    /// At most [`TILE_ROWS`], but for matrix tiles.
    pub(super) rows: Range<usize>,
    output: &'a Parts<'a, f32>,
}

/// Computes with the best instructions up to those that the weights are packed for.
fn compute(tile: &Tile<'_>) {
    let set = tile.weights.instructions;
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(lanes) = (set >= InstructionSet::Avx512Vnni).then(Avx512::new).flatten() {
            return dot::compute(lanes, tile);
        }
        if let Some(lanes) = (set >= InstructionSet::AvxVnni).then(Avx::<true>::new).flatten() {
            return dot::compute(lanes, tile);
        }
        if let Some(lanes) = (set >= InstructionSet::Avx2).then(Avx::<false>::new).flatten() {
            return avx2::compute(lanes, tile);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if let Some(lanes) = (set >= InstructionSet::Neon).then(Neon::new).flatten() {
        return dot::compute(lanes, tile);
    }
    scalar::compute(tile);
}

impl Tile<'_> {
    /// Writes the results of a row of the input for a panel.
    pub(super) fn store(&self, row: usize, panel: usize, results: &[f32; ROWS]) {
        assert!(self.rows.contains(&row) && self.panels.contains(&panel), "row {row}, panel {panel}");
        let (width, first) = (self.weights.rows(), panel * ROWS);
        let count = ROWS.min(width - first);
        let start = row * width + first;
        // SAFETY: the tiles of a product do not overlap, and each is computed by one thread.
        let output = unsafe { self.output.part(start..start + count) };
        match output.as_mut_array() {
            Some(output) => *output = *results,
            None => output.copy_from_slice(&results[..count]),
        }
    }
}
