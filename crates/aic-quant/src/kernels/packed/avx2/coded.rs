//! Whole numbers: products of 8 bits, summed over as many columns as 16 bits hold, then multiplied by steps and scales.
//!
//! `vpmaddubsw` takes an unsigned byte times a signed one and adds two neighbours; such sums are added up in 16 bits as long as
//! they [fit](run), then widened. Codes of 8 bits have a sign, which is moved to the input.
use std::arch::x86_64::{
    __m256, __m256i, _mm256_abs_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_cvtepi32_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_mul_ps, _mm256_mullo_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sign_epi8, _mm256_storeu_ps, _mm256_storeu_si256,
};

use super::super::activations::{self, Chunk};
use super::super::dot::{Lanes, Slices, pair, run};
use super::super::layout::{Group, ROWS};
use super::super::product::{TILE_ROWS, Tile};
use super::{Avx2, PANELS};

/// Keeps sums in registers between the steps of a loop: the compiler otherwise unrolls it, computes one row after the other,
/// and runs out of registers for the weights of all steps.
macro_rules! hold {
    ($sums:expr) => {
        for sum in $sums.as_flattened_mut() {
            // SAFETY: nothing is done.
            unsafe {
                std::arch::asm!("/* {0} */", inout(ymm_reg) * sum, options(nomem, nostack, preserves_flags))
            };
        }
    };
}
pub(super) use hold;

/// Rows of the input multiplied at a time: their sums and the weights just fit the 16 registers.
const STEP: usize = 3;

/// Two vectors: a number for each row of a panel.
type Pair<T> = [T; 2];

