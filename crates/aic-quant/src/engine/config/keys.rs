use std::fmt::Display;

use crate::gguf::Metadata;
use crate::{Error, Result};

/// Larger than any real layer count, width or context; keeps arithmetic on them from overflowing.
const LIMIT: u64 = 1 << 24;

/// Reads `<architecture>.<name>` keys.
pub(crate) struct Keys<'a> {
    pub(crate) metadata: &'a Metadata,
    pub(crate) architecture: &'a str,
}

impl Keys<'_> {
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    pub(crate) fn wrong(&self, name: &str, value: impl Display, expected: &str) -> Error {
        Error::metadata(self.key(name), format!("is {value}, expected {expected}"))
    }

    pub(crate) fn size(&self, name: &str) -> Result<usize> {
        self.optional_size(name)?.ok_or_else(|| Error::metadata(self.key(name), "is missing"))
    }

    pub(crate) fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        match self.count(name)? {
            Some(0) => Err(self.wrong(name, 0, &format!("1 to {LIMIT}"))),
            size => Ok(size),
        }
    }

    /// As [`optional_size`](Self::optional_size), but may be 0.
    pub(crate) fn count(&self, name: &str) -> Result<Option<usize>> {
        match self.metadata.unsigned(&self.key(name))? {
            Some(value) if value > LIMIT => Err(self.wrong(name, value, &format!("0 to {LIMIT}"))),
            value => Ok(value.map(|value| value as usize)),
        }
    }

    pub(crate) fn positive(&self, name: &str) -> Result<Option<f64>> {
        match self.metadata.float(&self.key(name))? {
            Some(value) if !(value > 0.0 && value.is_finite()) => {
                Err(self.wrong(name, value, "a positive number"))
            }
            value => Ok(value),
        }
    }

    /// As [`positive`](Self::positive), where 0 means that there is none.
    pub(crate) fn positive_or_zero(&self, name: &str) -> Result<Option<f64>> {
        match self.metadata.float(&self.key(name))? {
            Some(0.0) => Ok(None),
            _ => self.positive(name),
        }
    }
}
