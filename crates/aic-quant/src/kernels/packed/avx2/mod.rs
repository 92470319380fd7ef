//! Products with AVX2, fused multiply-add and half-precision conversion.
//!
//! A panel's next 256 columns are unpacked to bytes and 32-bit scales in the first cache, and multiplied with all rows of the
//! tile, three at a time. Streaming weights for one token, that is fast enough too: unpacking a byte costs less than reading
//! it from memory.
mod coded;
mod plain;
mod unpack;

use super::layout::{with_coded, with_plain};
use super::product::Tile;

/// # Safety
/// The processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn compute(tile: &Tile<'_>) {
    let dtype = tile.weights.dtype();
    with_coded!(dtype, B => coded::compute::<B>(tile), else
        with_plain!(dtype, B => plain::compute::<B>(tile), else unreachable!("not packed")));
}
