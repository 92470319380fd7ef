//! Products of many rows with AVX2, fused multiply-add and half-precision conversion.
//!
//! A panel's next columns are unpacked to the first cache and multiplied with all rows of the tile, three or six at a time; the
//! input's next columns stay in the second cache for all panels of the tile. For a few rows that is no gain: they are left to
//! [`dot`](super::dot), with the same results.
mod coded;
mod plain;
mod quantize;

pub(super) use self::quantize::quantize_row;
use super::avx::Avx;
use super::dot;
use super::layout::{with_coded, with_plain};
use super::product::Tile;

/// Vectors of 256 bits without 8-bit dot products.
type Avx2 = Avx<false>;

/// Rows that are too few for unpacked weights to pay: codes are unpacked faster than they are multiplied, and plain numbers are
/// hardly unpacked at all.
const FEW_CODED: usize = 5;
const FEW_PLAIN: usize = 16;

/// Panels of a tile that are computed at a time.
const PANELS: usize = 4;

pub(super) fn compute(lanes: Avx2, tile: &Tile<'_>) {
    let dtype = tile.weights.dtype();
    if tile.rows.len() <= if dtype.is_quantized() { FEW_CODED } else { FEW_PLAIN } {
        return dot::compute(lanes, tile);
    }
    // SAFETY: `lanes` is the proof that the processor has the instructions.
    unsafe {
        with_coded!(dtype, B => coded::compute::<B>(lanes, tile), else
            with_plain!(dtype, B => plain::compute::<B>(lanes, tile), else unreachable!("not packed")));
    }
}
