use super::config::Config;
use super::encoder;
use super::needs::Needs;
use super::options::ModelOptions;
use crate::memory::fits;
use crate::{Device, Result, TensorSource};

/// An estimate of the memory a model needs, in bytes, once its cache is full.
///
/// Made from the header alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// The weights as they are held.
    pub weights_bytes: u64,
    /// Keys and values of as many tokens as the cache holds.
    pub cache_bytes: u64,
    /// Intermediate results of one pass; in main memory also the vocabulary.
    pub working_bytes: u64,
}

/// What a model needs on its device and in main memory, each an estimate as a [`Footprint`] is.
///
/// ```no_run
/// use aic_quant::{Device, DeviceLayers, ModelOptions, footprints};
///
/// let options = ModelOptions::new().device(Device::Cuda(0)).device_layers(DeviceLayers::Count(20));
/// let needs = footprints(&*aic_quant::open("model.gguf")?, &options)?;
/// println!("{} bytes on the GPU, {} beside it", needs.device.total_bytes(), needs.host.total_bytes());
/// # Ok::<(), aic_quant::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprints {
    /// Layers the model has.
    pub layers: usize,
    /// How many of them, the first ones, run on the [device](ModelOptions::device); none if that is [`Device::Cpu`].
    pub device_layers: usize,
    /// What the device needs; nothing if no layer runs there.
    pub device: Footprint,
    /// What main memory needs; nothing if all layers run on the device.
    pub host: Footprint,
}

impl Footprint {
    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        let parts = [self.weights_bytes, self.cache_bytes, self.working_bytes];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

impl Footprints {
    /// Device and main memory together.
    pub fn together(&self) -> Footprint {
        let sum = |part: fn(&Footprint) -> u64| part(&self.device).saturating_add(part(&self.host));
        Footprint {
            weights_bytes: sum(|needs| needs.weights_bytes),
            cache_bytes: sum(|needs| needs.cache_bytes),
            working_bytes: sum(|needs| needs.working_bytes),
        }
    }

    /// Checks that each part fits, if somebody is to be asked.
    pub(super) fn check(&self, options: &ModelOptions) -> Result<()> {
        let Some(memory) = &options.memory else { return Ok(()) };
        let parts = [(options.device, self.device), (Device::Cpu, self.host)];
        let mut there = parts.into_iter().filter(|(_, needs)| needs.total_bytes() > 0);
        there.try_for_each(|(device, needs)| fits(memory.as_ref(), device, needs.total_bytes()))
    }
}

/// Estimates the memory `source` needs when loaded with `options`, on its device and beside it together.
///
/// On the processor every part is counted as it is laid out. On a GPU plain floats are held as 32-bit numbers, and so are keys
/// and values. An encoder, which an [`Embedder`](super::Embedder) runs, keeps none.
///
/// # Errors
/// As [`footprints`].
pub fn footprint(source: &dyn TensorSource, options: &ModelOptions) -> Result<Footprint> {
    Ok(footprints(source, options)?.together())
}

/// As [`footprint`], for device and main memory apart. With [`DeviceLayers::Fitting`](super::DeviceLayers::Fitting) it says how
/// many layers fit.
///
/// # Errors
/// [`Error::Metadata`](crate::Error::Metadata) and its like if the source is not a model this crate runs;
/// [`Error::Option`](crate::Error::Option) if as many layers as fit are to run on a device whose free memory is not known.
pub fn footprints(source: &dyn TensorSource, options: &ModelOptions) -> Result<Footprints> {
    if let Some((layers, host)) = encoder::estimate(source, options)? {
        return Ok(Footprints { layers, host, ..Footprints::default() });
    }
    estimate(source, &Config::new(source)?, options)
}

pub(super) fn estimate(
    source: &dyn TensorSource,
    config: &Config,
    options: &ModelOptions,
) -> Result<Footprints> {
    let needs = Needs::new(source, config, options);
    let device_layers = needs.device_layers()?;
    let (device, host) = (needs.on_device(device_layers), needs.on_host(device_layers)?);
    Ok(Footprints { layers: config.layers, device_layers, device, host })
}
