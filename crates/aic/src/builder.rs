use std::fmt;
use std::sync::Arc;

use aic_cache::Recent;
use aic_monitor::Machine;
use aic_profiles::Hardware;
use aic_quant::DeviceMemory;
use aic_quant::gguf::Bytes;
use aic_router::Provider;
use tokio::task::spawn_blocking;

use crate::adapters::{MachineMemory, Readings};
use crate::ai::Inner;
use crate::assembly::{
    Costs, LocalModels, ModelSource, OnStep, Surroundings, Watch, cache, http, providers, router,
};
use crate::{Aic, Config, Environment, Error, Finding, Result, Step};

/// What an [`Aic`] is made of; see [`Aic::builder`].
#[derive(Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    config: Option<Config>,
    environment: Option<Environment>,
    model: Option<Bytes>,
    memory: Option<Arc<dyn DeviceMemory>>,
    providers: Vec<Arc<dyn Provider>>,
    on_step: Option<OnStep>,
}

impl Builder {
    /// Uses these settings, and reads no file and no variable but the keys of the providers.
    ///
    /// Defaults to [`Config::load`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Takes variables and keys from here. Defaults to those of this process.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Brings a model in memory (GGUF), for example one linked into the program with `include_bytes!`.
    ///
    /// A file named in the configuration goes before it. Defaults to the demonstration model with the feature
    /// `demo-model`, else none.
    pub fn model_bytes(mut self, model: impl Into<Bytes>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Asks `memory` how much there is, before a local model is loaded and while there are some. By default the monitor.
    pub fn device_memory(mut self, memory: impl DeviceMemory) -> Self {
        self.memory = Some(Arc::new(memory));
        self
    }

    /// Adds a provider of your own. None by default.
    pub fn provider(mut self, provider: impl Provider) -> Self {
        self.providers.push(Arc::new(provider));
        self
    }

    /// Is told of each [`Step`] as it is taken, perhaps from another thread. Nobody by default.
    pub fn on_step(mut self, on_step: impl Fn(Step<'_>) + Send + Sync + 'static) -> Self {
        self.on_step = Some(Arc::new(on_step));
        self
    }

    /// Looks around and puts everything together.
    ///
    /// # Errors
    /// As [`Aic::from_env`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind, but a model being loaded is loaded to its end first.
    pub async fn build(self) -> Result<Aic> {
        let environment = self.environment.unwrap_or_else(Environment::of_process);
        let config = match self.config {
            Some(config) => config,
            None => Config::load(&environment)?,
        };
        let on_step = self.on_step.unwrap_or_else(|| Arc::new(|_| {}));
        let (machine, hardware) = blocking("machine", || Ok(look())).await?;
        on_step(Step::Machine(&machine));
        let http = http(&config.http)?;
        let around = Surroundings { environment: &environment, hardware: &hardware, http: &http };
        let source = ModelSource::choose(&config.model, self.model);
        let memory = self.memory.unwrap_or_else(|| Arc::new(MachineMemory));
        let (models, (found, others), (cache, stores)) = tokio::try_join!(
            local_models(source, &config, &hardware, memory, on_step),
            async { Ok(providers(&config.providers, &around).await) },
            cache(&config.cache),
        )?;
        let mut findings = models.findings(&config.model);
        findings.extend(others.into_iter().chain(stores));
        findings.push(gpu(&machine));

        let (local, further, provider) = models.start()?;
        let mut router = router(&config)?;
        if let Some(provider) = provider {
            router = router.provider(provider);
        }
        for provider in self.providers.into_iter().chain(found) {
            router = router.provider_arc(provider);
        }
        let router = router.build()?;
        let costs = match &config.routing.costs {
            Some(path) => Some(Costs::start(path, router.clone()).await?),
            None => None,
        };
        let (readings, lifetime) = Readings::new(router.clone(), cache.clone());
        let watch = Watch::start(&config.monitor, &config.alerts, readings)?;
        let inner = Inner {
            config,
            machine,
            local,
            further,
            router,
            cache,
            recent: Recent::default(),
            lifetime,
            watch,
            costs,
            findings,
        };
        Ok(Aic { inner: Arc::new(inner) })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("providers", &self.providers)
            .finish_non_exhaustive()
    }
}

fn look() -> (Machine, Hardware) {
    let machine = Machine::detect();
    let hardware = Hardware::from(&machine);
    (machine, if HAS_GPU_ENGINE { hardware } else { hardware.without_gpus() })
}

/// Whether this build can run models on a GPU.
const HAS_GPU_ENGINE: bool = cfg!(any(aic_cuda, target_os = "macos"));

async fn local_models(
    source: Option<ModelSource>,
    config: &Config,
    hardware: &Hardware,
    memory: Arc<dyn DeviceMemory>,
    on_step: OnStep,
) -> Result<LocalModels> {
    let (settings, hardware) = (config.model.clone(), hardware.clone());
    let load = move || LocalModels::load(source, &settings, &hardware, memory, &on_step);
    blocking("local models", load).await
}

async fn blocking<T: Send + 'static>(
    part: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    spawn_blocking(work).await.map_err(|error| Error::Start { part, source: Box::new(error) })?
}

fn gpu(machine: &Machine) -> Finding {
    let names: Vec<_> = machine.gpus().iter().filter_map(|gpu| gpu.name.as_deref()).collect();
    match (&machine.gpus, names.is_empty()) {
        (Err(reason), _) => Finding::absent("GPU", format!("NVIDIA: {reason}")),
        (Ok(_), true) => Finding::absent("GPU", "none on this machine"),
        (Ok(_), false) if HAS_GPU_ENGINE => Finding::used("GPU", names.join(", ")),
        (Ok(_), false) => {
            let note = "watched, but this build runs models on the processor; rebuild with RUSTFLAGS=\"--cfg aic_cuda\"";
            Finding::used("GPU", format!("{}: {note}", names.join(", ")))
        }
    }
}
