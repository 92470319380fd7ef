use crate::{Result, TensorInfo};

/// All of a GGUF file but the numbers: its first bytes, and the place of every tensor behind them.
///
/// Made by [`Writer::layout`](super::Writer::layout) for who writes the data in pieces. The file is `header`, then for each
/// of `tensors` its data and [`padding`](Self::padding) zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// The file up to its data section, padding included.
    pub header: Vec<u8>,
    /// The tensors in the order of their data, with their offsets in the data section.
    pub tensors: Vec<TensorInfo>,
    /// Where the data section starts: the length of `header`.
    pub data_offset: u64,
    /// The size of the whole file.
    pub file_bytes: u64,
    pub(super) alignment: u64,
}

impl Layout {
    /// How many zeros follow the data of `tensor`.
    pub fn padding(&self, tensor: &TensorInfo) -> u64 {
        (self.alignment - tensor.bytes % self.alignment) % self.alignment
    }

    /// Writes the file to `sink`; `data` is asked for each tensor's bytes in turn.
    pub(super) fn write(
        &self,
        mut sink: impl FnMut(&[u8]) -> Result<()>,
        mut data: impl FnMut(&TensorInfo) -> Result<Vec<u8>>,
    ) -> Result<()> {
        sink(&self.header)?;
        for tensor in &self.tensors {
            let mut bytes = data(tensor)?;
            check_length(tensor, &bytes)?;
            bytes.resize(bytes.len() + self.padding(tensor) as usize, 0);
            sink(&bytes)?;
        }
        Ok(())
    }
}

fn check_length(tensor: &TensorInfo, bytes: &[u8]) -> Result<()> {
    if bytes.len() as u64 == tensor.bytes {
        return Ok(());
    }
    let problem = format!("got {} bytes of data, expected {}", bytes.len(), tensor.bytes);
    Err(crate::Error::tensor(&tensor.name, problem))
}
