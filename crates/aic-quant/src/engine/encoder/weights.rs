use crate::engine::config::EMBEDDING;
use crate::kernels::{InstructionSet, Packed, Pool};
use crate::{Error, Result, TensorInfo, TensorSource, decode};

/// Takes tensors out of a source and checks their shapes.
pub(super) struct Weights<'a> {
    pub(super) source: &'a dyn TensorSource,
    pub(super) pool: &'a Pool,
    pub(super) instructions: InstructionSet,
}

/// A linear layer.
pub(super) struct Linear {
    pub(super) weight: Packed,
    pub(super) bias: Vec<f32>,
}

/// A layer norm.
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Weights<'_> {
    pub(super) fn embedding(&self, shape: [usize; 2]) -> Result<Packed> {
        self.matrix(EMBEDDING, shape)
    }

    pub(super) fn linear(&self, name: &str, shape: [usize; 2]) -> Result<Linear> {
        let weight = self.matrix(&format!("{name}.weight"), shape)?;
        Ok(Linear { weight, bias: self.numbers(&format!("{name}.bias"), &shape[..1])? })
    }

    pub(super) fn norm(&self, name: &str, size: usize) -> Result<Norm> {
        let part = |kind: &str| self.numbers(&format!("{name}.{kind}"), &[size]);
        Ok(Norm { weight: part("weight")?, bias: part("bias")? })
    }

    /// All numbers of a small tensor.
    pub(super) fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.find(name)?;
        check(tensor, tensor.shape == *shape, || format!("{shape:?}"))?;
        decode(&self.source.read(tensor)?, tensor.dtype)
    }

    /// The first row of a small matrix of rows of `size` numbers; `None` if there is no such tensor.
    pub(super) fn first_row(&self, name: &str, size: usize) -> Result<Option<Vec<f32>>> {
        let Some(tensor) = self.source.tensors().iter().find(|tensor| tensor.name == name) else {
            return Ok(None);
        };
        check(tensor, tensor.rows() > 0 && tensor.row_length() == size, || format!("rows of {size}"))?;
        let mut bytes = vec![0; tensor.row_bytes()];
        self.source.read_into(tensor, 0, &mut bytes)?;
        decode(&bytes, tensor.dtype).map(Some)
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Packed> {
        let tensor = self.find(name)?;
        check(tensor, tensor.shape == shape, || format!("{shape:?}"))?;
        let row_bytes = tensor.row_bytes() as u64;
        Packed::pack(tensor.dtype, shape[0], shape[1], self.instructions, self.pool, |rows, out| {
            self.source.read_into(tensor, rows.start as u64 * row_bytes, out)
        })
    }

    fn find(&self, name: &str) -> Result<&TensorInfo> {
        let missing = || Error::MissingTensor { name: name.to_owned() };
        self.source.tensors().iter().find(|tensor| tensor.name == name).ok_or_else(missing)
    }
}

fn check(tensor: &TensorInfo, fits: bool, expected: impl FnOnce() -> String) -> Result<()> {
    if fits {
        return Ok(());
    }
    Err(Error::tensor(&tensor.name, format!("has shape {:?}, expected {}", tensor.shape, expected())))
}
