use std::ops::Range;

use super::rows::rows_of_slab;
use super::zeros::Zeros;
use crate::{DType, Error, Result, TensorInfo, TensorSource};

/// What is left of a tensor.
pub(super) enum Cut {
    /// All of it.
    Nothing,
    /// These rows of it, which are in order and do not overlap.
    Rows(Vec<Range<usize>>),
    /// These columns of it, likewise.
    Columns(Vec<Range<usize>>),
    /// All of it, some weights being zero.
    Weights(Zeros),
}

impl Cut {
    /// What `tensor` is after the cut.
    ///
    /// # Errors
    /// [`Error::UnsupportedDType`] if single numbers are to be taken out of blocks.
    pub(super) fn of(&self, tensor: &TensorInfo) -> Result<TensorInfo> {
        let mut shape = tensor.shape.clone();
        match self {
            Self::Nothing | Self::Weights(_) => {}
            Self::Rows(kept) => shape[0] = length(kept),
            Self::Columns(kept) => {
                check_plain(tensor.dtype)?;
                *shape.last_mut().expect("a tensor that is cut has a dimension") = length(kept);
            }
        }
        TensorInfo::new(&tensor.name, &shape, tensor.dtype)
    }

    /// Fills `out` with what is left of `tensor`, from its byte `start` on; both lie between rows.
    pub(super) fn read(
        &self,
        source: &dyn TensorSource,
        tensor: &TensorInfo,
        start: u64,
        out: &mut [u8],
    ) -> Result<()> {
        match self {
            Self::Nothing => source.read_into(tensor, start, out),
            Self::Rows(kept) => read_rows(source, tensor, kept, start, out),
            Self::Columns(kept) => read_columns(source, tensor, kept, start, out),
            Self::Weights(zeros) => {
                source.read_into(tensor, start, out)?;
                zeros.apply(tensor, out)
            }
        }
    }
}

/// That the numbers of a type stand for themselves.
pub(super) fn check_plain(dtype: DType) -> Result<()> {
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 | DType::F64 => Ok(()),
        _ => Err(Error::UnsupportedDType {
            dtype,
            action: "pruned",
            supported: "F32, F16, BF16 and F64; prune the model before quantizing it",
        }),
    }
}

fn length(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(Range::len).sum()
}

fn read_rows(
    source: &dyn TensorSource,
    tensor: &TensorInfo,
    kept: &[Range<usize>],
    start: u64,
    out: &mut [u8],
) -> Result<()> {
    let row = tensor.row_bytes() as u64;
    let end = start + out.len() as u64;
    let mut next = 0;
    for range in kept {
        let here = next..next + range.len() as u64 * row;
        let wanted = here.start.max(start)..here.end.min(end);
        if wanted.start < wanted.end {
            let part = (wanted.start - start) as usize..(wanted.end - start) as usize;
            let from = range.start as u64 * row + (wanted.start - here.start);
            source.read_into(tensor, from, &mut out[part])?;
        }
        next = here.end;
    }
    Ok(())
}

fn read_columns(
    source: &dyn TensorSource,
    tensor: &TensorInfo,
    kept: &[Range<usize>],
    start: u64,
    out: &mut [u8],
) -> Result<()> {
    let (whole, size) = (tensor.row_bytes(), tensor.dtype.block_bytes());
    let left = length(kept) * size;
    let mut slab = Vec::new();
    let mut from = start / left as u64 * whole as u64;
    for rows in out.chunks_mut(rows_of_slab(whole) * left) {
        slab.resize(rows.len() / left * whole, 0);
        source.read_into(tensor, from, &mut slab)?;
        for (row, out) in slab.chunks_exact(whole).zip(rows.chunks_exact_mut(left)) {
            let mut out = out;
            for range in kept {
                let (part, rest) = out.split_at_mut(range.len() * size);
                part.copy_from_slice(&row[range.start * size..range.end * size]);
                out = rest;
            }
        }
        from += slab.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;
    use crate::gguf::{File, Metadata, Writer};
    use crate::{decode, encode};

    const SHAPE: [usize; 2] = [9, 7];

    /// A matrix whose numbers say where they stand: row · 100 + column.
    fn numbered() -> File {
        let mut writer = Writer::new(Metadata::new());
        writer.tensor("w", &SHAPE, DType::F16).unwrap();
        let values: Vec<f32> = (0..SHAPE[0])
            .flat_map(|row| (0..SHAPE[1]).map(move |column| (row * 100 + column) as f32))
            .collect();
        File::from_bytes(writer.to_vec(|_| encode(&values, DType::F16)).unwrap()).unwrap()
    }

    /// Neighbours in one range.
    fn ranges(kept: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for at in kept {
            match ranges.last_mut() {
                Some(last) if last.end == at => last.end += 1,
                _ => ranges.push(at..at + 1),
            }
        }
        ranges
    }

    proptest! {
        #[test]
        fn any_rows_of_what_is_left_are_those_of_the_whole(
            rows in btree_set(0..SHAPE[0], 1..=SHAPE[0]),
            columns in btree_set(0..SHAPE[1], 1..=SHAPE[1]),
            (from, count) in (0_usize..9, 0_usize..9),
        ) {
            let source = numbered();
            let tensor = source.tensor("w").unwrap();
            let all = |length| (0..length).collect::<Vec<_>>();
            for (cut, rows, columns) in [
                (Cut::Rows(ranges(rows.clone())), rows.into_iter().collect(), all(SHAPE[1])),
                (Cut::Columns(ranges(columns.clone())), all(SHAPE[0]), columns.into_iter().collect()),
            ] {
                let left = cut.of(tensor).unwrap();
                prop_assert_eq!(&left.shape, &[rows.len(), columns.len()]);
                let asked = &rows[from.min(rows.len())..(from + count).min(rows.len())];
                let mut out = vec![0; asked.len() * left.row_bytes()];
                let start = from.min(rows.len()) * left.row_bytes();

                cut.read(&source, tensor, start as u64, &mut out).unwrap();

                let expected: Vec<f32> =
                    asked.iter().flat_map(|row| columns.iter().map(move |column| (row * 100 + column) as f32)).collect();
                prop_assert_eq!(decode(&out, DType::F16).unwrap(), expected);
            }
        }
    }
}
