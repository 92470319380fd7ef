use super::family::Family;
use crate::{DType, Error, Result, TensorInfo, decode, safetensors};

/// Where a tensor's numbers come from, and what becomes of them.
#[derive(Debug)]
pub(super) enum Origin {
    /// A stored tensor as it is.
    Stored(TensorInfo),
    /// A stored tensor with its rows in another order.
    Turned(TensorInfo, Turning),
    /// A stored vector, each number plus one, in full precision.
    PlusOne(TensorInfo),
    /// The bytes themselves.
    Made(Vec<u8>),
}

impl Origin {
    /// What becomes of the stored `tensor`, whose GGUF name is `name`, in a model of so many query and key heads.
    pub(super) fn new(family: Family, name: &str, tensor: &TensorInfo, heads: [u32; 2]) -> Result<Self> {
        let heads = match name.rsplit('.').nth(1) {
            Some("attn_q") if family.is_turned() => Some(heads[0]),
            Some("attn_k") if family.is_turned() => Some(heads[1]),
            _ => None,
        };
        if let Some(heads) = heads {
            return Ok(Self::Turned(tensor.clone(), Turning::new(tensor, heads as usize)?));
        }
        let is_norm = name.ends_with("norm.weight");
        let made = if family.stores_norms_less_one() && is_norm { Self::PlusOne } else { Self::Stored };
        Ok(made(tensor.clone()))
    }

    /// The tensor that is made of it, called `name`.
    pub(super) fn info(&self, name: &str) -> Result<TensorInfo> {
        match self {
            Self::Stored(tensor) | Self::Turned(tensor, _) => {
                Ok(TensorInfo { name: name.to_owned(), ..tensor.clone() })
            }
            Self::PlusOne(tensor) => TensorInfo::new(name, &tensor.shape, DType::F32),
            Self::Made(bytes) => TensorInfo::new(name, &[bytes.len() / 4], DType::F32),
        }
    }

    /// As [`TensorSource::read_into`].
    pub(super) fn read_into(&self, weights: &safetensors::Folder, start: u64, out: &mut [u8]) -> Result<()> {
        match self {
            Self::Stored(tensor) => weights.read_into(tensor, start, out),
            Self::Turned(tensor, turning) => turning.read_into(weights, tensor, start, out),
            Self::PlusOne(tensor) => plus_one(weights, tensor, start, out),
            Self::Made(bytes) => {
                let start = start as usize;
                out.copy_from_slice(&bytes[start..start + out.len()]);
                Ok(())
            }
        }
    }
}

fn plus_one(weights: &safetensors::Folder, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
    let stored = tensor.dtype.block_bytes();
    let mut bytes = vec![0; out.len() / 4 * stored];
    weights.read_into(tensor, start / 4 * stored as u64, &mut bytes)?;
    for (out, value) in out.chunks_exact_mut(4).zip(decode(&bytes, tensor.dtype)?) {
        out.copy_from_slice(&(value + 1.0).to_le_bytes());
    }
    Ok(())
}

/// Moves row `half · pairs + pair` of each head to `2 · pair + half`: llama's queries and keys pair halves of a head when
/// rotated, in GGUF they pair neighbours.
#[derive(Debug)]
pub(super) struct Turning {
    pairs: usize,
}

impl Turning {
    fn new(tensor: &TensorInfo, heads: usize) -> Result<Self> {
        let rows = tensor.shape.first().copied().unwrap_or(0);
        if heads == 0 || rows == 0 || !rows.is_multiple_of(2 * heads) {
            return Err(Error::tensor(
                &tensor.name,
                format!("has {rows} rows, which {heads} heads cannot share"),
            ));
        }
        Ok(Self { pairs: rows / heads / 2 })
    }

    /// The stored row that becomes row `index`.
    fn original(&self, index: usize) -> usize {
        let (head, within) = (index / (2 * self.pairs), index % (2 * self.pairs));
        head * 2 * self.pairs + within % 2 * self.pairs + within / 2
    }

    fn read_into(
        &self,
        weights: &safetensors::Folder,
        tensor: &TensorInfo,
        start: u64,
        out: &mut [u8],
    ) -> Result<()> {
        // Each number of a bias is a row.
        let row_bytes =
            if tensor.shape.len() == 1 { tensor.dtype.block_bytes() } else { tensor.row_bytes().max(1) };
        let first = start as usize / row_bytes;
        for (index, row) in out.chunks_mut(row_bytes).enumerate() {
            let from = self.original(first + index) * row_bytes;
            weights.read_into(tensor, from as u64, row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_halves_become_rows_of_neighbours() {
        let tensor = TensorInfo::new("q", &[8, 1], DType::I8).unwrap();
        let turning = Turning::new(&tensor, 2).unwrap();
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(|row| turning.original(row)), [0, 2, 1, 3, 4, 6, 5, 7]);
        assert!(Turning::new(&tensor, 3).is_err());
    }
}
