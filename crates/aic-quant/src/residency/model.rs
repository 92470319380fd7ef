use std::fmt;
use std::time::Duration;

use super::bytes::Gib;
use crate::{DType, Device, Error, Result};

/// Bytes a second that a disk is taken to give until a load has been timed.
const DISK_BYTES_PER_SECOND: f64 = 1e9;

/// The keys and values a model keeps while it answers.
///
/// `sequences · (2 · bytes of a row) · cells`, where a row is `heads · head_size` numbers and the cells are
/// `layers · context + windowed_layers · min(context, window) + (layers + windowed_layers) · source_tokens`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheShape {
    /// Layers of the decoder that look at the whole context.
    pub layers: u64,
    /// Layers of the decoder that look at the last [`window`](Self::window) tokens only.
    pub windowed_layers: u64,
    /// What such a layer keeps, in tokens.
    pub window: u64,
    /// Heads of keys and values in each layer.
    pub heads: u64,
    /// Numbers of one head.
    pub head_size: u64,
    /// Positions of an encoder that every layer of the decoder looks at as well: translation and speech. Otherwise 0.
    pub source_tokens: u64,
    /// Generations at once, or beams, each with a context of its own.
    pub sequences: u64,
}

impl CacheShape {
    /// What it takes for contexts of `context` tokens held as `dtype`, in bytes.
    pub fn bytes(&self, context: u64, dtype: DType) -> u64 {
        let row = usize::try_from(self.heads.saturating_mul(self.head_size)).unwrap_or(usize::MAX);
        let row_bytes = dtype.bytes_of(&[row]).unwrap_or(u64::MAX);
        let every = self.layers.saturating_add(self.windowed_layers).saturating_mul(self.source_tokens);
        let windowed = self.windowed_layers.saturating_mul(context.min(self.window));
        let cells = self.layers.saturating_mul(context).saturating_add(windowed).saturating_add(every);
        [2, row_bytes, cells].into_iter().fold(self.sequences, u64::saturating_mul)
    }

    /// Whether its rows divide into the blocks of Q8_0 and Q4_0: each head must, since each is read alone.
    pub(super) fn is_quantizable(&self) -> bool {
        self.head_size > 0 && self.head_size.is_multiple_of(32)
    }
}

/// One of the files a model can be loaded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) name: String,
    pub(super) weights_bytes: u64,
}

/// A model as [`Residency`](super::Residency) knows it: what it takes, how it may become smaller, and when it may go.
///
/// Needs at least one [`variant`](Self::variant).
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct ModelSpec {
    pub(super) name: String,
    pub(super) family: String,
    pub(super) backend: String,
    pub(super) variants: Vec<Variant>,
    pub(super) working_bytes: u64,
    pub(super) burst_bytes: Option<u64>,
    pub(super) prefix_bytes: u64,
    pub(super) cache: Option<CacheShape>,
    pub(super) context: u64,
    pub(super) least_context: u64,
    pub(super) devices: Vec<Device>,
    pub(super) pinned: bool,
    pub(super) minimum_residency: Duration,
    pub(super) reload: Option<Duration>,
}

impl ModelSpec {
    /// A model of this name, on the processor only unless [`devices`](Self::devices) says otherwise.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            family: String::new(),
            backend: String::new(),
            variants: Vec::new(),
            working_bytes: 0,
            burst_bytes: None,
            prefix_bytes: 0,
            cache: None,
            context: 0,
            least_context: 0,
            devices: vec![Device::Cpu],
            pinned: false,
            minimum_residency: Duration::ZERO,
            reload: None,
        }
    }

    /// Adds a file it can be loaded from, the best one first, with the bytes its weights take in memory: as they are held,
    /// packed copies included.
    pub fn variant(mut self, name: impl Into<String>, weights_bytes: u64) -> Self {
        self.variants.push(Variant { name: name.into(), weights_bytes });
        self
    }

    /// The model's family and what runs it: errors of estimates are learned for each pair. Both default to nothing.
    pub fn family(mut self, family: impl Into<String>, backend: impl Into<String>) -> Self {
        (self.family, self.backend) = (family.into(), backend.into());
        self
    }

    /// Bytes it takes beside weights and cache for as long as it is loaded. Defaults to 0.
    pub fn working_bytes(mut self, bytes: u64) -> Self {
        self.working_bytes = bytes;
        self
    }

    /// Bytes that requests together take on top and give back, until the peaks of a hundred have been seen. Unknown by default,
    /// and then nothing is set aside for them before the first.
    pub fn burst_bytes(mut self, bytes: u64) -> Self {
        self.burst_bytes = Some(bytes);
        self
    }

    /// Bytes for the beginnings of earlier requests, which are the first to be given back. Defaults to 0.
    pub fn prefix_bytes(mut self, bytes: u64) -> Self {
        self.prefix_bytes = bytes;
        self
    }

    /// Its keys and values, the context wanted and the shortest that is still of use, in tokens. None by default.
    pub fn cache(mut self, shape: CacheShape, context: u64, least_context: u64) -> Self {
        (self.cache, self.context, self.least_context) = (Some(shape), context, least_context);
        self
    }

    /// Where it may be, the best place first. Defaults to the processor.
    pub fn devices(mut self, devices: impl Into<Vec<Device>>) -> Self {
        self.devices = devices.into();
        self
    }

    /// Whether it is never unloaded to make room. It may still become smaller, or move. Defaults to false.
    pub fn pinned(mut self, pinned: bool) -> Self {
        self.pinned = pinned;
        self
    }

    /// How long it stays once it is loaded, at least. Defaults to nothing.
    pub fn minimum_residency(mut self, time: Duration) -> Self {
        self.minimum_residency = time;
        self
    }

    /// How long loading it takes, until that has been timed. By default its weights at 1 GB/s.
    pub fn reload(mut self, time: Duration) -> Self {
        self.reload = Some(time);
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong =
            |option, expected| Err(Error::Option { option, value: format!("`{}`", self.name), expected });
        if self.variants.is_empty() {
            return wrong("model", "one with at least one variant");
        }
        if self.devices.is_empty() {
            return wrong("model", "one with at least one device");
        }
        if self.least_context > self.context {
            return wrong("model", "one whose least context is not above the context wanted");
        }
        Ok(())
    }

    /// What the model takes in `form` while it is at rest, by estimate.
    pub(super) fn bytes(&self, form: &Form) -> u64 {
        let weights = self.variants.iter().find(|variant| variant.name == form.variant);
        let weights = weights.map_or(0, |variant| variant.weights_bytes);
        let cache = self.cache.map_or(0, |shape| shape.bytes(form.context, form.cache));
        [self.working_bytes, cache, form.prefix_bytes].into_iter().fold(weights, u64::saturating_add)
    }

    /// What runs it on `device`, with the kind of device.
    pub(super) fn backend_on(&self, device: Device) -> String {
        let device = device.to_string();
        format!("{}/{}", self.backend, device.split(':').next().unwrap_or_default())
    }

    pub(super) fn expected_reload(&self) -> Duration {
        let bytes = self.variants.first().map_or(0, |variant| variant.weights_bytes);
        self.reload.unwrap_or_else(|| disk_time(bytes))
    }
}

