use std::collections::HashMap;

use serde::{Serialize, Serializer};

use super::{Array, Value};
use crate::{Error, Result};

/// A model's metadata: keys and values in the order of the file, each key once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    positions: HashMap<String, usize>,
}

impl Metadata {
    /// Metadata without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key`; a new key goes to the end, an old one keeps its place. Returns the old value.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        if let Some(&at) = self.positions.get(&key) {
            return Some(std::mem::replace(&mut self.entries[at].1, value));
        }
        self.positions.insert(key.clone(), self.entries.len());
        self.entries.push((key, value));
        None
    }

    /// Takes `key` out; the others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.positions.remove(key)?;
        let (_, value) = self.entries.remove(at);
        for position in self.positions.values_mut().filter(|position| **position > at) {
            *position -= 1;
        }
        Some(value)
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.positions.get(key).map(|&at| &self.entries[at].1)
    }

    /// Whether there is a value for `key`.
    pub fn contains(&self, key: &str) -> bool {
        self.positions.contains_key(key)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The text at `key`; `None` if the key is absent.
    ///
    /// # Errors
    /// [`Error::Metadata`] if the value is not text. The readers below fail alike.
    pub fn string(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "text", Value::as_str)
    }

    /// The non-negative integer at `key`, of whatever width.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a non-negative integer", Value::as_u64)
    }

    /// The float at `key`, of either width.
    pub fn float(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a float", Value::as_f64)
    }

    /// The flag at `key`.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "a bool", Value::as_bool)
    }

    /// The array at `key`.
    pub fn array(&self, key: &str) -> Result<Option<&Array>> {
        self.typed(key, "an array", Value::as_array)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let wrong = || Error::metadata(key, format!("is {}, expected {expected}", value.type_name()));
        read(value).map(Some).ok_or_else(wrong)
    }
}

/// A map in the order of the file.
impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_when_a_key_is_replaced_or_removed() {
        let mut metadata = Metadata::new();
        metadata.insert("a", 1_u32);
        metadata.insert("b", 2_u32);
        metadata.insert("c", 3_u32);

        assert_eq!(metadata.insert("a", 9_u32), Some(Value::U32(1)));
        assert_eq!(metadata.remove("b"), Some(Value::U32(2)));

        let keys: Vec<_> = metadata.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a", "c"]);
        assert_eq!(metadata.get("c"), Some(&Value::U32(3)));
    }

    #[test]
    fn value_of_another_type_is_an_error_that_names_the_key() {
        let mut metadata = Metadata::new();
        metadata.insert("llama.block_count", "many");

        let error = metadata.unsigned("llama.block_count").unwrap_err();

        assert_eq!(
            error.to_string(),
            "metadata key `llama.block_count` is string, expected a non-negative integer"
        );
        assert_eq!(metadata.unsigned("absent").unwrap(), None);
    }
}
