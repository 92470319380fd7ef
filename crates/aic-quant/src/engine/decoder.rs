use std::sync::Arc;
use std::thread;

#[cfg(feature = "candle")]
use super::candle;
use super::config::Config;
use super::cpu;
use super::options::ModelOptions;
use super::runner::Runner;
#[cfg(feature = "candle")]
use super::split;
use crate::kernels::Pool;
use crate::{CacheType, Error, InstructionSet, Result, TensorSource};

/// A model's weights, where they were loaded to. Cloning shares them.
#[derive(Clone)]
pub(super) enum Decoder {
    /// On this crate's kernels.
    Cpu(Arc<cpu::Decoder>),
    /// On candle's tensors.
    #[cfg(feature = "candle")]
    Candle(Arc<candle::Decoder>),
    /// The first layers on candle's tensors, the others on this crate's kernels.
    #[cfg(feature = "candle")]
    Split(Arc<candle::Decoder>, Arc<cpu::Decoder>),
}

impl Decoder {
    /// Loads the decoder of `source`, to see up to `context` tokens: its first `device_layers` layers to the device.
    pub(super) fn load(
        source: &dyn TensorSource,
        config: &Config,
        options: &ModelOptions,
        context: usize,
        device_layers: usize,
    ) -> Result<Self> {
        let load = Load { source, config, options, context };
        if device_layers == 0 {
            return Ok(Self::Cpu(load.cpu(0, 0)?));
        }
        #[cfg(feature = "candle")]
        return load.with_candle(device_layers);
        #[cfg(not(feature = "candle"))]
        return Err(options
            .device
            .unavailable("this build has no GPUs; turn on the feature candle, or use cpu"));
    }

    /// Something to run sequences with that have `positions` together; shares the weights. Keys and values are kept in
    /// `cache_types` where this crate's kernels compute.
    pub(super) fn runner(&self, positions: usize, cache_types: [CacheType; 2]) -> Result<Box<dyn Runner>> {
        match self {
            Self::Cpu(decoder) => Ok(Box::new(cpu::Runner::new(decoder.clone(), positions, cache_types)?)),
            #[cfg(feature = "candle")]
            Self::Candle(decoder) => Ok(Box::new(candle::Runner::new(decoder.clone(), positions))),
            #[cfg(feature = "candle")]
            Self::Split(first, last) => {
                Ok(Box::new(split::Runner::new(first.clone(), last.clone(), positions, cache_types)?))
            }
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
            #[cfg(feature = "candle")]
            Self::Split(_, last) => config.check_plain_until(context, last.first_layer()),
        }
    }

    /// Threads that compute; 1 where another device does all of it.
    pub(super) fn threads(&self) -> usize {
        match self {
            Self::Cpu(decoder) => decoder.threads(),
            #[cfg(feature = "candle")]
            Self::Candle(_) => 1,
            #[cfg(feature = "candle")]
            Self::Split(_, decoder) => decoder.threads(),
        }
    }

    /// The core that the thread which runs it should stay on; `None` where threads are free.
    pub(super) fn core(&self) -> Option<usize> {
        match self {
            Self::Cpu(decoder) => decoder.core(),
            #[cfg(feature = "candle")]
            Self::Candle(_) => None,
            #[cfg(feature = "candle")]
            Self::Split(_, decoder) => decoder.core(),
        }
    }

    /// The instructions used; `None` where another device computes all of it.
    pub(super) fn instructions(&self) -> Option<InstructionSet> {
        match self {
            Self::Cpu(decoder) => Some(decoder.instructions()),
            #[cfg(feature = "candle")]
            Self::Candle(_) => None,
            #[cfg(feature = "candle")]
            Self::Split(_, decoder) => Some(decoder.instructions()),
        }
    }
}

/// What is loaded, and how.
struct Load<'a> {
    source: &'a dyn TensorSource,
    config: &'a Config,
    options: &'a ModelOptions,
    context: usize,
}

impl Load<'_> {
    /// The layers from `first` on, after others were loaded that have `done_bytes` in the source.
    fn cpu(&self, first: usize, done_bytes: u64) -> Result<Arc<cpu::Decoder>> {
        let Self { options, .. } = self;
        let threads = options.threads.unwrap_or_else(cores);
        let pool = Pool::on_cores(threads, &options.affinity.cores(threads))?;
        let instructions = options.instructions.available_or_less();
        let on_progress = options.on_progress.as_deref();
        let weights = cpu::Weights::new(self.source, options.dtype, pool, instructions, on_progress);
        let weights = weights.after(done_bytes);
        Ok(Arc::new(cpu::Decoder::load(self.config, weights, first, self.context)?))
    }

    /// The first `layers` layers on candle's tensors, and the others, if there are any, on our kernels.
    #[cfg(feature = "candle")]
    fn with_candle(&self, layers: usize) -> Result<Decoder> {
        let Self { config, options, .. } = self;
        let device = open(options)?;
        config.check_plain_until(self.context, layers)?;
        let on_progress = options.on_progress.as_deref();
        let mut weights = candle::Weights::new(self.source, &device, options.dtype, on_progress);
        let first = Arc::new(candle::Decoder::load(config, &mut weights, device.clone(), layers)?);
        if layers == config.layers {
            return Ok(Decoder::Candle(first));
        }
        Ok(Decoder::Split(first, self.cpu(layers, weights.done_bytes())?))
    }
}

/// The tensor library's handle of the device.
#[cfg(feature = "candle")]
fn open(options: &ModelOptions) -> Result<candle_core::Device> {
    #[cfg(test)]
    if options.stand_in {
        return Ok(candle_core::Device::Cpu);
    }
    options.device.open()
}

/// Threads that compute if nobody says how many.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
