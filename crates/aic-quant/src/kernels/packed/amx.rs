//! Matrix tiles, for many rows of input.
//!
//! A tile instruction adds the product of sixteen rows of input with a panel, over 32 columns of bfloat16 numbers, to a tile
//! of `f32`, in sixteen cycles. Weights are unpacked to bfloat16, scales and all, once for up to [`TILE_ROWS`] rows of input.
//! Tiles of 8-bit numbers would be twice as fast, were it not for the scales that each 16 or 32 columns of a row have of their
//! own: to apply those, each result must leave its tile after every instruction, which takes longer than two instructions.
//! And bfloat16 rounds by at most 1/256 of each number, where 8-bit input errs by 1/254 of the largest of 32, so results are
//! closer to those of exact input.
//!
//! Numbers of more bits than bfloat16 has are split into the nearest such number and the nearest to the rest. For plain
//! weights, the product of the rests is left out and the three others added: as good as `f32` up to 2⁻¹⁶ of each product.
//! Quantized weights and their input are rounded. Numbers above the largest bfloat16, 3.39 × 10³⁸, count as infinite, numbers
//! below 1.2 × 10⁻³⁸ as zero.
//!
//! The compiler knows nothing of tiles, so their instructions are inline assembly. They need leave of the system, once, and a
//! configuration in each thread.
use std::arch::asm;
use std::arch::x86_64::*;
use std::array;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

use super::super::{Parts, Pool};
use super::avx512::Avx512;
use super::dot::{Lanes, Numbers, SLICE, Slices};
use super::layout::{ROWS, with_coded, with_plain};
use super::product::Tile;

/// Fewest rows of input with which tiles are worth the unpacking: it takes as long as multiplying some hundred rows with tiles,
/// or sixteen without.
pub(super) const FEWEST_ROWS: usize = 24;

/// Most rows of input that share an unpacked panel.
pub(super) const TILE_ROWS: usize = 512;

/// Slices that are unpacked at once: two panels of them, 32 KiB, stay in the first cache while all rows pass by.
const RUN: usize = 16;

/// Panels between which the rows of a run stay in the second cache.
const PANELS: usize = 16;

/// A tile in memory. Of input, sixteen rows of 32 bfloat16 numbers. Of weights, sixteen pairs of columns, and in each a pair of
/// such numbers for each row of a panel. Of results, sixteen rows of `f32`, one for each row of a panel.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Square([[u32; ROWS]; 16]);

impl Square {
    const ZERO: Self = Self([[0; ROWS]; 16]);
}

/// The proof that the processor has tiles of bfloat16, that the system lets this process use them, and of AVX-512 with
/// bfloat16 beside.
#[derive(Clone, Copy)]
pub(crate) struct Amx(Avx512);

impl Amx {
    pub(crate) fn new() -> Option<Self> {
        static LEAVE: OnceLock<bool> = OnceLock::new();
        let lanes = Avx512::new().filter(|_| is_x86_feature_detected!("avx512bf16"))?;
        LEAVE.get_or_init(|| has_tiles() && ask_leave()).then_some(Self(lanes))
    }

    /// Computes a tile whose input [`Input::new`] prepared.
    pub(super) fn compute(self, tile: &Tile<'_>, input: Input<'_>) {
        thread_local! {
            static WORKSPACE: RefCell<Workspace> = RefCell::default();
        }
        let dtype = tile.weights.dtype();
        let _configured = Configured::new(self);
        WORKSPACE.with_borrow_mut(|space| {
            with_coded!(dtype, B => self.panels::<Coded<B>>(tile, input, space), else
                with_plain!(dtype, B => self.panels::<Plain<B>>(tile, input, space), else unreachable!("not packed")));
        });
    }

    fn panels<U: Unpack>(self, tile: &Tile<'_>, input: Input<'_>, space: &mut Workspace) {
        let strips = tile.rows.start / ROWS..tile.rows.end.div_ceil(ROWS);
        for start in tile.panels.clone().step_by(PANELS) {
            let panels = start..tile.panels.end.min(start + PANELS);
            space.results.clear();
            space.results.resize(panels.len().div_ceil(2) * strips.len(), [Square::ZERO; 2]);
            for run in (0..input.slices).step_by(RUN) {
                let run = run..input.slices.min(run + RUN);
                for (pair, results) in space.results.chunks_exact_mut(strips.len()).enumerate() {
                    let pair = panels.start + 2 * pair..panels.end.min(panels.start + 2 * pair + 2);
                    self.unpack::<U>(tile, pair, run.clone(), &mut space.weights);
                    self.add::<U>(input, strips.clone(), run.clone(), &space.weights, results);
                }
            }
            store(tile, panels, strips.clone(), &space.results);
        }
    }

