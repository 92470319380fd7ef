use super::config::{Config, EMBEDDING};
use super::decoder::cores;
use super::device_layers::DeviceLayers;
use super::footprint::Footprint;
use super::held::{device_bytes, host_bytes};
use super::options::ModelOptions;
use super::reading::CHUNK;
use crate::kernels::{KvStore, LayerShape, PAGE};
use crate::{Device, Error, Result, TensorInfo, TensorSource, tokenizer};

/// Bytes of a matrix in plain numbers that a task of attention works on, and what a thread has beside.
pub(super) const THREAD_BYTES: u64 = 512 << 10;

/// What a model needs, wherever its layers run.
pub(super) struct Needs<'a> {
    source: &'a dyn TensorSource,
    config: &'a Config,
    options: &'a ModelOptions,
}

impl<'a> Needs<'a> {
    pub(super) fn new(source: &'a dyn TensorSource, config: &'a Config, options: &'a ModelOptions) -> Self {
        Self { source, config, options }
    }

    /// How many layers run on the device.
    pub(super) fn device_layers(&self) -> Result<usize> {
        let (device, layers) = (self.options.device, self.config.layers);
        if device == Device::Cpu {
            return Ok(0);
        }
        match self.options.device_layers {
            DeviceLayers::All => Ok(layers),
            DeviceLayers::Count(count) => Ok(count.min(layers)),
            DeviceLayers::Fitting => {
                let memory = self.options.memory.as_ref().and_then(|memory| memory.memory(device));
                let free_bytes = memory.ok_or_else(|| unknown(device))?.free_bytes;
                Ok(fitting(layers, free_bytes, |count| self.on_device(count).total_bytes()))
            }
        }
    }

    /// What the device needs for the first `count` layers; with all of them for the whole model.
    pub(super) fn on_device(&self, count: usize) -> Footprint {
        if count == 0 {
            return Footprint::default();
        }
        let weights = self.source.tensors().iter().filter(|tensor| self.is_on_device(tensor, count));
        let position = (2 * 4 * count as u64).saturating_mul(self.config.kv_size() as u64);
        Footprint {
            weights_bytes: sum(weights.map(|tensor| device_bytes(tensor, self.options.dtype))),
            cache_bytes: position.saturating_mul(self.pages()).saturating_mul(PAGE as u64),
            working_bytes: self.device_working_bytes(count == self.config.layers),
        }
    }

    /// What main memory needs for all but the first `count` layers; without any on the device for the whole model.
    pub(super) fn on_host(&self, count: usize) -> Result<Footprint> {
        if count == self.config.layers {
            return Ok(Footprint::default());
        }
        let weights = self.source.tensors().iter().filter(|tensor| self.is_on_host(tensor, count));
        Ok(Footprint {
            weights_bytes: sum(weights.map(|tensor| host_bytes(tensor, self.options.dtype))),
            cache_bytes: self.host_page_bytes(self.config.layers - count)?.saturating_mul(self.pages()),
            working_bytes: self.host_working_bytes().saturating_add(self.tokenizer_bytes()?),
        })
    }

    /// Whether the device holds `tensor` where it runs the first `count` layers.
    fn is_on_device(&self, tensor: &TensorInfo, count: usize) -> bool {
        let first = || layer_of(&tensor.name).is_some_and(|layer| layer < count);
        count == self.config.layers || count > 0 && (tensor.name == EMBEDDING || first())
    }

    /// Whether main memory holds `tensor` where the device runs the first `count` layers. An embedding that is the matrix of the
    /// logits, too, may be needed on both sides.
    fn is_on_host(&self, tensor: &TensorInfo, count: usize) -> bool {
        let is_tied = || !self.source.tensors().iter().any(|tensor| tensor.name == "output.weight");
        count < self.config.layers
            && match layer_of(&tensor.name) {
                Some(layer) => layer >= count,
                None => count == 0 || tensor.name != EMBEDDING || is_tied(),
            }
    }

    /// Pages of keys and values.
    fn pages(&self) -> u64 {
        self.options.positions(self.config).div_ceil(PAGE) as u64
    }

