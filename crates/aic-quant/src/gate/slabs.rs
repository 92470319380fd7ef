use crate::{Result, TensorInfo, TensorSource};

/// About how many numbers are read at once.
const SLAB: usize = 1 << 20;

/// Calls `visit` with the bytes of some whole rows of `tensor` after another, and the index of the first.
pub(super) fn each(
    source: &dyn TensorSource,
    tensor: &TensorInfo,
    mut visit: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let row_bytes = tensor.row_bytes() as u64;
    let rows = rows_at_once(tensor) as u64;
    let mut start = 0;
    while start < tensor.bytes {
        let mut bytes = vec![0; (rows * row_bytes).min(tensor.bytes - start) as usize];
        source.read_into(tensor, start, &mut bytes)?;
        visit(&bytes, start / row_bytes)?;
        start += bytes.len() as u64;
    }
    Ok(())
}

/// How many rows [`each`] hands over at once; fewer at the end.
pub(super) fn rows_at_once(tensor: &TensorInfo) -> usize {
    (SLAB / tensor.row_length().max(1)).max(1)
}