    /// Calls `work`, which is compiled with the instructions.
    #[inline(always)]
    fn call<T>(self, work: impl FnOnce() -> T) -> T {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512bf16")]
        fn inner<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        // SAFETY: an `Amx` is made only where the processor has them.
        unsafe { inner(work) }
    }

    /// Unpacks a run of two panels, or of the last one.
    fn unpack<U: Unpack>(
        self,
        tile: &Tile<'_>,
        panels: Range<usize>,
        run: Range<usize>,
        weights: &mut Weights,
    ) {
        for (side, panel) in panels.enumerate() {
            let blocks = tile.weights.panel::<U::Block>(panel);
            self.call(
                #[inline(always)]
                || {
                    for (at, slice) in run.clone().enumerate() {
                        let [nearest, rests] = weights;
                        U::unpack(self, blocks, slice, [&mut nearest[side][at], &mut rests[side][at]]);
                    }
                },
            );
        }
    }

    /// Adds the products of a run to the results of a pair of panels.
    fn add<U: Unpack>(
        self,
        input: Input<'_>,
        strips: Range<usize>,
        run: Range<usize>,
        [nearest, rests]: &Weights,
        results: &mut [[Square; 2]],
    ) {
        for (strip, results) in strips.step_by(2).zip(results.chunks_mut(2)) {
            let other = strip + results.len() - 1;
            let inputs = |squares: &[Square]| {
                [strip, other].map(|strip| squares[strip * input.slices..][run.clone()].as_ptr())
            };
            let weights = |squares: &[[Square; RUN]; 2]| squares.each_ref().map(|side| side.as_ptr());
            // SAFETY: there are `run.len()` squares of each input strip, and at most `RUN` of each panel.
            unsafe {
                self.accumulate(run.len(), inputs(input.nearest), weights(nearest), results);
                if U::SPLIT_INPUT {
                    self.accumulate(run.len(), inputs(input.rests), weights(nearest), results);
                }
                if U::SPLIT {
                    self.accumulate(run.len(), inputs(input.nearest), weights(rests), results);
                }
            }
        }
    }

    /// Adds the products of one or two strips of input, as many as there are `results`, with two panels.
    ///
    /// # Safety
    /// This thread's tiles are configured, and each pointer is to `count` squares, at least one.
    #[inline(always)]
    unsafe fn accumulate(
        self,
        count: usize,
        input: [*const Square; 2],
        weights: [*const Square; 2],
        results: &mut [[Square; 2]],
    ) {
        let results_start = results.as_mut_ptr();
        if let [_] = results {
            // SAFETY: the caller answers for what is read; one result of two squares is read and written.
            unsafe {
                asm!(
                    "tileloadd tmm0, [{results} + {stride}]",
                    "tileloadd tmm1, [{results} + {stride} + 1024]",
                    "2:",
                    "tileloadd tmm4, [{input} + {stride}]",
                    "tileloadd tmm6, [{first} + {stride}]",
                    "tileloadd tmm7, [{second} + {stride}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "add {input}, 1024",
                    "add {first}, 1024",
                    "add {second}, 1024",
                    "dec {count}",
                    "jnz 2b",
                    "tilestored [{results} + {stride}], tmm0",
                    "tilestored [{results} + {stride} + 1024], tmm1",
                    results = in(reg) results_start,
                    stride = in(reg) 64_usize,
                    input = inout(reg) input[0] => _,
                    first = inout(reg) weights[0] => _,
                    second = inout(reg) weights[1] => _,
                    count = inout(reg) count => _,
                    options(nostack),
                );
            }
        } else {
            assert_eq!(results.len(), 2);
            // SAFETY: the caller answers for what is read; two results of two squares each are read and written.
            unsafe {
                asm!(
                    "tileloadd tmm0, [{results} + {stride}]",
                    "tileloadd tmm1, [{results} + {stride} + 1024]",
                    "tileloadd tmm2, [{results} + {stride} + 2048]",
                    "tileloadd tmm3, [{results} + {stride} + 3072]",
                    "2:",
                    "tileloadd tmm4, [{input} + {stride}]",
                    "tileloadd tmm6, [{first} + {stride}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{other} + {stride}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tileloadd tmm7, [{second} + {stride}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {input}, 1024",
                    "add {other}, 1024",
                    "add {first}, 1024",
                    "add {second}, 1024",
                    "dec {count}",
                    "jnz 2b",
                    "tilestored [{results} + {stride}], tmm0",
                    "tilestored [{results} + {stride} + 1024], tmm1",
                    "tilestored [{results} + {stride} + 2048], tmm2",
                    "tilestored [{results} + {stride} + 3072], tmm3",
                    results = in(reg) results_start,
                    stride = in(reg) 64_usize,
                    input = inout(reg) input[0] => _,
                    other = inout(reg) input[1] => _,
                    first = inout(reg) weights[0] => _,
                    second = inout(reg) weights[1] => _,
                    count = inout(reg) count => _,
                    options(nostack),
                );
            }
        }
    }

