//! The local models together: what is loaded at the start, what is only looked at, and the provider of all of them.
use std::sync::Arc;

use aic_profiles::Hardware;
use aic_quant::{DeviceMemory, ModelOptions};

use super::{EmbeddingModel, FurtherModels, LocalModel, ModelSource, OnStep};
use crate::adapters::LocalProvider;
use crate::ai::{Further, Local};
use crate::config::ModelConfig;
use crate::further::KeeperThread;
use crate::{Finding, Result};

/// The local models before the first request.
pub(crate) struct LocalModels {
    first: Option<LocalModel>,
    embedding: Option<EmbeddingModel>,
    further: Option<FurtherModels>,
}

impl LocalModels {
    /// Loads what is loaded at the start, and looks at the files of what is not. Blocks: call it on a blocking thread.
    pub(crate) fn load(
        source: Option<ModelSource>,
        config: &ModelConfig,
        hardware: &Hardware,
        memory: Arc<dyn DeviceMemory>,
        on_step: &OnStep,
    ) -> Result<Self> {
        let load = |source: ModelSource| source.load(config, hardware, memory.clone(), on_step);
        let first = source.map(load).transpose()?;
        let mut options = ModelOptions::new().memory(memory.clone());
        if let Some(first) = &first {
            options = options.threads(first.model.current().threads());
        }
        let embedding = config.embedding.as_ref().filter(|_| config.enabled);
        let embedding = embedding.map(|path| EmbeddingModel::load(path, &options)).transpose()?;
        let name = first.as_ref().map(|first| first.name.as_str());
        let further = (config.enabled && !config.further.is_empty())
            .then(|| FurtherModels::look(&config.further, name, &options, memory))
            .transpose()?;
        Ok(Self { first, embedding, further })
    }

    /// What there is of each kind.
    pub(crate) fn findings(&self, config: &ModelConfig) -> Vec<Finding> {
        let first = self.first.as_ref().map_or_else(|| no_model(config), |first| first.finding.clone());
        let embedding = self.embedding.as_ref().map(|embedding| embedding.finding.clone());
        let further = self.further.iter().flat_map(|further| &further.models);
        let further = further.map(|model| model.finding.clone());
        [first].into_iter().chain(embedding).chain(further).collect()
    }

    /// Begins to keep those that are loaded when they are asked for. The provider is there if any model is.
    pub(crate) fn start(self) -> Result<(Option<Local>, Option<Further>, Option<LocalProvider>)> {
        let further = self.further.map(keep).transpose()?;
        let is_there = self.first.is_some() || self.embedding.is_some() || further.is_some();
        let provider =
            is_there.then(|| provider(self.first.as_ref(), self.embedding.as_ref(), further.as_ref()));
        let local = self.first.map(|first| {
            let LocalModel { model, name, recommendation, .. } = first;
            Local { model, name, recommendation }
        });
        Ok((local, further, provider))
    }
}

fn keep(further: FurtherModels) -> Result<Further> {
    let names = further.models.iter().map(|model| model.info.name.clone());
    Ok(Further { thread: KeeperThread::start(further.keeper, names)?, known: further.models })
}

fn provider(
    first: Option<&LocalModel>,
    embedding: Option<&EmbeddingModel>,
    further: Option<&Further>,
) -> LocalProvider {
    let mut provider = LocalProvider::new();
    if let Some(first) = first {
        provider = provider.first(first.model.clone(), &first.name);
    }
    if let Some(further) = further {
        let models = further.known.iter().map(|model| model.info.clone());
        provider = provider.further(further.thread.keeper.clone(), models);
    }
    match (embedding, first) {
        (Some(embedding), _) => provider.embedder(embedding.embedder.clone(), &embedding.name),
        (None, Some(first)) => provider.embedding_with_the_first(&first.name),
        (None, None) => provider,
    }
}

fn no_model(config: &ModelConfig) -> Finding {
    let note = if config.enabled {
        "none; name a GGUF file in model.path or AIC_MODEL"
    } else {
        "turned off in the configuration"
    };
    Finding::absent("Local model", note)
}
