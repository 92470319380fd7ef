use std::sync::Arc;

use super::candle;
use super::config::Config;
use super::options::ModelOptions;
use super::runner::Runner;
use crate::{Result, TensorSource};

/// A model's weights, on the device they were loaded for. Cloning shares them.
#[derive(Clone)]
pub(super) enum Decoder {
    /// On candle's tensors.
    Candle(Arc<candle::Decoder>),
}

impl Decoder {
    pub(super) fn load(source: &dyn TensorSource, config: &Config, options: &ModelOptions) -> Result<Self> {
        let device = options.device.open()?;
        let on_progress = options.on_progress.as_deref();
        let mut weights = candle::Weights::new(source, &device, options.dtype, on_progress);
        Ok(Self::Candle(Arc::new(candle::Decoder::load(config, &mut weights, device.clone())?)))
    }

    /// Something to run sequences with that have `positions` together; shares the weights.
    pub(super) fn runner(&self, positions: usize) -> Result<Box<dyn Runner>> {
        match self {
            Self::Candle(decoder) => Ok(Box::new(candle::Runner::new(decoder.clone(), positions))),
        }
    }
}
