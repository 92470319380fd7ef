//! A model that is made up as it is read, so that it may be larger than memory.
use aic_quant::gguf::{Metadata, Writer};
use aic_quant::{DType, Result, TensorInfo, TensorSource};

/// Tensors of F16 numbers that look random and are the same each time.
pub(crate) struct Generated {
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
}

impl Generated {
    pub(crate) fn new(tensors: &[(&str, &[usize])]) -> Self {
        let mut metadata = Metadata::new();
        metadata.insert("general.architecture", "llama");
        let mut writer = Writer::new(metadata.clone());
        for (name, shape) in tensors {
            writer.tensor(*name, shape, DType::F16).unwrap();
        }
        Self { metadata, tensors: writer.tensors().to_vec() }
    }

    /// The number at `index` of a tensor, as the bits of an F16 between 0.03 and 0.12, or the negative of one.
    fn bits(seed: u64, index: u64) -> u16 {
        let mixed = (seed ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (mixed >> 40) as u16;
        bits & 0x87ff | 0x2800
    }
}

impl TensorSource for Generated {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        let seed = tensor.name.len() as u64 + tensor.elements();
        for (index, bytes) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            *bytes = Self::bits(seed, start / 2 + index as u64).to_le_bytes();
        }
        Ok(())
    }
}
