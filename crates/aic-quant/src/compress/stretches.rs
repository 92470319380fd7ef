use std::path::Path;

use super::header::{STRETCH_LIMIT, Stretch};
use crate::{DType, TensorInfo, gguf, safetensors};

/// Bytes worked on at a time; whole numbers of 2, 4 and 8 bytes.
pub(super) const CHUNK: usize = 1 << 20;
/// A float tensor smaller than this is not worth a stretch.
const SMALLEST: u64 = 1 << 12;

/// A piece of a file, at most [`CHUNK`] long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) length: usize,
    /// Bytes per number; 1 where nothing is separated.
    pub(super) width: usize,
}

/// Where the float tensors of the model file at `path` lie, in order; empty for files of other kinds, broken ones too.
pub(super) fn find(path: &Path) -> Vec<Stretch> {
    if let Ok(file) = gguf::File::open(path) {
        return of_tensors(file.tensors(), file.data_offset());
    }
    match safetensors::File::open(path) {
        Ok(file) => of_tensors(file.tensors(), file.data_offset()),
        Err(_) => Vec::new(),
    }
}

fn of_tensors(tensors: &[TensorInfo], data_offset: u64) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> =
        tensors.iter().filter_map(|tensor| of_tensor(tensor, data_offset)).collect();
    stretches.sort_by_key(|stretch| stretch.offset);
    stretches.dedup_by(|next, last| {
        let adjacent = last.width == next.width && last.offset + last.length == next.offset;
        if adjacent {
            last.length += next.length;
        }
        adjacent
    });
    stretches.truncate(STRETCH_LIMIT);
    stretches
}

fn of_tensor(tensor: &TensorInfo, data_offset: u64) -> Option<Stretch> {
    let width = match tensor.dtype {
        DType::F16 | DType::BF16 => 2,
        DType::F32 => 4,
        DType::F64 => 8,
        _ => return None,
    };
    let offset = data_offset.checked_add(tensor.offset)?;
    (tensor.bytes >= SMALLEST).then_some(Stretch { offset, length: tensor.bytes, width })
}

/// The pieces of a file of `size` bytes with these stretches, which lie inside it, in order.
pub(super) fn pieces(size: u64, stretches: &[Stretch]) -> impl Iterator<Item = Piece> {
    let end = Stretch { offset: size, length: 0, width: 1 };
    let mut position = 0;
    let parts = stretches.iter().copied().chain([end]).flat_map(move |stretch| {
        let plain = stretch.offset - position;
        position = stretch.offset + stretch.length;
        [(plain, 1), (stretch.length, usize::from(stretch.width))]
    });
    parts.flat_map(|(length, width)| {
        (0..length).step_by(CHUNK).map(move |start| {
            let length = (length - start).min(CHUNK as u64) as usize;
            Piece { length, width }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_tensors_of_one_width_make_one_stretch() {
        let tensor = |offset, dtype| {
            let tensor = TensorInfo::new("t", &[4096], dtype).unwrap();
            TensorInfo { offset, ..tensor }
        };
        let tensors = [
            tensor(8192, DType::BF16),
            tensor(0, DType::F16),
            tensor(16_384, DType::F32),
            tensor(32_768, DType::Q4_0),
        ];

        let expected = [
            Stretch { offset: 100, length: 16_384, width: 2 },
            Stretch { offset: 16_484, length: 16_384, width: 4 },
        ];
        assert_eq!(of_tensors(&tensors, 100), expected);
    }

    #[test]
    fn pieces_cover_the_file_and_change_width_at_stretches() {
        let stretches = [
            Stretch { offset: 10, length: (CHUNK + 4) as u64, width: 4 },
            Stretch { offset: (CHUNK + 14) as u64, length: 2, width: 2 },
        ];
        let pieces: Vec<_> =
            pieces(CHUNK as u64 + 20, &stretches).map(|piece| (piece.length, piece.width)).collect();

        assert_eq!(pieces, [(10, 1), (CHUNK, 4), (4, 4), (2, 2), (4, 1)]);
    }
}