    /// Pairs of the nearest bfloat16 numbers, the even columns in the lower halves.
    #[inline(always)]
    fn pairs(self, even: __m512, odd: __m512) -> __m512i {
        const INTERLEAVED: [u16; 32] = {
            let (mut places, mut i) = ([0; 32], 0);
            while i < 32 {
                places[i] = (i / 2 + i % 2 * 16) as u16;
                i += 1;
            }
            places
        };
        // SAFETY: an `Amx` is made only where the processor has AVX-512 with BW and BF16; 64 bytes are read.
        unsafe {
            let one_after_the_other: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(odd, even));
            _mm512_permutexvar_epi16(_mm512_loadu_si512(INTERLEAVED.as_ptr().cast()), one_after_the_other)
        }
    }

    /// What [`pairs`](Self::pairs) rounds away, in pairs.
    #[inline(always)]
    fn rests(self, even: __m512, odd: __m512, pairs: __m512i) -> __m512i {
        let Self(lanes) = self;
        let (even_part, odd_part) = (lanes.shift(pairs, 16), lanes.and(pairs, lanes.splat(0xffff_0000)));
        let rest =
            |number, part| lanes.multiply_add(lanes.splat_float(-1.0), lanes.reinterpret(part), number);
        self.pairs(rest(even, even_part), rest(odd, odd_part))
    }

    #[inline(always)]
    fn store(self, vector: __m512i, out: &mut [u32; ROWS]) {
        // SAFETY: an `Amx` is made only where the processor has AVX-512; 64 bytes are written.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), vector) };
    }
}

/// Unpacked runs of two panels: the nearest numbers, and the nearest to the rests.
type Weights = [[[Square; RUN]; 2]; 2];

/// Memory that a thread keeps.
struct Workspace {
    weights: Box<Weights>,
    /// For each pair of panels, all strips.
    results: Vec<[Square; 2]>,
}

impl Default for Workspace {
    fn default() -> Self {
        Self { weights: Box::new([[[Square::ZERO; RUN]; 2]; 2]), results: Vec::new() }
    }
}

fn store(tile: &Tile<'_>, panels: Range<usize>, strips: Range<usize>, results: &[[Square; 2]]) {
    for (index, panel) in panels.enumerate() {
        let results = &results[index / 2 * strips.len()..];
        for row in tile.rows.clone() {
            let square = &results[row / ROWS - strips.start][index % 2];
            tile.store(row, panel, &square.0[row % ROWS].map(f32::from_bits));
        }
    }
}

/// Rows of input in tiles: for each sixteen rows, all slices, zeros beyond the end.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    slices: usize,
    nearest: &'a [Square],
    /// None where only quantized weights are multiplied.
    rests: &'a [Square],
}

/// Memory of an [`Input`].
#[derive(Default)]
pub(super) struct Squares {
    nearest: Vec<Square>,
    rests: Vec<Square>,
}