    fn host_page_bytes(&self, layers: usize) -> Result<u64> {
        let Config { kv_heads, head_size, .. } = *self.config;
        let shape = LayerShape { kv_heads, key_size: head_size, value_size: head_size };
        let [keys, values] = self.options.cache_types;
        Ok(KvStore::new(&vec![shape; layers], keys, values, 0)?.bytes_per_page())
    }

    /// Intermediate results of a pass of as many tokens as there may be in one, the logits of as many answers as there may be,
    /// and what threads have beside.
    fn host_working_bytes(&self) -> u64 {
        let threads = self.options.threads.unwrap_or_else(cores) as u64;
        let pass = self.step_tokens().saturating_mul(token_bytes(self.config));
        sum([pass, self.logits_bytes(), threads.saturating_mul(THREAD_BYTES)].into_iter())
    }

    /// Intermediate results of a chunk of tokens that look back as far as they may: their scores, those that are masked and the
    /// shares are held at once; one layer's keys and values while they grow; the results of the pass. If the device runs the
    /// `whole` model, the logits, too.
    fn device_working_bytes(&self, whole: bool) -> u64 {
        let Config { hidden, heads, .. } = *self.config;
        let context = self.options.max_context.min(self.config.context) as u64;
        let chunk = self.options.positions(self.config).min(CHUNK) as u64;
        let row = |numbers: usize| (4 * numbers) as u64;
        let scores = (3 * row(heads) + row(1)).saturating_mul(chunk).saturating_mul(context);
        let growth = (2 * row(self.config.kv_size())).saturating_mul(context);
        let results = (2 * row(hidden)).saturating_mul(self.step_tokens());
        let logits = if whole { self.logits_bytes() } else { 0 };
        sum([chunk.saturating_mul(token_bytes(self.config)), scores, growth, results, logits].into_iter())
    }

    fn tokenizer_bytes(&self) -> Result<u64> {
        tokenizer::bytes(self.source.metadata(), self.config.vocabulary)
    }

    /// Most tokens of a pass.
    fn step_tokens(&self) -> u64 {
        self.options.serving.step_tokens.min(self.options.positions(self.config)) as u64
    }

    /// Logits come together for all answers and are cut into those of each; choosing a token from them takes three times as much
    /// for one answer after the other.
    fn logits_bytes(&self) -> u64 {
        let answers = self.options.serving.running.min(self.options.serving.step_tokens) as u64;
        let vectors = answers.saturating_mul(2).max(answers.saturating_add(3));
        vectors.saturating_mul(4 * self.config.vocabulary as u64)
    }
}

