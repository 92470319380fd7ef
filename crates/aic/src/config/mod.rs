//! What the owner of a program may set: `aic.toml` (or `aic.yaml`), then the environment on top.
mod duration;
mod environment;
mod routing;

use std::path::{Path, PathBuf};
use std::time::Duration;

use aic_cache::semantic::ErrorBound;
use serde::Deserialize;

pub use environment::Environment;
pub use routing::{HttpConfig, RateLimitConfig, RoutingConfig, SpendLimitConfig};

use crate::{Error, Result};

/// Names looked for in the working folder when `AIC_CONFIG` is not set, in this order.
const FILES: [&str; 3] = ["aic.toml", "aic.yaml", "aic.yml"];

/// The whole configuration. Every key has a default, so an empty file is a valid one.
///
/// ```
/// let config = aic::Config::from_toml("[routing]\npriority = \"speed\"\n[cache]\nttl = \"1day\"")?;
/// assert_eq!(config.cache.ttl.as_secs(), 86_400);
/// # Ok::<(), aic::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The local models.
    pub model: ModelConfig,
    /// Where answers are kept.
    pub cache: CacheConfig,
    /// The providers besides the local model.
    pub providers: ProvidersConfig,
    /// How a provider is chosen.
    pub routing: RoutingConfig,
    /// The connections to providers.
    pub http: HttpConfig,
    /// How the machine is watched.
    pub monitor: MonitorConfig,
    /// Which alerts are raised.
    pub alerts: AlertsConfig,
}

/// The local models: which files, and how they are loaded.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Whether there are local models at all. Defaults to true.
    pub enabled: bool,
    /// A GGUF file, loaded at the start. Without one, the demonstration model is used where it is built in.
    pub path: Option<PathBuf>,
    /// The type its matrices are quantized to while loading (`Q8_0`, `Q4_K`, `F16`, `int8`, …).
    ///
    /// Defaults to what the recommended profile says.
    pub quantization: Option<String>,
    /// The longest conversation in tokens. Defaults to the profile's, at most the model's own.
    pub context_length: Option<usize>,
    /// A model made for embeddings (BERT and its kind), or any other: a GGUF file or a Hugging Face folder.
    /// `AIC_EMBEDDING_MODEL` sets it too. Without one, embeddings are made with the model of `path`.
    pub embedding: Option<PathBuf>,
    /// More models, which are loaded when they are first asked for.
    pub further: Vec<FurtherModelConfig>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            path: None,
            quantization: None,
            context_length: None,
            embedding: None,
            further: Vec::new(),
        }
    }
}

/// A model that is loaded when it is first asked for, and gives way when memory is short or nobody uses it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FurtherModelConfig {
    /// The name it is asked for by.
    pub name: String,
    /// GGUF files or Hugging Face folders of the model, the best one first: smaller ones are taken where there is no room.
    pub files: Vec<PathBuf>,
    /// The longest conversation in tokens; it becomes shorter where memory is. Defaults to 4096, at most the model's own.
    #[serde(default)]
    pub context_length: Option<usize>,
    /// Whether it stays in memory once it is there, though others find no room. Defaults to false.
    #[serde(default)]
    pub pinned: bool,
}

impl FurtherModelConfig {
    /// The model `name`, to be loaded from one of `files`.
    pub fn new<P: Into<PathBuf>>(name: impl Into<String>, files: impl IntoIterator<Item = P>) -> Self {
        let files = files.into_iter().map(Into::into).collect();
        Self { name: name.into(), files, context_length: None, pinned: false }
    }
}

/// Where answers are kept, and for how long.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Whether answers are kept at all. Defaults to true.
    pub enabled: bool,
    /// Memory for entries in bytes. Defaults to 64 MiB.
    pub memory_bytes: u64,
    /// A folder of its own where answers are kept, too, and found after a restart; for one program at a time.
    /// `AIC_CACHE_DIR` sets it too. Without one, answers on this machine are kept in memory only.
    pub folder: Option<PathBuf>,
    /// Room for entries in the folder in bytes. Defaults to 1 GiB.
    pub disk_bytes: u64,
    /// How long an answer lives. Defaults to 7 days.
    #[serde(with = "duration")]
    pub ttl: Duration,
    /// For how long after its life an answer is still given while it is made anew in the background. Defaults to 1 day.
    #[serde(with = "duration")]
    pub stale_while_revalidate: Duration,
    /// For how long after its life an answer is still given if no provider can make it anew. Defaults to 7 days.
    #[serde(with = "duration")]
    pub stale_if_error: Duration,
    /// Whether answers to requests with a temperature above 0 are kept, too, though these want another answer each
    /// time. Defaults to false.
    pub sampled: bool,
    /// The greatest chance, above 0 and below 1, that a question is given the answer to a similarly spelt one that would
    /// have been another. Without it, only the very same question is answered from the cache.
    pub similar_error: Option<ErrorBound>,
    /// Redis shared by several programs, such as `redis://127.0.0.1:6379`. `REDIS_URL` sets it too.
    pub redis_url: Option<String>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            memory_bytes: 64 * 1024 * 1024,
            folder: None,
            disk_bytes: 1024 * 1024 * 1024,
            ttl: 7 * DAY,
            stale_while_revalidate: DAY,
            stale_if_error: 7 * DAY,
            sampled: false,
            similar_error: None,
            redis_url: None,
        }
    }
}

