use std::{env, fmt};

use secrecy::{ExposeSecret, SecretString};

use crate::{Error, Result};

/// A provider's API key. Prints as `***`, and is wiped from memory when dropped.
#[derive(Clone)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Takes a key; blanks around it are left out.
    pub fn new(key: impl AsRef<str>) -> Self {
        Self(key.as_ref().trim().into())
    }

    /// Reads a key from an environment variable.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not set, or empty.
    pub fn from_env(variable: &str) -> Result<Self> {
        let key = env::var(variable).map(Self::new).ok().filter(|key| !key.expose().is_empty());
        key.ok_or_else(|| Error::Config(format!("the environment variable {variable} is not set")))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Takes the key out of a text, as a server may repeat it in an error.
    pub(crate) fn scrub(&self, text: String) -> String {
        match self.expose() {
            "" => text,
            key => text.replace(key, "***"),
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<&str> for ApiKey {
    fn from(key: &str) -> Self {
        Self::new(key)
    }
}

impl From<String> for ApiKey {
    fn from(key: String) -> Self {
        Self::new(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_neither_printed_nor_left_in_texts() {
        let key = ApiKey::new(" sk-canary \n");

        assert_eq!(format!("{key:?}"), "***");
        assert_eq!(key.scrub("wrong key: sk-canary".into()), "wrong key: ***");
        assert_eq!(ApiKey::new("").scrub("as it was".into()), "as it was");
    }
}
