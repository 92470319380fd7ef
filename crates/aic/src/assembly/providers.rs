//! Which providers there are: those whose key is set or whose server answers.
use std::sync::Arc;

use aic_profiles::Hardware;
use aic_router::{Anthropic, ApiKey, Gemini, Http, ModelInfo, Ollama, OllamaBuilder, OpenAi, Provider};

use super::chain;
use crate::adapters::on_this_machine;
use crate::config::{ProviderConfig, ProvidersConfig};
use crate::{Environment, Finding};

const OLLAMA_URL: &str = "http://127.0.0.1:11434";
const OPENAI_URL: &str = "https://api.openai.com/v1";

type Made = aic_router::Result<Arc<dyn Provider>>;

/// What every provider is made with.
pub(crate) struct Surroundings<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) hardware: &'a Hardware,
    pub(crate) http: &'a Http,
}

/// A cloud that is there when its key is.
struct Cloud {
    title: &'static str,
    variable: &'static str,
    make: fn(ApiKey, &ProviderConfig, &Http) -> Made,
}

const GEMINI: Cloud = Cloud { title: "Gemini", variable: "GEMINI_API_KEY", make: gemini };
const ANTHROPIC: Cloud = Cloud { title: "Anthropic", variable: "ANTHROPIC_API_KEY", make: anthropic };
const OPENAI: Cloud = Cloud { title: "OpenAI", variable: "OPENAI_API_KEY", make: openai };

/// Finds the providers, and says of each what came of looking for it.
pub(crate) async fn providers(
    config: &ProvidersConfig,
    around: &Surroundings<'_>,
) -> (Vec<Arc<dyn Provider>>, Vec<Finding>) {
    let looked = [
        ollama(&config.ollama, around).await,
        cloud(&GEMINI, &config.gemini, around),
        cloud(&ANTHROPIC, &config.anthropic, around),
        cloud(&OPENAI, &config.openai, around),
    ];
    let (providers, findings): (Vec<_>, Vec<_>) = looked.into_iter().unzip();
    (providers.into_iter().flatten().collect(), findings)
}

type Looked = (Option<Arc<dyn Provider>>, Finding);

async fn ollama(config: &ProviderConfig, around: &Surroundings<'_>) -> Looked {
    if !config.enabled {
        return (None, Finding::absent("Ollama", "turned off in the configuration"));
    }
    let url = config.base_url.as_deref().unwrap_or(OLLAMA_URL);
    match server(url, around).connect().await {
        Ok(server) if server.info().models.is_empty() => (
            None,
            Finding::broken(
                "Ollama",
                format!("{url} has no models; fetch one with `ollama pull llama3.2:3b`"),
            ),
        ),
        Ok(server) => {
            let note = format!("{} at {url}", counted(server.info().models.len(), "model"));
            (Some(Arc::new(server)), Finding::used("Ollama", note))
        }
        Err(error) if config.base_url.is_some() => {
            let why = error.kind().map_or_else(|| chain(&error), ToString::to_string);
            (
                None,
                Finding::broken(
                    "Ollama",
                    format!("{url} was named but does not answer ({why}); start it, or unset OLLAMA_HOST"),
                ),
            )
        }
        Err(_) => (None, Finding::absent("Ollama", format!("nobody answers at {url}"))),
    }
}

/// Only a server on this machine is told what this machine can do.
fn server(url: &str, around: &Surroundings<'_>) -> OllamaBuilder {
    let server = Ollama::builder(url).http(around.http);
    let here = ["://127.", "://localhost", "://[::1]"].iter().any(|host| url.contains(host));
    if here { on_this_machine(server, around.hardware) } else { server }
}

fn cloud(cloud: &Cloud, config: &ProviderConfig, around: &Surroundings<'_>) -> Looked {
    let variable = config.api_key_env.as_deref().unwrap_or(cloud.variable);
    if !config.enabled {
        return (None, Finding::absent(cloud.title, "turned off in the configuration"));
    }
    let Some(key) = around.environment.get(variable) else {
        return (None, Finding::absent(cloud.title, format!("{variable} is not set")));
    };
    match (cloud.make)(key.into(), config, around.http) {
        Ok(provider) => {
            let note = format!("{} with {variable}", counted(provider.info().models.len(), "model"));
            (Some(provider), Finding::used(cloud.title, note))
        }
        Err(error) => (None, Finding::broken(cloud.title, chain(&error))),
    }
}

fn gemini(key: ApiKey, config: &ProviderConfig, http: &Http) -> Made {
    let provider = match &config.base_url {
        Some(url) => Gemini::at(url, key)?,
        None => Gemini::new(key)?,
    }
    .http(http)?;
    Ok(match &config.model {
        Some(model) => Arc::new(provider.models([ModelInfo::chat(model)])),
        None => Arc::new(provider),
    })
}

fn anthropic(key: ApiKey, config: &ProviderConfig, http: &Http) -> Made {
    let provider = match &config.base_url {
        Some(url) => Anthropic::at(url, key)?,
        None => Anthropic::new(key)?,
    }
    .http(http)?;
    Ok(match &config.model {
        Some(model) => Arc::new(provider.models([ModelInfo::chat(model)])),
        None => Arc::new(provider),
    })
}

fn openai(key: ApiKey, config: &ProviderConfig, http: &Http) -> Made {
    let mut builder = OpenAi::builder(config.base_url.as_deref().unwrap_or(OPENAI_URL));
    if let Some(model) = &config.model {
        builder = builder.model(ModelInfo::chat(model));
    }
    Ok(Arc::new(builder.name("openai").key(key).http(http).build()?))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FindingState;

    async fn look(
        config: &ProvidersConfig,
        environment: &Environment,
    ) -> (Vec<Arc<dyn Provider>>, Vec<Finding>) {
        let (hardware, http) = (Hardware::new(2, 1 << 30), Http::default());
        providers(config, &Surroundings { environment, hardware: &hardware, http: &http }).await
    }

    fn nowhere() -> ProvidersConfig {
        let mut config = ProvidersConfig::default();
        config.ollama.enabled = false;
        config
    }

    #[tokio::test]
    async fn without_keys_there_is_no_cloud_and_each_says_which_variable_it_misses() {
        let (providers, findings) = look(&nowhere(), &Environment::default()).await;

        assert!(providers.is_empty());
        assert_eq!(findings.len(), 4);
        assert!(findings[1].note.contains("GEMINI_API_KEY"), "{}", findings[1]);
    }

    #[tokio::test]
    async fn a_key_brings_its_cloud() {
        let environment = Environment::from([("ANTHROPIC_API_KEY", "sk-canary")]);

        let (providers, findings) = look(&nowhere(), &environment).await;

        assert_eq!(providers[0].info().name, "anthropic");
        assert_eq!(findings[2].state, FindingState::Used);
        assert!(!format!("{providers:?}{findings:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_server_that_was_named_and_is_not_there_is_broken_not_absent() {
        let mut config = ProvidersConfig::default();
        config.ollama.base_url = Some("http://127.0.0.1:1".to_owned());

        let (_, findings) = look(&config, &Environment::default()).await;

        assert_eq!(findings[0].state, FindingState::Broken);
        assert!(findings[0].note.contains("127.0.0.1:1"), "{}", findings[0]);
    }
}