/// How long reading so many bytes is taken to take.
pub(super) fn disk_time(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / DISK_BYTES_PER_SECOND)
}

/// How a model is loaded: where, from which file, and with how much for keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Form {
    /// Where it is.
    pub device: Device,
    /// The [variant](ModelSpec::variant) it is loaded from.
    pub variant: String,
    /// The longest context, in tokens; 0 for a model that keeps no keys and values.
    pub context: u64,
    /// The type keys and values are held in.
    pub cache: DType,
    /// Bytes for the beginnings of earlier requests.
    pub prefix_bytes: u64,
}

impl Form {
    /// Whether `other` is the same weights at the same place, so that the model can become it without being loaded again.
    pub(super) fn same_weights(&self, other: &Self) -> bool {
        self.device == other.device && self.variant == other.variant
    }

    /// Whether `other` differs in nothing but its prefix cache, which can be dropped while requests run.
    pub(super) fn same_answers(&self, other: &Self) -> bool {
        self.same_weights(other) && self.context == other.context && self.cache == other.cache
    }
}

/// `q4_k on cuda:0, context 8192 in Q8_0, 0.25 GiB of prefixes`.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.variant, self.device)?;
        if self.context > 0 {
            write!(f, ", context {} in {}", self.context, self.cache)?;
        }
        if self.prefix_bytes > 0 {
            write!(f, ", {} of prefixes", Gib(self.prefix_bytes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_of_a_llama_is_counted_by_layers_heads_and_type() {
        // Llama 3 8B: 32 layers, 8 heads of 128; its cache of 8192 tokens is 1 GiB in F16.
        let shape =
            CacheShape { layers: 32, heads: 8, head_size: 128, sequences: 1, ..CacheShape::default() };
        assert_eq!(shape.bytes(8192, DType::F16), 1 << 30);
        assert_eq!(shape.bytes(8192, DType::Q8_0), (1 << 30) * 17 / 32);
        assert_eq!(shape.bytes(8192, DType::Q4_0), (1 << 30) * 9 / 32);
    }

    #[test]
    fn windowed_layers_stop_growing_and_an_encoders_output_counts_in_every_layer() {
        let shape = CacheShape {
            layers: 2,
            windowed_layers: 4,
            window: 100,
            heads: 1,
            head_size: 32,
            source_tokens: 10,
            sequences: 3,
        };
        let row = 2 * 64;
        assert_eq!(shape.bytes(50, DType::F16), 3 * row * (2 * 50 + 4 * 50 + 6 * 10));
        assert_eq!(shape.bytes(5000, DType::F16), 3 * row * (2 * 5000 + 4 * 100 + 6 * 10));
    }

    #[test]
    fn sizes_beyond_any_memory_saturate() {
        let huge = CacheShape {
            layers: u64::MAX,
            heads: u64::MAX,
            head_size: 64,
            sequences: 9,
            ..CacheShape::default()
        };
        assert_eq!(huge.bytes(u64::MAX, DType::F16), u64::MAX);
    }

    #[test]
    fn incomplete_model_is_refused() {
        assert!(ModelSpec::new("a").check().is_err());
        assert!(ModelSpec::new("a").variant("f16", 1).devices([]).check().is_err());
        assert!(ModelSpec::new("a").variant("f16", 1).cache(CacheShape::default(), 10, 11).check().is_err());
        assert!(ModelSpec::new("a").variant("f16", 1).check().is_ok());
    }
}