impl<'a> Input<'a> {
    /// Takes over `numbers`, `[rows, columns]`; `split` says whether the rests are wanted.
    pub(super) fn new(
        amx: Amx,
        numbers: &[f32],
        columns: usize,
        split: bool,
        pool: &Pool,
        memory: &'a mut Squares,
    ) -> Self {
        let rows: Vec<_> = numbers.chunks(columns.max(1)).collect();
        let slices = columns.div_ceil(SLICE);
        let count = rows.len().div_ceil(ROWS) * slices;
        for (squares, wanted) in [(&mut memory.nearest, true), (&mut memory.rests, split)] {
            squares.resize(if wanted { squares.len().max(count) } else { squares.len() }, Square::ZERO);
        }
        let (nearest, rests) = (Parts::new(&mut memory.nearest), Parts::new(&mut memory.rests));
        pool.run(rows.len().div_ceil(ROWS), |strip| {
            let range = strip * slices..(strip + 1) * slices;
            // SAFETY: each task takes the squares of a strip of its own.
            let nearest = unsafe { nearest.part(range.clone()) };
            // SAFETY: as above.
            let rests = split.then(|| unsafe { rests.part(range) });
            let rows = &rows[strip * ROWS..rows.len().min((strip + 1) * ROWS)];
            amx.call(
                #[inline(always)]
                || fill_strip(amx, rows, nearest, rests),
            );
        });
        let rests = if split { &memory.rests[..count] } else { &[] };
        Self { slices, nearest: &memory.nearest[..count], rests }
    }
}

#[inline(always)]
fn fill_strip(amx: Amx, rows: &[&[f32]], nearest: &mut [Square], mut rests: Option<&mut [Square]>) {
    for row in 0..ROWS {
        for slice in 0..nearest.len() {
            let mut numbers = [0.0; SLICE];
            let known = rows.get(row).map_or(&[][..], |row| &row[slice * SLICE..]);
            let known = &known[..known.len().min(SLICE)];
            numbers[..known.len()].copy_from_slice(known);
            let (even, odd) = (array::from_fn(|i| numbers[2 * i]), array::from_fn(|i| numbers[2 * i + 1]));
            let (even, odd) = (amx.0.load_floats(&even), amx.0.load_floats(&odd));
            let pairs = amx.pairs(even, odd);
            amx.store(pairs, &mut nearest[slice].0[row]);
            if let Some(rests) = rests.as_deref_mut() {
                amx.store(amx.rests(even, odd, pairs), &mut rests[slice].0[row]);
            }
        }
    }
}

/// How blocks of a type become tiles.
trait Unpack {
    type Block: super::layout::Block;
    /// Whether a weight may have more bits than bfloat16 numbers that should not be lost.
    const SPLIT: bool;
    /// The same for the input that it is multiplied with.
    const SPLIT_INPUT: bool;

    /// Unpacks a slice of a panel to the nearest numbers, and their rests if wanted.
    fn unpack(amx: Amx, blocks: &[Self::Block], slice: usize, out: [&mut Square; 2]);
}

struct Coded<B>(std::marker::PhantomData<B>);

impl<B: Slices> Unpack for Coded<B> {
    type Block = B;
    const SPLIT: bool = false;
    const SPLIT_INPUT: bool = false;

    #[inline(always)]
    fn unpack(amx: Amx, blocks: &[B], slice: usize, [out, _]: [&mut Square; 2]) {
        let (lanes, in_block) = (amx.0, B::COLUMNS / SLICE);
        let (block, slice) = (&blocks[slice / in_block], slice % in_block);
        for part in 0..B::PARTS {
            let part_of_block = slice * B::PARTS + part;
            let scale =
                lanes.multiply(block.scale(lanes), lanes.whole_floats(block.step(lanes, part_of_block)));
            let minimum = lanes.multiply(block.minimum(lanes), block.minimum_step(lanes, part_of_block));
            let lowest = lanes.multiply_add(lanes.splat_float(-B::OFFSET as f32), scale, minimum);
            for group in part * 8 / B::PARTS..(part + 1) * 8 / B::PARTS {
                let codes = block.codes(lanes, slice, group);
                let number = |byte| {
                    let code = lanes.and(lanes.shift(codes, -8 * byte), lanes.splat(0xff));
                    lanes.multiply_add(lanes.floats(code), scale, lowest)
                };
                amx.store(amx.pairs(number(0), number(1)), &mut out.0[2 * group]);
                amx.store(amx.pairs(number(2), number(3)), &mut out.0[2 * group + 1]);
            }
        }
    }
}

struct Plain<B>(std::marker::PhantomData<B>);

impl<B: Numbers> Unpack for Plain<B> {
    type Block = B;
    const SPLIT: bool = B::COLUMNS == 1;
    const SPLIT_INPUT: bool = true;