/// The providers besides the local model; each is used when its key or its server is there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProvidersConfig {
    /// Ollama, at `OLLAMA_HOST` or `http://127.0.0.1:11434`.
    pub ollama: ProviderConfig,
    /// Google Gemini, with `GEMINI_API_KEY`.
    pub gemini: ProviderConfig,
    /// Anthropic, with `ANTHROPIC_API_KEY`.
    pub anthropic: ProviderConfig,
    /// OpenAI, with `OPENAI_API_KEY`; `OPENAI_BASE_URL` names any compatible server.
    pub openai: ProviderConfig,
}

/// One provider's settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProviderConfig {
    /// Whether it may be used. Defaults to true.
    pub enabled: bool,
    /// Another address than the provider's own.
    pub base_url: Option<String>,
    /// The model asked for. Defaults to the provider's first in our price table.
    pub model: Option<String>,
    /// The environment variable that holds the key, where it is not the usual one.
    pub api_key_env: Option<String>,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self { enabled: true, base_url: None, model: None, api_key_env: None }
    }
}

/// How the machine is watched.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MonitorConfig {
    /// Whether readings are taken in the background. Defaults to true.
    pub enabled: bool,
    /// The time between two readings. Defaults to 1 s.
    #[serde(with = "duration")]
    pub interval: Duration,
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self { enabled: true, interval: Duration::from_secs(1) }
    }
}

/// Which alerts are raised.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AlertsConfig {
    /// Whether the built-in rules (memory, GPU memory, disk, CPU, temperature) apply. Defaults to true.
    pub default_rules: bool,
    /// Further rules.
    pub rules: Vec<aic_alerts::Rule>,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self { default_rules: true, rules: Vec::new() }
    }
}

impl Config {
    /// Reads the file named by `AIC_CONFIG`, or `aic.toml`, `aic.yaml` or `aic.yml` in the working folder, and
    /// lays the variables of `environment` over it.
    ///
    /// # Errors
    /// [`Error::Config`] names the file, the key and what was expected.
    pub fn load(environment: &Environment) -> Result<Self> {
        let mut config = match environment.get("AIC_CONFIG") {
            Some(path) => Self::from_file(path)?,
            None => FILES
                .iter()
                .find(|name| Path::new(name).is_file())
                .map_or_else(|| Ok(Self::default()), Self::from_file)?,
        };
        environment.overlay(&mut config)?;
        Ok(config)
    }

    /// Reads one file; its ending says whether it is TOML or YAML.
    ///
    /// # Errors
    /// [`Error::Config`] names the file, the key and what was expected.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let at = |message: String| Error::Config { place: path.display().to_string(), message };
        let text = std::fs::read_to_string(path).map_err(|error| at(error.to_string()))?;
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("yaml" | "yml") => parse_yaml(&text).map_err(at),
            _ => parse_toml(&text).map_err(at),
        }
    }

    /// Reads a configuration from TOML text.
    ///
    /// # Errors
    /// [`Error::Config`] names the key and what was expected.
    pub fn from_toml(text: &str) -> Result<Self> {
        parse_toml(text).map_err(|message| Error::Config { place: "the given text".to_owned(), message })
    }
}

fn parse_toml(text: &str) -> Result<Config, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

#[cfg(feature = "yaml")]
fn parse_yaml(text: &str) -> Result<Config, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

#[cfg(not(feature = "yaml"))]
fn parse_yaml(_: &str) -> Result<Config, String> {
    Err("this program was built without YAML: turn on the feature `yaml` of `aic`, or write aic.toml"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(Config::from_toml("").unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_known_ones() {
        let error = Config::from_toml("[cache]\nmemory = 5").unwrap_err().to_string();

        assert!(error.contains("unknown field `memory`") && error.contains("memory_bytes"), "{error}");
    }

    #[test]
    fn an_unknown_provider_is_refused_with_the_known_ones() {
        let error = Config::from_toml("[providers.mistrall]\nmodel = \"x\"").unwrap_err().to_string();

        assert!(error.contains("mistrall") && error.contains("anthropic"), "{error}");
    }

    #[test]
    fn a_further_model_without_files_is_refused_with_what_is_missing() {
        let error = Config::from_toml("[[model.further]]\nname = \"x\"").unwrap_err().to_string();

        assert!(error.contains("missing field `files`"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::from_file("no/such/aic.toml").unwrap_err().to_string();

        assert!(error.contains("no/such/aic.toml"), "{error}");
    }

    #[test]
    fn the_documented_settings_are_valid() {
        let page = include_str!("../../../../docs/aic.md");
        let settings = page.split("```toml\n").last().and_then(|rest| rest.split("```").next()).unwrap();

        let config = Config::from_toml(settings).unwrap();

        assert_eq!(config.model.context_length, Some(2048));
        assert_eq!(config.model.further[0].files.len(), 2);
        assert_eq!(config.alerts.rules.len(), 1);
    }

    #[cfg(feature = "yaml")]
    #[test]
    fn yaml_says_the_same_as_toml() {
        let yaml = parse_yaml("cache:\n  ttl: 2h\nrouting:\n  priority: speed\n").unwrap();

        assert_eq!(
            yaml,
            Config::from_toml("[cache]\nttl = \"2h\"\n[routing]\npriority = \"speed\"").unwrap()
        );
    }
}
