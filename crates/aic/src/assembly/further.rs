//! The local models that are loaded when they are asked for: checked at the start, from their files' headers.
use std::sync::Arc;

use aic_quant::residency::{Experience, Keeper, ModelSpec, Models, Policy, Residency};
use aic_quant::{DeviceMemory, ModelOptions, TensorInfo};
use aic_router::{ModelClass, ModelInfo, Price};

use super::chain;
use super::model::{CONTEXT_LENGTH, trained_context};
use crate::config::FurtherModelConfig;
use crate::{Error, Finding, Result};

/// Models that are known and not loaded.
pub(crate) struct FurtherModels {
    pub(crate) keeper: Keeper<Models>,
    pub(crate) models: Vec<FurtherModel>,
}

/// One of them, as the router and people know it.
#[derive(Clone)]
pub(crate) struct FurtherModel {
    pub(crate) info: ModelInfo,
    /// Bytes of its files, by which others of the same name are told apart.
    pub(crate) file_bytes: u64,
    pub(crate) finding: Finding,
}

impl FurtherModels {
    /// Reads the headers of all files; `first` is the name of the model that is loaded already. Blocks: call it on a blocking
    /// thread.
    pub(crate) fn look(
        configs: &[FurtherModelConfig],
        first: Option<&str>,
        options: &ModelOptions,
        memory: Arc<dyn DeviceMemory>,
    ) -> Result<Self> {
        let started = |source| Error::Start { part: "further local models", source: Box::new(source) };
        let mut loader = Models::new();
        let mut residency =
            Residency::new(Policy::default(), Experience::new("this machine")).map_err(started)?;
        let mut models = Vec::new();
        for (at, config) in configs.iter().enumerate() {
            let earlier = configs[..at].iter().map(|other| other.name.as_str()).chain(first);
            check_name(config, earlier)?;
            check_context(config)?;
            let spec = add(config, &mut loader, options)?;
            residency.register(spec.pinned(config.pinned)).map_err(started)?;
            models.push(describe(config).map_err(|error| wrong(config, "files", &chain(&error)))?);
        }
        Ok(Self { keeper: Keeper::new(residency, loader, memory), models })
    }
}

fn check_name<'a>(config: &FurtherModelConfig, earlier: impl IntoIterator<Item = &'a str>) -> Result<()> {
    if config.name.trim().is_empty() {
        return Err(wrong(config, "name", "it is empty; give the model a name to be asked for by"));
    }
    match earlier.into_iter().find(|name| *name == config.name) {
        None => Ok(()),
        Some(_) => Err(wrong(config, "name", "another local model has it already; choose another one")),
    }
}

fn check_context(config: &FurtherModelConfig) -> Result<()> {
    match context(config) {
        0 | 1 => Err(wrong(config, "context_length", "a conversation has at least 2 tokens")),
        _ => Ok(()),
    }
}

fn add(config: &FurtherModelConfig, loader: &mut Models, options: &ModelOptions) -> Result<ModelSpec> {
    let options = options.clone().max_context(context(config));
    let added = loader.add(&config.name, config.files.clone(), options);
    added.map_err(|error| wrong(config, "files", &chain(&error)))
}

fn context(config: &FurtherModelConfig) -> usize {
    config.context_length.unwrap_or(CONTEXT_LENGTH as usize)
}

/// What the best of the files says.
fn describe(config: &FurtherModelConfig) -> aic_quant::Result<FurtherModel> {
    let sources = config.files.iter().map(aic_quant::open).collect::<aic_quant::Result<Vec<_>>>()?;
    let bytes = sources.iter().flat_map(|source| source.tensors()).map(|tensor| tensor.bytes);
    let parameters = |at: usize| sources[at].tensors().iter().map(TensorInfo::elements).sum::<u64>();
    let (file_bytes, parameters) = (bytes.sum(), parameters(0));
    let wanted = context(config) as u64;
    let context = trained_context(sources[0].metadata())?.map_or(wanted, |own| own.min(wanted));
    let info = ModelInfo::chat(&config.name)
        .context_tokens(context)
        .price(Price::FREE)
        .class(ModelClass::of_size(parameters as f64 / 1e9));
    Ok(FurtherModel { info, file_bytes, finding: found(config, parameters) })
}

fn found(config: &FurtherModelConfig, parameters: u64) -> Finding {
    let millions = parameters as f64 / 1e6;
    let files: Vec<_> = config.files.iter().map(|path| path.display().to_string()).collect();
    let note = format!(
        "{}, {millions:.1} million parameters, loaded when it is first asked for, {}",
        config.name,
        files.join(" or ")
    );
    Finding::used("Further model", note)
}

fn wrong(config: &FurtherModelConfig, key: &str, problem: &str) -> Error {
    let message = format!("model.further `{}`, {key}: {problem}", config.name);
    Error::Config { place: "the model's settings".to_owned(), message }
}
