//! The project's demonstration model, and text to calibrate it with.
use std::path::Path;

use aic_quant::gguf::{File, Metadata};
use aic_quant::{Model, Result, TensorInfo, TensorSource};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../aic/models/aic-demo-f16.gguf");

pub(crate) fn file() -> File {
    File::open(Path::new(MODEL)).unwrap()
}

pub(crate) fn model() -> Model {
    Model::open(MODEL).unwrap()
}

/// A text of what the model was trained on.
pub(crate) fn calibration(model: &Model) -> Vec<u32> {
    model.tokenize(include_str!("../goldens/calibration.txt")).unwrap()
}

/// A model with other metadata.
pub(crate) struct Described {
    pub(crate) inner: File,
    pub(crate) metadata: Metadata,
}

impl TensorSource for Described {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn tensors(&self) -> &[TensorInfo] {
        self.inner.tensors()
    }

    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        self.inner.read_into(tensor, start, out)
    }
}
