use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::{Error, Result};

/// A JSON file whose values are read by key, with errors that name it.
pub(crate) struct Json {
    path: PathBuf,
    pub(crate) value: Value,
}

impl Json {
    pub(super) fn read(path: PathBuf) -> Result<Self> {
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        let parsed = serde_json::from_slice(&text);
        let value = parsed.map_err(|error| Error::Malformed {
            format: "JSON",
            file: path.display().to_string(),
            offset: 0,
            problem: error.to_string(),
        })?;
        Ok(Self { path, value })
    }

    /// The file if it is there, otherwise an empty object.
    pub(crate) fn read_optional(path: PathBuf) -> Result<Self> {
        if path.exists() { Self::read(path) } else { Ok(Self { path, value: Value::Null }) }
    }

    /// An empty object, said to be in the file of `other`.
    pub(super) fn empty_beside(other: &Self) -> Self {
        Self { path: other.path.clone(), value: Value::Null }
    }

    /// The object at `key` in place of the whole, if there is one.
    pub(super) fn part(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| value.is_object())?;
        Some(Self { path: self.path.clone(), value: value.clone() })
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.value.get(key)?.as_str()
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.value.get(key)?.as_bool()
    }

    pub(super) fn float(&self, key: &str) -> Option<f64> {
        self.value.get(key)?.as_f64()
    }

    /// The numbers of an array; `None` if there is none, or not of numbers alone.
    pub(super) fn floats(&self, key: &str) -> Option<Vec<f32>> {
        let number = |value: &Value| value.as_f64().map(|value| value as f32);
        self.value.get(key)?.as_array()?.iter().map(number).collect()
    }

    pub(super) fn size(&self, key: &str) -> Result<u32> {
        self.optional_size(key).ok_or_else(|| self.wrong(key, "is missing or no number up to 2^32"))
    }

    pub(crate) fn optional_size(&self, key: &str) -> Option<u32> {
        self.value.get(key)?.as_u64()?.try_into().ok()
    }

    /// One id, or several.
    pub(crate) fn ids(&self, key: &str) -> Vec<u32> {
        let id = |value: &Value| value.as_u64().and_then(|id| id.try_into().ok());
        match self.value.get(key) {
            Some(Value::Array(values)) => values.iter().filter_map(id).collect(),
            Some(value) => id(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    pub(super) fn wrong(&self, key: &str, problem: &str) -> Error {
        Error::metadata(key, format!("{problem} in {}", self.path.display()))
    }
}
