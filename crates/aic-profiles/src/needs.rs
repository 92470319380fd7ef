use serde::{Deserialize, Serialize};

use crate::estimate::{Engine, Estimate, KvShape, kv_bytes, weights_bytes};
use crate::hardware::Hardware;
use crate::level::Level;
use crate::use_case::UseCase;

/// What a model needs and what its engine offers, as the input of [`recommend`](crate::recommend).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelNeeds {
    /// Number of weights.
    pub parameters: u64,
    /// Shape of the key-value cache; `None` if unknown, [`KvShape::NONE`] for a model without one.
    pub kv: Option<KvShape>,
    /// The model file's size and level, when there is one.
    pub file: Option<(u64, Level)>,
    /// Tokens of context each request may use.
    pub context_length: std::num::NonZeroU32,
    /// The type the engine keeps its cache in.
    pub kv_level: Level,
    /// Requests served at once, each with its own cache.
    pub concurrency: std::num::NonZeroU32,
    /// Levels the engine can run, in any order.
    pub levels: Vec<Level>,
    /// How the engine holds weights in main memory.
    pub engine: Engine,
    /// What the model is used for.
    pub use_case: UseCase,
}

impl ModelNeeds {
    /// Describes a model by its number of weights and the shape of its cache.
    ///
    /// One request at a time, 4096 tokens of context, an F16 cache, for [`UseCase::Chat`], in an engine that runs the
    /// levels F16, Q8_0, Q6_K, Q5_K, Q4_K, Q3_K and Q2_K in place.
    pub fn new(parameters: u64, kv: KvShape) -> Self {
        Self {
            parameters,
            kv: Some(kv),
            file: None,
            context_length: const { std::num::NonZeroU32::new(4096).expect("4096 is not zero") },
            kv_level: Level::F16,
            concurrency: std::num::NonZeroU32::MIN,
            levels: [
                Level::F16,
                Level::Q8_0,
                Level::Q6_K,
                Level::Q5_K,
                Level::Q4_K,
                Level::Q3_K,
                Level::Q2_K,
            ]
            .into(),
            engine: Engine::InPlace,
            use_case: UseCase::Chat,
        }
    }

    /// Sets the tokens of context; zero counts as one. Defaults to 4096.
    #[must_use]
    pub fn context_length(mut self, tokens: u32) -> Self {
        self.context_length = std::num::NonZeroU32::new(tokens).unwrap_or(std::num::NonZeroU32::MIN);
        self
    }

    /// Sets the number of requests served at once; zero counts as one. Defaults to one.
    #[must_use]
    pub fn concurrency(mut self, requests: u32) -> Self {
        self.concurrency = std::num::NonZeroU32::new(requests).unwrap_or(std::num::NonZeroU32::MIN);
        self
    }

    /// Sets the type the engine keeps its cache in. Defaults to F16.
    #[must_use]
    pub fn kv_level(mut self, level: Level) -> Self {
        self.kv_level = level;
        self
    }

    /// Sets the levels the engine can run. Defaults to F16, Q8_0 and the K levels.
    #[must_use]
    pub fn levels(mut self, levels: impl IntoIterator<Item = Level>) -> Self {
        self.levels = levels.into_iter().collect();
        self
    }

    /// Sets how the engine holds weights in main memory. Defaults to [`Engine::InPlace`].
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Names the model file: its size replaces the estimate of its level, and larger levels are not considered,
    /// since they cannot bring back what the file has lost. Defaults to no file.
    #[must_use]
    pub fn file(mut self, bytes: u64, level: Level) -> Self {
        self.file = Some((bytes, level));
        self
    }

    /// Sets what the model is used for. Defaults to [`UseCase::Chat`].
    #[must_use]
    pub fn use_case(mut self, use_case: UseCase) -> Self {
        self.use_case = use_case;
        self
    }

    /// The memory of this model at `level`, held once, as on a GPU.
    pub fn estimate(&self, level: &Level) -> Estimate {
        let kv = self.kv.as_ref();
        Estimate {
            weights_bytes: self.stored_bytes(level),
            kv_bytes: kv.and_then(|shape| {
                kv_bytes(shape, self.context_length.get(), &self.kv_level, self.concurrency.get())
            }),
        }
    }

    /// The memory of this model at `level` in the main memory of `hardware`, with the engine's copies.
    pub fn estimate_on_cpu(&self, level: &Level, hardware: &Hardware) -> Estimate {
        let stored = self.estimate(level);
        let resident = |bytes| self.engine.resident_bytes(bytes, level, hardware);
        Estimate { weights_bytes: stored.weights_bytes.and_then(resident), ..stored }
    }

    fn stored_bytes(&self, level: &Level) -> Option<u64> {
        match &self.file {
            Some((bytes, of)) if of == level => Some(*bytes),
            _ => weights_bytes(self.parameters, level),
        }
    }
}