    #[inline(always)]
    fn unpack(amx: Amx, blocks: &[B], slice: usize, [out, rests]: [&mut Square; 2]) {
        let lanes = amx.0;
        for (index, (out, rests)) in out.0.iter_mut().zip(&mut rests.0).enumerate() {
            let numbers = |column: usize| match blocks.get(column / B::COLUMNS) {
                Some(block) => block.column(lanes, column % B::COLUMNS),
                None => lanes.zero(),
            };
            let column = slice * SLICE + 2 * index;
            let (even, odd) = (numbers(column), numbers(column + 1));
            let pairs = amx.pairs(even, odd);
            amx.store(pairs, out);
            if Self::SPLIT {
                amx.store(amx.rests(even, odd, pairs), rests);
            }
        }
    }
}

/// Tiles of this thread, configured; released when dropped, so that the system need not keep them.
struct Configured(());

impl Configured {
    fn new(_: Amx) -> Self {
        /// As `ldtilecfg` wants it: palette 1, and eight tiles of sixteen rows of 64 bytes.
        #[repr(C, align(64))]
        struct Configuration {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            row_bytes: [u16; 16],
            rows: [u8; 16],
        }
        static ALL: Configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
            rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        // SAFETY: an `Amx` is made only where the processor has tiles and the system allows them; 64 bytes are read.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &ALL, options(nostack, readonly)) };
        Self(())
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: `new` had the proof that there are tiles.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Whether the processor has tiles of bfloat16, as large as they are now, and the system saves them.
fn has_tiles() -> bool {
    const TILE: u32 = 1 << 24;
    const BF16: u32 = 1 << 22;
    const TILE_STATE: u64 = 3 << 17;
    let most = __cpuid(0).eax;
    if most < 0x1d || __cpuid_count(7, 0).edx & (TILE | BF16) != TILE | BF16 {
        return false;
    }
    let palette = __cpuid_count(0x1d, 1);
    let (row_bytes, tiles, rows) = (palette.ebx & 0xffff, palette.ebx >> 16, palette.ecx & 0xffff);
    // SAFETY: a processor with AVX-512 has XSAVE, which the caller found.
    let saved = unsafe { _xgetbv(0) };
    (row_bytes, tiles, rows) == (64, 8, 16) && saved & TILE_STATE == TILE_STATE
}

/// Asks the system to let this process, with all of its threads, use tiles.
#[cfg(target_os = "linux")]
fn ask_leave() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and touches no memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn ask_leave() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::super::tests::{Source, all, columns_of, input};
    use super::super::{Product, Scratch, multiply};
    use super::*;
    use crate::kernels::InstructionSet;

    /// That results are no further off than rounding to bfloat16, once or to twice its bits, makes them.
    fn check(output: &[f32], source: &Source, input: &[f32]) {
        let (weights, columns) = (source.numbers(), source.columns);
        let relative = if source.dtype.is_quantized() { 1.0 / 256.0 } else { 1.0 / 32768.0 };
        for (i, output) in output.iter().enumerate() {
            let (token, row) = (i / source.rows, i % source.rows);
            let (weights, input) =
                (&weights[row * columns..][..columns], &input[token * columns..][..columns]);
            let products = weights.iter().zip(input).map(|(a, b)| f64::from(*a) * f64::from(*b));
            let (exact, size) = products.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
            let error = (f64::from(*output) - exact).abs();
            assert!(error <= size * relative, "{}: {output}, not {exact}, {token}, {row}", source.dtype);
        }
    }

    #[test]
    fn products_of_many_tokens_are_as_exact_as_bfloat16_allows() {
        if Amx::new().is_none() {
            eprintln!("skipped: this processor has no matrix tiles");
            return;
        }
        let (mut rng, pool) = (StdRng::seed_from_u64(1), Pool::new(2).unwrap());
        for dtype in all() {
            for (rows, blocks, tokens) in [(1, 1, 24), (16, 2, 32), (47, 3, 33), (40, 9, 65), (560, 1, 47)] {
                let source = Source::random(dtype, rows, columns_of(dtype, blocks), &mut rng);
                let weights = source.pack(InstructionSet::Amx, &pool);
                let input = input(tokens * source.columns, &mut rng);
                let mut output = vec![f32::NAN; tokens * rows];
                let products = &mut [Product { weights: &weights, output: &mut output }];
                multiply(&pool, &mut Scratch::default(), &input, tokens, products);
                check(&output, &source, &input);
            }
        }
    }
}
