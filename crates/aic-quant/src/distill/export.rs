use std::path::Path;

use candle_core::Var;

use super::student::Parameters;
use crate::engine::candle::compute;
use crate::gguf::{Metadata, Writer};
use crate::{DType, Result, encode};

/// Where the student goes, and as what.
pub(super) struct Export<'a> {
    target: &'a Path,
    metadata: Metadata,
    dtype: DType,
}

impl<'a> Export<'a> {
    pub(super) fn new(target: &'a Path, metadata: Metadata, dtype: DType) -> Self {
        Self { target, metadata, dtype }
    }

    /// Whether the target is there already.
    pub(super) fn exists(&self) -> bool {
        self.target.exists()
    }

    /// Replaces the target by the student as it is now.
    pub(super) fn save(&self, parameters: &Parameters) -> Result<()> {
        let mut writer = Writer::new(self.metadata.clone());
        for (name, value) in &parameters.all {
            let dtype = if value.rank() > 1 { self.dtype } else { DType::F32 };
            writer.tensor(name, value.dims(), dtype)?;
        }
        let mut all = parameters.all.iter();
        writer.save(self.target, |tensor| {
            let (_, value) = all.next().expect("tensors are written in the order of their declaration");
            encode(&values(value)?, tensor.dtype)
        })?;
        Ok(())
    }
}

/// The numbers of a weight, in row-major order.
pub(super) fn values(value: &Var) -> Result<Vec<f32>> {
    value.flatten_all().and_then(|flat| flat.to_vec1()).map_err(compute("reading the student's weights"))
}
