//! The demonstration model, with whatever is done to it.
use std::sync::LazyLock;

use aic_quant::gguf::{File, Metadata, Writer};
use aic_quant::{DType, Model, ModelOptions, decode, encode};

pub(super) use super::conversations::text;

static DEMO: &[u8] = include_bytes!("../../../../aic/models/aic-demo-f16.gguf");

/// The reference, loaded once.
pub(super) static MODEL: LazyLock<Model> = LazyLock::new(|| load(&file()));

pub(super) fn file() -> File {
    File::from_bytes(DEMO).unwrap()
}

pub(super) fn options() -> ModelOptions {
    Model::options().unchecked_memory()
}

pub(super) fn load(file: &File) -> Model {
    options().load(file).unwrap()
}

/// One tensor taken out of its file.
#[derive(Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) dtype: DType,
    pub(super) values: Vec<f32>,
}

impl Tensor {
    pub(super) fn row(&mut self, index: usize) -> &mut [f32] {
        let length = *self.shape.last().unwrap();
        &mut self.values[index * length..(index + 1) * length]
    }

    pub(super) fn swap_rows(&mut self, one: usize, other: usize) {
        let kept = self.row(one).to_vec();
        let moved = self.row(other).to_vec();
        self.row(one).copy_from_slice(&moved);
        self.row(other).copy_from_slice(&kept);
    }
}

/// The demonstration model taken apart.
pub(super) struct Parts {
    pub(super) metadata: Metadata,
    pub(super) tensors: Vec<Tensor>,
}

impl Parts {
    pub(super) fn new() -> Self {
        let file = file();
        let take = |tensor: &aic_quant::TensorInfo| Tensor {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            dtype: tensor.dtype,
            values: decode(&file.read(tensor).unwrap(), tensor.dtype).unwrap(),
        };
        Self { metadata: file.metadata().clone(), tensors: file.tensors().iter().map(take).collect() }
    }

    pub(super) fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    /// The file with all matrices in `dtype`.
    pub(super) fn file(&self, dtype: DType) -> File {
        let held = |tensor: &Tensor| if tensor.shape.len() > 1 { dtype } else { tensor.dtype };
        let mut writer = Writer::new(self.metadata.clone());
        for tensor in &self.tensors {
            writer.tensor(&tensor.name, &tensor.shape, held(tensor)).unwrap();
        }
        let values = |name: &str| &self.tensors.iter().find(|tensor| tensor.name == name).unwrap().values;
        File::from_bytes(writer.to_vec(|tensor| encode(values(&tensor.name), tensor.dtype)).unwrap()).unwrap()
    }
}
