//! By what a model is recognised without reading all of it.
use super::layout;
use crate::recipe::Plan;
use crate::{Result, TensorInfo, TensorSource};

/// Bytes of a tensor's beginning and of its end that are looked at.
const SAMPLE_BYTES: usize = 4096;

/// A hash of a model's metadata, its tensors' names, shapes and types, and of the beginning and end of each one's data.
pub(crate) fn fingerprint(source: &dyn TensorSource) -> Result<[u8; 32]> {
    let mut hash = blake3::Hasher::new();
    hash.update(&layout(source, &Plan::keep(source)?)?.header);
    for tensor in source.tensors() {
        for sample in samples(source, tensor)? {
            hash.update(&sample);
        }
    }
    Ok(hash.finalize().into())
}

/// The first and the last rows of a tensor.
fn samples(source: &dyn TensorSource, tensor: &TensorInfo) -> Result<[Vec<u8>; 2]> {
    let (rows, row_bytes) = (tensor.rows(), tensor.row_bytes());
    let taken = (SAMPLE_BYTES / row_bytes.max(1)).max(1).min(rows);
    let read = |first: usize| {
        let mut bytes = vec![0; taken * row_bytes];
        source.read_into(tensor, (first * row_bytes) as u64, &mut bytes)?;
        Ok(bytes)
    };
    Ok([read(0)?, read(rows - taken)?])
}
