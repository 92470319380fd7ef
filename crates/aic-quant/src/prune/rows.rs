//! Reading a tensor row by row.
use crate::codec::decode_into;
use crate::{Result, TensorInfo, TensorSource};

/// Bytes read at once.
const SLAB_BYTES: usize = 1 << 20;

/// Calls `visit` with each row of `tensor` as numbers.
pub(super) fn each_row(
    source: &dyn TensorSource,
    tensor: &TensorInfo,
    mut visit: impl FnMut(&mut [f32]) -> Result<()>,
) -> Result<()> {
    let mut row = vec![0.0; tensor.row_length()];
    let row_bytes = tensor.row_bytes();
    each_slab(tensor.bytes, row_bytes, |start, bytes| {
        source.read_into(tensor, start, bytes)?;
        bytes.chunks_exact(row_bytes).try_for_each(|bytes| {
            decode_into(bytes, tensor.dtype, &mut row)?;
            visit(&mut row)
        })
    })
}

/// Calls `visit` with the start of each slab of whole rows, and room for it.
pub(super) fn each_slab(
    bytes: u64,
    row_bytes: usize,
    mut visit: impl FnMut(u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let slab = rows_of_slab(row_bytes) * row_bytes;
    let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(slab).min(slab)];
    for start in (0..bytes).step_by(slab.max(1)) {
        let length = usize::try_from(bytes - start).unwrap_or(slab).min(slab);
        visit(start, &mut buffer[..length])?;
    }
    Ok(())
}

/// Rows that are read at once; at least one, whatever its length.
pub(super) fn rows_of_slab(row_bytes: usize) -> usize {
    (SLAB_BYTES / row_bytes.max(1)).max(1)
}
