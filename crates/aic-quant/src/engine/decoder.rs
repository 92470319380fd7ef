use std::sync::Arc;
use std::thread;

#[cfg(feature = "candle")]
use super::candle;
use super::config::Config;
use super::cpu;
use super::options::ModelOptions;
use super::runner::Runner;
use crate::kernels::Pool;
use crate::{CacheType, Device, Error, InstructionSet, Result, TensorSource};

/// A model's weights, on the device they were loaded for. Cloning shares them.
#[derive(Clone)]
pub(super) enum Decoder {
    /// On this crate's kernels.
    Cpu(Arc<cpu::Decoder>),
    /// On candle's tensors.
    #[cfg(feature = "candle")]
    Candle(Arc<candle::Decoder>),
}

impl Decoder {
    /// Loads the decoder of `source`, to see up to `context` tokens.
    pub(super) fn load(
        source: &dyn TensorSource,
        config: &Config,
        options: &ModelOptions,
        context: usize,
    ) -> Result<Self> {
        match options.device {
            Device::Cpu => Self::on_cpu(source, config, options, context),
            #[cfg(feature = "candle")]
            device => Self::on_candle(source, config, options, context, &device.open()?),
            #[cfg(not(feature = "candle"))]
            device => {
                Err(device.unavailable("this build has no GPUs; turn on the feature candle, or use cpu"))
            }
        }
    }

    fn on_cpu(
        source: &dyn TensorSource,
        config: &Config,
        options: &ModelOptions,
        context: usize,
    ) -> Result<Self> {
        let pool = Pool::new(options.threads.unwrap_or_else(cores))?;
        let instructions = options.instructions.available_or_less();
        let on_progress = options.on_progress.as_deref();
        let weights = cpu::Weights::new(source, options.dtype, pool, instructions, on_progress);
        Ok(Self::Cpu(Arc::new(cpu::Decoder::load(config, weights, context)?)))
    }

    #[cfg(feature = "candle")]
    fn on_candle(
        source: &dyn TensorSource,
        config: &Config,
        options: &ModelOptions,
        context: usize,
        device: &candle_core::Device,
    ) -> Result<Self> {
        config.check_plain(context)?;
        let on_progress = options.on_progress.as_deref();
        let mut weights = candle::Weights::new(source, device, options.dtype, on_progress);
        Ok(Self::Candle(Arc::new(candle::Decoder::load(config, &mut weights, device.clone())?)))
    }

    /// Something to run sequences with that have `positions` together; shares the weights. Keys and values are kept in
    /// `cache_types` where this crate's kernels compute.
    pub(super) fn runner(&self, positions: usize, cache_types: [CacheType; 2]) -> Result<Box<dyn Runner>> {
        match self {
            Self::Cpu(decoder) => Ok(Box::new(cpu::Runner::new(decoder.clone(), positions, cache_types)?)),
            #[cfg(feature = "candle")]
            Self::Candle(decoder) => Ok(Box::new(candle::Runner::new(decoder.clone(), positions))),
        }
    }

    /// That it can see as many as `context` tokens of a model of this `config`, when it was loaded to see `loaded`.
    pub(super) fn check_context(&self, config: &Config, context: usize, loaded: usize) -> Result<()> {
        let has_other_factors = config.rope_factors(context) != config.rope_factors(loaded);
        if context > loaded && has_other_factors {
            return Err(Error::Option {
                option: "max_context",
                value: context.to_string(),
                expected: "a context that the rotation was loaded for; load the model again to see more",
            });
        }
        match self {
            Self::Cpu(_) => Ok(()),
            #[cfg(feature = "candle")]
            Self::Candle(_) => config.check_plain(context),
        }
    }

    /// Threads that compute; 1 where another device does.
    pub(super) fn threads(&self) -> usize {
        match self {
            Self::Cpu(decoder) => decoder.threads(),
            #[cfg(feature = "candle")]
            Self::Candle(_) => 1,
        }
    }

    /// The instructions used; `None` where another device computes.
    pub(super) fn instructions(&self) -> Option<InstructionSet> {
        match self {
            Self::Cpu(decoder) => Some(decoder.instructions()),
            #[cfg(feature = "candle")]
            Self::Candle(_) => None,
        }
    }
}

/// Threads that compute if nobody says how many.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