/// Up to 256 columns of a panel.
#[repr(C, align(64))]
struct Unpacked {
    codes: [Group; activations::COLUMNS / 4],
    /// Of each part, twice in a lane.
    steps: [Group; activations::COLUMNS / 16],
    minimum_steps: [[f32; ROWS]; activations::COLUMNS / 16],
    /// Of each block.
    scales: [[f32; ROWS]; activations::COLUMNS / 32],
    minima: [[f32; ROWS]; activations::COLUMNS / 32],
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn compute<B: Slices>(lanes: Avx2, tile: &Tile<'_>) {
    let mut unpacked = Unpacked {
        codes: [[0; ROWS]; 64],
        steps: [[0; ROWS]; 16],
        minimum_steps: [[0.0; ROWS]; 16],
        scales: [[0.0; ROWS]; 8],
        minima: [[0.0; ROWS]; 8],
    };
    let mut sums = [[[0.0; ROWS]; TILE_ROWS]; PANELS];
    for first in tile.panels.clone().step_by(PANELS) {
        let panels = first..tile.panels.end.min(first + PANELS);
        for sums in &mut sums[..panels.len()] {
            sums[..tile.rows.len()].fill([0.0; ROWS]);
        }
        for index in 0..tile.input.columns().div_ceil(activations::COLUMNS) {
            let chunks = tile.input.chunks(index, tile.rows.clone());
            for (panel, sums) in panels.clone().zip(&mut sums) {
                let in_chunk = activations::COLUMNS / B::COLUMNS;
                let blocks = tile.weights.panel::<B>(panel).chunks(in_chunk).nth(index);
                let blocks = blocks.expect("weights have as many columns as the input");
                unpack(lanes, blocks, &mut unpacked);
                add_rows::<B>(blocks.len(), &unpacked, chunks, &mut sums[..chunks.len()]);
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
fn unpack<B: Slices>(lanes: Avx2, blocks: &[B], out: &mut Unpacked) {
    for (index, block) in blocks.iter().enumerate() {
        for slice in 0..B::COLUMNS / 32 {
            let unit = index * B::COLUMNS / 32 + slice;
            for (group, out) in out.codes[8 * unit..][..8].iter_mut().enumerate() {
                store(out, lanes.with_offset(B::OFFSET, block.codes(lanes, slice, group)));
            }
            for part in slice * B::PARTS..(slice + 1) * B::PARTS {
                if B::STEPS {
                    store(&mut out.steps[part], block.step(lanes, part));
                }
                if B::STEPS && B::MINIMA {
                    out.minimum_steps[part] = lanes.numbers(block.minimum_step(lanes, part));
                }
            }
        }
        out.scales[index] = lanes.numbers(block.scale(lanes));
        if B::MINIMA {
            out.minima[index] = lanes.numbers(block.minimum(lanes));
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn add_rows<B: Slices>(blocks: usize, unpacked: &Unpacked, chunks: &[Chunk], sums: &mut [[f32; ROWS]]) {
    let (steps, rest) = chunks.as_chunks::<STEP>();
    let (sums, sums_rest) = sums.as_chunks_mut::<STEP>();
    for (chunks, sums) in steps.iter().zip(sums) {
        add::<B, STEP>(blocks, unpacked, chunks, sums);
    }
    if let (Some(chunks), Some(sums)) = (rest.as_array::<2>(), sums_rest.as_mut_array()) {
        add::<B, 2>(blocks, unpacked, chunks, sums);
    }
    if let ([chunk], [sums]) = (rest, sums_rest) {
        add::<B, 1>(blocks, unpacked, std::array::from_ref(chunk), std::array::from_mut(sums));
    }
}

/// Adds to the sums of `M` rows of the input what the unpacked columns contribute.
#[target_feature(enable = "avx2,fma,f16c")]
fn add<B: Slices, const M: usize>(
    blocks: usize,
    unpacked: &Unpacked,
    chunks: &[Chunk; M],
    sums: &mut [[f32; ROWS]; M],
) {
    if B::COLUMNS == activations::COLUMNS {
        add_super_block::<B, M>(unpacked, chunks, sums);
    } else {
        add_blocks::<B, M>(blocks, unpacked, chunks, sums);
    }
}

/// Columns that are one block.
#[target_feature(enable = "avx2,fma,f16c")]
fn add_super_block<B: Slices, const M: usize>(
    unpacked: &Unpacked,
    chunks: &[Chunk; M],
    sums: &mut [[f32; ROWS]; M],
) {
    let mut products = [[_mm256_setzero_ps(); 2]; M];
    for unit in 0..8 {
        let whole = whole::<B, M>(unpacked, chunks, unit);
        for j in 0..M {
            let scale = _mm256_set1_ps(chunks[j].scales[unit]);
            for h in 0..2 {
                products[j][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[j][h]), scale, products[j][h]);
            }
        }
        hold!(products);
    }
    add_times(&unpacked.scales[0], &products, sums);
    if B::MINIMA {
        let mut minima = [[_mm256_setzero_ps(); 2]; M];
        for part in 0..8 * B::PARTS {
            let step = load_numbers(&unpacked.minimum_steps[part]);
            for j in 0..M {
                let input = if B::PARTS == 1 { chunks[j].sums[part] } else { chunks[j].half_sums[part] };
                for h in 0..2 {
                    minima[j][h] = _mm256_fmadd_ps(step[h], _mm256_set1_ps(input), minima[j][h]);
                }
            }
        }
        add_times(&unpacked.minima[0], &minima, sums);
    }
}

/// Adds `numbers` times `factors`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_times<const M: usize>(
    factors: &[f32; ROWS],
    numbers: &[Pair<__m256>; M],
    sums: &mut [[f32; ROWS]; M],
) {
    let factors = load_numbers(factors);
    for (sums, numbers) in sums.iter_mut().zip(numbers) {
        let [low, high] = load_numbers(sums);
        let low = _mm256_fmadd_ps(numbers[0], factors[0], low);
        store_numbers(sums, [low, _mm256_fmadd_ps(numbers[1], factors[1], high)]);
    }
}

/// Columns that are blocks of 32.
#[target_feature(enable = "avx2,fma,f16c")]
fn add_blocks<B: Slices, const M: usize>(
    blocks: usize,
    unpacked: &Unpacked,
    chunks: &[Chunk; M],
    sums: &mut [[f32; ROWS]; M],
) {
    let mut totals = [[_mm256_setzero_ps(); 2]; M];
    for (total, sums) in totals.iter_mut().zip(&*sums) {
        *total = load_numbers(sums);
    }
    for unit in 0..blocks.min(8) {
        let whole = whole::<B, M>(unpacked, chunks, unit);
        let scales = load_numbers(&unpacked.scales[unit]);
        for j in 0..M {
            let scale = _mm256_set1_ps(chunks[j].scales[unit]);
            for h in 0..2 {
                let product = _mm256_mul_ps(_mm256_cvtepi32_ps(whole[j][h]), scale);
                totals[j][h] = _mm256_fmadd_ps(product, scales[h], totals[j][h]);
            }
        }
        if B::MINIMA {
            let minima = load_numbers(&unpacked.minima[unit]);
            for j in 0..M {
                let sum = _mm256_set1_ps(chunks[j].sums[unit]);
                for h in 0..2 {
                    totals[j][h] = _mm256_fmadd_ps(sum, minima[h], totals[j][h]);
                }
            }
        }
        hold!(totals);
    }
    for (sums, total) in sums.iter_mut().zip(totals) {
        store_numbers(sums, total);
    }
}

/// The products of 32 columns, steps included.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn whole<B: Slices, const M: usize>(
    unpacked: &Unpacked,
    chunks: &[Chunk; M],
    unit: usize,
) -> [Pair<__m256i>; M] {
    let groups = 8 / B::PARTS;
    let mut whole = [[_mm256_setzero_si256(); 2]; M];
    for part in 0..B::PARTS {
        let steps =
            if B::STEPS { load(&unpacked.steps[unit * B::PARTS + part]) } else { [_mm256_set1_epi16(1); 2] };
        let run = const { run::<B>() };
        for start in (0..groups).step_by(run) {
            let at = Place { unit, group: part * groups + start };
            let narrow = if run == 1 {
                signed::<M>(unpacked, chunks, at)
            } else {
                unsigned::<B, M>(unpacked, chunks, at, run)
            };
            for j in 0..M {
                for h in 0..2 {
                    let wide = _mm256_madd_epi16(narrow[j][h], steps[h]);
                    whole[j][h] = if part + start == 0 { wide } else { _mm256_add_epi32(whole[j][h], wide) };
                }
            }
            if run == 1 {
                hold!(whole);
            }
        }
    }
    whole
}

/// Four columns.
#[derive(Clone, Copy)]
struct Place {
    /// Which 32 of a chunk.
    unit: usize,
    /// Which four of those.
    group: usize,
}

/// Sums of products of a run of groups, whose codes are from zero up, less what the codes are too large by.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unsigned<B: Slices, const M: usize>(
    unpacked: &Unpacked,
    chunks: &[Chunk; M],
    at: Place,
    run: usize,
) -> [Pair<__m256i>; M] {
    let mut narrow = [[_mm256_setzero_si256(); 2]; M];
    if B::OFFSET != 0 {
        for j in 0..M {
            let pairs = if B::PARTS == 1 {
                chunks[j].pairs[at.unit]
            } else {
                chunks[j].half_pairs[2 * at.unit + at.group / 4]
            };
            let pairs = _mm256_set1_epi32(pair(pairs) as i32);
            narrow[j] = [_mm256_mullo_epi16(pairs, _mm256_set1_epi16(-B::OFFSET as i16)); 2];
        }
    }
    for group in (at.group..at.group + run).step_by(4) {
        let weights =
            unpacked.codes[8 * at.unit + group..].first_chunk::<4>().expect("there are four groups");
        if let (Some(narrow), Some(chunks)) = (narrow.as_mut_slice().as_mut_array(), chunks.as_array()) {
            add_to_three(weights, chunks, 8 * at.unit + group, narrow);
        } else {
            add_to_few(weights, chunks, 8 * at.unit + group, &mut narrow);
        }
    }
    narrow
}

/// Adds the products of four groups to the sums of fewer than three rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_to_few<const M: usize>(
    weights: &[Group; 4],
    chunks: &[Chunk; M],
    group: usize,
    narrow: &mut [Pair<__m256i>; M],
) {
    for (i, weights) in weights.iter().enumerate() {
        let weights = load(weights);
        for j in 0..M {
            let input = input(&chunks[j], group + i);
            for h in 0..2 {
                narrow[j][h] = _mm256_add_epi16(narrow[j][h], _mm256_maddubs_epi16(weights[h], input));
            }
        }
    }
}

/// Adds the products of four groups to the sums of three rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_to_three(weights: &[Group; 4], chunks: &[Chunk; 3], group: usize, narrow: &mut [Pair<__m256i>; 3]) {
    macro_rules! weights {
        ($group:literal) => {
            concat!(
                concat!("vmovdqu {w0}, [{weights} + 64 * ", $group, "]\n"),
                concat!("vmovdqu {w1}, [{weights} + 64 * ", $group, " + 32]\n"),
            )
        };
    }
    macro_rules! row {
        ($group:literal, $row:literal, $low:literal, $high:literal) => {
            concat!(
                concat!("vpbroadcastd {x}, [{input} + 4 * ", $group, " + {row_bytes} * ", $row, "]\n"),
                "vpmaddubsw {y}, {w0}, {x}\n",
                "vpmaddubsw {x}, {w1}, {x}\n",
                concat!("vpaddw {", $low, "}, {", $low, "}, {y}\n"),
                concat!("vpaddw {", $high, "}, {", $high, "}, {x}\n"),
            )
        };
    }
    macro_rules! group {
        ($group:literal) => {
            concat!(
                weights!($group),
                row!($group, 0, "a0", "a1"),
                row!($group, 1, "b0", "b1"),
                row!($group, 2, "c0", "c1"),
            )
        };
    }
    let input = &chunks[0].codes.as_chunks::<4>().0[group..][..4];
    let [a, b, c] = narrow;
    // SAFETY: four groups of weights and the same four groups of the codes of three chunks, which lie one after the other, are
    // read; nothing is written.
    unsafe {
        std::arch::asm!(
            group!(0), group!(1), group!(2), group!(3),
            weights = in(reg) weights, input = in(reg) input.as_ptr(), row_bytes = const size_of::<Chunk>(),
            a0 = inout(ymm_reg) a[0], a1 = inout(ymm_reg) a[1],
            b0 = inout(ymm_reg) b[0], b1 = inout(ymm_reg) b[1],
            c0 = inout(ymm_reg) c[0], c1 = inout(ymm_reg) c[1],
            w0 = out(ymm_reg) _, w1 = out(ymm_reg) _, x = out(ymm_reg) _, y = out(ymm_reg) _,
            options(readonly, pure, nostack, preserves_flags),
        );
    }
}

/// Products of a group whose codes have signs.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn signed<const M: usize>(unpacked: &Unpacked, chunks: &[Chunk; M], at: Place) -> [Pair<__m256i>; M] {
    let weights = load(&unpacked.codes[8 * at.unit + at.group]);
    let sizes = weights.map(|weights| _mm256_abs_epi8(weights));
    let mut narrow = [[_mm256_setzero_si256(); 2]; M];
    for j in 0..M {
        let input = input(&chunks[j], 8 * at.unit + at.group);
        for h in 0..2 {
            narrow[j][h] = _mm256_maddubs_epi16(sizes[h], _mm256_sign_epi8(input, weights[h]));
        }
    }
    narrow
}

/// Four columns of the input, for each row of the weights.
#[inline]
#[target_feature(enable = "avx2")]
fn input(chunk: &Chunk, group: usize) -> __m256i {
    let codes = chunk.codes.as_chunks().0[group];
    _mm256_set1_epi32(i32::from_le_bytes(codes.map(|code: i8| code as u8)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(group: &Group) -> Pair<__m256i> {
    let start = group.as_ptr().cast::<__m256i>();
    // SAFETY: a group is 64 bytes.
    unsafe { [_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))] }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(group: &mut Group, codes: Pair<__m256i>) {
    let start = group.as_mut_ptr().cast::<__m256i>();
    // SAFETY: a group is 64 bytes.
    unsafe {
        _mm256_storeu_si256(start, codes[0]);
        _mm256_storeu_si256(start.add(1), codes[1]);
    }
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
