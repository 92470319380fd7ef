//! The local model that is loaded at the start: where it comes from, how the profile wants it, and loading it.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aic_profiles::{
    Goal, GpuLayers, Hardware, KvShape, Level, ModelNeeds, Profile, Recommendation, recommend,
};
use aic_quant::gguf::{Bytes, File, Metadata};
use aic_quant::live::Live;
use aic_quant::{
    Affinity, CacheType, DType, Device, DeviceLayers, DeviceMemory, Model, ModelOptions, ServeOptions,
    TensorInfo, TensorSource,
};

use super::{chain, spelled};
use crate::config::ModelConfig;
use crate::{Error, Finding, Progress, Result, Step};

/// The levels our engine can quantize to while it loads.
const LEVELS: [Level; 3] = [Level::F16, Level::Q8_0, Level::Q4_K];
/// Tokens a conversation may have where neither the configuration nor the model says less.
pub(super) const CONTEXT_LENGTH: u32 = 4096;

pub(crate) type OnStep = Arc<dyn Fn(Step<'_>) + Send + Sync>;

/// Where the local model comes from.
#[derive(Clone, Debug)]
pub(crate) enum ModelSource {
    File(PathBuf),
    Memory(Bytes),
}

/// A loaded model and why it was loaded so.
pub(crate) struct LocalModel {
    pub(crate) model: Live<Model>,
    /// A name for the router and for people, without blanks.
    pub(crate) name: String,
    pub(crate) recommendation: Recommendation,
    pub(crate) finding: Finding,
}

impl ModelSource {
    /// The configured file, else the bytes the program brought, else the demonstration model where it is built in.
    pub(crate) fn choose(config: &ModelConfig, brought: Option<Bytes>) -> Option<Self> {
        if !config.enabled {
            return None;
        }
        let configured = config.path.clone().map(Self::File);
        configured.or(brought.map(Self::Memory)).or_else(built_in)
    }

    /// Loads the model as the profile says. Blocks: call it on a blocking thread.
    pub(crate) fn load(
        &self,
        config: &ModelConfig,
        hardware: &Hardware,
        memory: Arc<dyn DeviceMemory>,
        on_step: &OnStep,
    ) -> Result<LocalModel> {
        let file = self.open().map_err(|source| self.failed(source))?;
        let file = file.as_ref();
        let stored = stored_level(file);
        let needs = needs(file, stored.as_ref(), config).map_err(|source| self.failed(source))?;
        let recommendation = recommendation(hardware, &needs, config)?;
        on_step(Step::Profile(&recommendation));
        let (on_step, profile) = (Arc::clone(on_step), &recommendation.profile);
        let mut options = ModelOptions::new()
            .max_context(needs.context_length.get() as usize)
            .device(device(&recommendation.choice.device))
            .device_layers(device_layers(profile.gpu_layers.value))
            .threads(profile.threads.value.get() as usize)
            .affinity(affinity(profile))
            .cache_type(cache_type(&profile.kv_level.value))
            .serving(serving(profile))
            .memory(memory)
            .on_progress(move |done| {
                on_step(Step::Loading(Progress {
                    done_bytes: done.done_bytes,
                    total_bytes: done.total_bytes,
                }));
            });
        if stored.as_ref() != Some(&recommendation.choice.level) {
            options = options.dtype(dtype(&recommendation)?);
        }
        let model = options.load(file).map_err(|source| self.failed(source))?;
        let (name, finding) = (name(&model, self), self.found(&model));
        Ok(LocalModel { model: Live::new(model), name, recommendation, finding })
    }

    /// A GGUF file, split or not, or a folder as Hugging Face lays it out.
    fn open(&self) -> aic_quant::Result<Box<dyn TensorSource>> {
        Ok(match self {
            Self::File(path) => aic_quant::open(path)?,
            Self::Memory(bytes) => Box::new(File::from_bytes(bytes.clone())?),
        })
    }

    fn failed(&self, source: aic_quant::Error) -> Error {
        Error::Model { path: self.path().to_owned(), source }
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory(_) => Path::new("built in"),
        }
    }

    fn found(&self, model: &Model) -> Finding {
        let info = model.info();
        let name = info.name.as_deref().unwrap_or("unnamed");
        let millions = info.parameters as f64 / 1e6;
        Finding::used(
            "Local model",
            format!("{name}, {millions:.1} million parameters, {}", self.path().display()),
        )
    }
}

#[cfg(feature = "demo-model")]
fn built_in() -> Option<ModelSource> {
    Some(ModelSource::Memory(crate::DEMO_MODEL.into()))
}

#[cfg(not(feature = "demo-model"))]
fn built_in() -> Option<ModelSource> {
    None
}