fn unknown(device: Device) -> Error {
    Error::Option {
        option: "device_layers",
        value: format!("as many as fit on {device}, whose free memory is not known"),
        expected: "a number of layers, or a `memory` that knows the device",
    }
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

/// What a pass holds of one token.
fn token_bytes(config: &Config) -> u64 {
    // The hidden state, that normed, and what is added to it; queries and what they look up; both halves of the network; angles.
    let row = 3 * config.hidden
        + 2 * (config.query_size() + config.kv_size())
        + 2 * config.feed_forward
        + config.rope_size;
    // The input of a product is held in 8 bits beside itself; the longest is that of the network.
    let codes = config.feed_forward.max(config.hidden) * 3 / 2;
    (4 * row + codes) as u64
}

/// The layer a tensor belongs to, by its name; `None` for what comes before the first or after the last.
fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// How many of `layers` layers, the first ones, need no more than `free_bytes`, given what so many `need`, which is more the
/// more they are.
fn fitting(layers: usize, free_bytes: u64, need: impl Fn(usize) -> u64) -> usize {
    (1..=layers).rev().find(|count| need(*count) <= free_bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, LazyLock};

    use proptest::prelude::*;

    use super::*;
    use crate::engine::tiny::{LLAMA, Shape, Tiny};
    use crate::{DType, DeviceMemory, Memory, Model, footprints, gguf};

    const LAYERS: usize = 6;
    const GPU: Device = Device::Cuda(0);

    /// What a GPU has free; main memory is not known.
    #[derive(Debug)]
    struct Gpu(u64);

    impl DeviceMemory for Gpu {
        fn memory(&self, device: Device) -> Option<Memory> {
            (device == GPU).then_some(Memory { total_bytes: u64::MAX, free_bytes: self.0 })
        }
    }

    /// A model whose matrix of the logits is the embedding, and one with a matrix of its own.
    static FILES: LazyLock<[gguf::File; 2]> = LazyLock::new(|| {
        [false, true].map(|own| {
            let mut tiny = Tiny::new(Shape { layers: LAYERS, ..LLAMA });
            if own {
                let output = tiny.tensors["token_embd.weight"].clone();
                tiny.tensors.insert("output.weight".to_owned(), output);
            }
            gguf::File::from_bytes(tiny.gguf(DType::Q8_0)).unwrap()
        })
    });

    fn options(layers: DeviceLayers) -> ModelOptions {
        Model::options().device(GPU).device_layers(layers).max_context(256)
    }

    fn fitting(file: &gguf::File, free_bytes: u64) -> crate::Footprints {
        footprints(file, &options(DeviceLayers::Fitting).memory(Arc::new(Gpu(free_bytes)))).unwrap()
    }

    proptest! {
        #[test]
        fn as_many_layers_fit_as_do_and_no_fewer_where_more_is_free(own: bool, part in 0.0..1.2, more in 0_u64..1 << 20) {
            let file = &FILES[usize::from(own)];
            let all = footprints(file, &options(DeviceLayers::All)).unwrap();
            let free_bytes = (all.device.total_bytes() as f64 * part) as u64;

            let needs = fitting(file, free_bytes);

            prop_assert!(needs.device.total_bytes() <= free_bytes);
            let given = footprints(file, &options(DeviceLayers::Count(needs.device_layers))).unwrap();
            prop_assert_eq!(needs, given);
            if needs.device_layers < LAYERS {
                let next = options(DeviceLayers::Count(needs.device_layers + 1));
                prop_assert!(footprints(file, &next).unwrap().device.total_bytes() > free_bytes);
            }
            prop_assert!(fitting(file, free_bytes + more).device_layers >= needs.device_layers);
        }
    }

    #[test]
    fn none_fit_a_full_device_and_all_fit_an_empty_one() {
        for file in FILES.iter() {
            let none = fitting(file, 0);
            let whole_on_host = footprints(file, &options(DeviceLayers::All).device(Device::Cpu)).unwrap();
            assert_eq!((none.device_layers, none), (0, whole_on_host));

            let all = fitting(file, u64::MAX);
            assert_eq!((all.device_layers, all.host), (LAYERS, Footprint::default()));
        }
    }

    #[test]
    fn device_of_unknown_memory_is_asked_for_a_number() {
        let wanted = options(DeviceLayers::Fitting);
        for options in [wanted.clone().memory(Arc::new(crate::SystemMemory)), wanted.unchecked_memory()] {
            let error = footprints(&FILES[0], &options).unwrap_err();
            assert!(matches!(error, Error::Option { option: "device_layers", .. }), "{error}");
        }
    }

    #[test]
    fn every_tensor_is_on_one_side_but_for_an_embedding_that_makes_the_logits() {
        for (file, own) in FILES.iter().zip([false, true]) {
            let (config, options) = (Config::new(file).unwrap(), options(DeviceLayers::All));
            let needs = Needs::new(file, &config, &options);
            for count in 0..=LAYERS {
                for tensor in file.tensors() {
                    let sides = [needs.is_on_device(tensor, count), needs.is_on_host(tensor, count)];
                    let both = tensor.name == EMBEDDING && !own && (1..LAYERS).contains(&count);
                    let held = sides.into_iter().filter(|held| *held).count();
                    assert_eq!(held, 1 + usize::from(both), "{} with {count} layers", tensor.name);
                }
            }
        }
    }

    #[test]
    fn keys_and_values_are_where_the_layers_are() {
        let [tied, _] = &*FILES;
        let whole = footprints(tied, &options(DeviceLayers::Count(0))).unwrap().host.cache_bytes;
        for count in 1..LAYERS {
            let needs = footprints(tied, &options(DeviceLayers::Count(count))).unwrap();
            // In 32 bits on the device, in 16 beside it.
            assert_eq!(needs.device.cache_bytes, 2 * whole * count as u64 / LAYERS as u64);
            assert_eq!(needs.host.cache_bytes, whole * (LAYERS - count) as u64 / LAYERS as u64);
        }
    }
}
