//! What the tests need, read from the tests themselves.
//!
//! A test that wants a real server or library reads its address from an `AIC_TEST_…` variable. A package
//! whose sources mention the variable has the need, so there is no list to keep and a run of one crate
//! needs no more than that crate.

use std::env;
use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::workspace::Package;

/// Something outside the workspace that tests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A server to talk to.
    Redis,
    /// The program, for tests that start, stop and kill servers of their own.
    RedisServer,
    Mqtt,
    Onnxruntime,
    Python,
}

impl Need {
    const ALL: [Self; 5] = [Self::Redis, Self::RedisServer, Self::Mqtt, Self::Onnxruntime, Self::Python];

    /// The environment variable that answers the need.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Redis => "AIC_TEST_REDIS_URL",
            Self::RedisServer => "AIC_TEST_REDIS_SERVER",
            Self::Mqtt => "AIC_TEST_MQTT_URL",
            Self::Onnxruntime => "AIC_TEST_ONNXRUNTIME_LIB",
            Self::Python => "AIC_TEST_PYTHON",
        }
    }

    fn is_answered(self) -> bool {
        env::var_os(self.variable()).is_some_and(|value| !value.is_empty())
    }
}

/// The needs of `packages` that the environment does not answer already.
pub(crate) fn of(packages: &[&Package]) -> Result<Vec<Need>> {
    let mut needs = Need::ALL.to_vec();
    needs.retain(|need| !need.is_answered());
    let mut found = Vec::new();
    // This package names every variable and needs none.
    for package in packages.iter().filter(|package| package.name != env!("CARGO_PKG_NAME")) {
        for file in sources(&package.folder)? {
            found.extend(mentioned(&file, &needs));
        }
    }
    needs.retain(|need| found.contains(need));
    Ok(needs)
}

fn mentioned(source: &str, needs: &[Need]) -> Vec<Need> {
    needs.iter().copied().filter(|need| source.contains(need.variable())).collect()
}

fn sources(folder: &Path) -> Result<Vec<String>> {
    let files = crate::workspace::rust_files(folder)?;
    files.iter().map(|file| fs::read_to_string(file).map_err(|cause| Error::at(file, cause))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_that_mentions_a_variable_has_the_need() {
        let source = r#"let Some(url) = env::var("AIC_TEST_REDIS_URL") else { return };"#;

        assert_eq!(mentioned(source, &Need::ALL), [Need::Redis]);
        assert_eq!(mentioned(source, &[Need::Mqtt]), []);
    }
}
