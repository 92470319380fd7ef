//! The variables a program was started with, readable and replaceable as a whole.
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::Config;
use crate::{Error, Result};

/// The environment variables that `aic` looks at.
///
/// A variable that is set but empty counts as not set. `Debug` prints names, never values: some are keys.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; those that are not Unicode are left out.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of `name`, if it is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// Lays the variables over what the file said.
    pub(super) fn overlay(&self, config: &mut Config) -> Result<()> {
        if let Some(path) = self.get("AIC_MODEL") {
            config.model.path = Some(path.into());
        }
        if let Some(path) = self.get("AIC_EMBEDDING_MODEL") {
            config.model.embedding = Some(path.into());
        }
        if let Some(name) = self.get("AIC_QUANTIZATION") {
            config.model.quantization = Some(name.to_owned());
        }
        if let Some(priority) = self.get("AIC_PRIORITY") {
            config.routing.priority = parse_word("AIC_PRIORITY", priority)?;
        }
        if let Some(folder) = self.get("AIC_CACHE_DIR") {
            config.cache.folder = Some(folder.into());
        }
        if let Some(url) = self.get("REDIS_URL") {
            config.cache.redis_url = Some(url.to_owned());
        }
        if let Some(host) = self.get("OLLAMA_HOST") {
            config.providers.ollama.base_url = Some(with_scheme(host));
        }
        if let Some(url) = self.get("OPENAI_BASE_URL") {
            config.providers.openai.base_url = Some(url.to_owned());
        }
        Ok(())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `OLLAMA_HOST` may be a bare `host:port`, and `0.0.0.0` there means "listen everywhere".
fn with_scheme(host: &str) -> String {
    let host = host.replacen("0.0.0.0", "127.0.0.1", 1);
    if host.contains("://") { host } else { format!("http://{host}") }
}

fn parse_word<'de, T: Deserialize<'de>>(variable: &str, word: &'de str) -> Result<T> {
    T::deserialize(StrDeserializer::<ValueError>::new(word))
        .map_err(|error| Error::Config { place: variable.to_owned(), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_variable_wins_over_the_file() {
        let mut config = Config::from_toml("[cache]\nredis_url = \"redis://a\"").unwrap();

        Environment::from([
            ("REDIS_URL", "redis://b"),
            ("OLLAMA_HOST", "0.0.0.0:9"),
            ("AIC_EMBEDDING_MODEL", "bert.gguf"),
        ])
        .overlay(&mut config)
        .unwrap();

        assert_eq!(config.cache.redis_url.as_deref(), Some("redis://b"));
        assert_eq!(config.providers.ollama.base_url.as_deref(), Some("http://127.0.0.1:9"));
        assert_eq!(config.model.embedding.as_deref(), Some(Path::new("bert.gguf")));
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        assert_eq!(Environment::from([("AIC_MODEL", " ")]).get("AIC_MODEL"), None);
    }

    #[test]
    fn a_wrong_word_names_its_variable_and_the_right_ones() {
        let error =
            Environment::from([("AIC_PRIORITY", "cheap")]).overlay(&mut Config::default()).unwrap_err();

        assert!(error.to_string().contains("AIC_PRIORITY") && error.to_string().contains("speed"), "{error}");
    }

    #[test]
    fn debug_output_has_no_values() {
        let shown = format!("{:?}", Environment::from([("OPENAI_API_KEY", "sk-canary")]));

        assert!(shown.contains("OPENAI_API_KEY") && !shown.contains("canary"));
    }
}