/// What the profile's arithmetic needs to know of a model file.
///
/// Offered are the levels the engine quantizes to, and the file's own, in which it is taken as it is.
fn needs(
    file: &dyn TensorSource,
    stored: Option<&Level>,
    config: &ModelConfig,
) -> aic_quant::Result<ModelNeeds> {
    let parameters = file.tensors().iter().map(TensorInfo::elements).sum();
    let bytes = file.tensors().iter().map(|tensor| tensor.bytes).sum();
    let metadata = file.metadata();
    let own = trained_context(metadata)?.unwrap_or(u64::from(CONTEXT_LENGTH));
    let wanted = config.context_length.map_or(u64::from(CONTEXT_LENGTH), |tokens| tokens as u64);
    let further = stored.filter(|level| !LEVELS.contains(level)).cloned();
    let mut needs = ModelNeeds::new(parameters, KvShape::NONE)
        .levels(LEVELS.into_iter().chain(further))
        .context_length(wanted.min(own).try_into().unwrap_or(u32::MAX));
    needs.kv = kv_shape(metadata)?;
    Ok(match stored {
        Some(level) => needs.file(bytes, level.clone()),
        None => needs,
    })
}

pub(super) fn trained_context(metadata: &Metadata) -> aic_quant::Result<Option<u64>> {
    architecture_number(metadata, "context_length")
}

/// The shape of the key-value cache, where the file says enough.
fn kv_shape(metadata: &Metadata) -> aic_quant::Result<Option<KvShape>> {
    let number = |key| architecture_number(metadata, key);
    let (layers, heads) = (number("block_count")?, number("attention.head_count")?);
    let kv_heads = number("attention.head_count_kv")?.or(heads);
    let head_dim =
        number("attention.key_length")?.or_else(|| number("embedding_length").ok()??.checked_div(heads?));
    let small = |number: u64| u32::try_from(number).ok();
    Ok(layers.zip(kv_heads).zip(head_dim).and_then(|((layers, kv_heads), head_dim)| {
        Some(KvShape { layers: small(layers)?, kv_heads: small(kv_heads)?, head_dim: small(head_dim)? })
    }))
}

fn architecture_number(metadata: &Metadata, key: &str) -> aic_quant::Result<Option<u64>> {
    match metadata.string("general.architecture")? {
        Some(architecture) => metadata.unsigned(&format!("{architecture}.{key}")),
        None => Ok(None),
    }
}

/// The type most of the file's weights have.
fn stored_level(file: &dyn TensorSource) -> Option<Level> {
    let most = file.tensors().iter().max_by_key(|tensor| tensor.elements())?;
    most.dtype.name().parse().ok()
}

fn recommendation(hardware: &Hardware, needs: &ModelNeeds, config: &ModelConfig) -> Result<Recommendation> {
    let needs = match fixed_level(config)? {
        Some(level) => needs.clone().levels([level]),
        None => needs.clone(),
    };
    recommend(hardware, &needs, Goal::Balanced)
        .map_err(|source| Error::Start { part: "local model", source: Box::new(source) })
}

fn fixed_level(config: &ModelConfig) -> Result<Option<Level>> {
    let Some(name) = &config.quantization else { return Ok(None) };
    let dtype: DType = name.parse().map_err(|error| refused(name, &error))?;
    dtype.name().parse().map(Some).map_err(|error| refused(name, &error))
}

fn refused(name: &str, error: &dyn std::error::Error) -> Error {
    let message = format!("model.quantization (AIC_QUANTIZATION) is `{name}`: {}", chain(error));
    Error::Config { place: "the model's settings".to_owned(), message }
}

/// The engine's name for the profile's device.
fn device(device: &aic_profiles::Device) -> Device {
    match device {
        aic_profiles::Device::Gpu { index, .. } if cfg!(target_os = "macos") => Device::Metal(*index),
        aic_profiles::Device::Gpu { index, .. } => Device::Cuda(*index),
        _ => Device::Cpu,
    }
}

/// The engine's name for how many layers the profile puts on the device.
fn device_layers(layers: GpuLayers) -> DeviceLayers {
    match layers {
        GpuLayers::All => DeviceLayers::All,
        GpuLayers::Count(count) => DeviceLayers::Count(count as usize),
    }
}

/// The engine's name for how the profile places threads.
fn affinity(profile: &Profile) -> Affinity {
    if profile.pin_threads.value { Affinity::Spread } else { Affinity::Free }
}

/// The type to quantize to while loading.
fn dtype(recommendation: &Recommendation) -> Result<DType> {
    let level = recommendation.choice.level.as_str();
    level.parse().map_err(|error| refused(level, &error))
}

/// The engine's name for how the profile keeps keys and values; it has no other types than these.
fn cache_type(level: &Level) -> CacheType {
    level.as_str().parse().unwrap_or(CacheType::F16)
}

/// Requests share every pass through the model, so that more at once cost little.
fn serving(profile: &Profile) -> ServeOptions {
    let standard = ServeOptions::default();
    let wanted = profile.max_concurrency.value.get() as usize;
    ServeOptions { running: wanted.clamp(standard.running, standard.step_tokens), ..standard }
}

fn name(model: &Model, source: &ModelSource) -> String {
    let stem = match source {
        ModelSource::File(path) => path.file_stem().and_then(|stem| stem.to_str()),
        ModelSource::Memory(_) => None,
    };
    let name = model.info().name.as_deref().or(stem).unwrap_or("model");
    spelled(name)
}
