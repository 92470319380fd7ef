use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A value for each parameter of a search space.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Configuration(BTreeMap<String, Value>);

/// The value of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Value {
    /// Of an integer parameter.
    Int(i64),
    /// Of a floating-point parameter.
    Float(f64),
    /// Of a categorical parameter.
    Choice(String),
}

impl Configuration {
    /// No values yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a parameter.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value of a floating-point parameter.
    ///
    /// # Errors
    /// [`Error::NoParameter`] if there is none of this name and kind.
    pub fn float(&self, name: &str) -> Result<f64> {
        match self.get(name) {
            Some(Value::Float(value)) => Ok(*value),
            _ => Err(no_parameter(name, "number")),
        }
    }

    /// The value of an integer parameter.
    ///
    /// # Errors
    /// [`Error::NoParameter`] if there is none of this name and kind.
    pub fn int(&self, name: &str) -> Result<i64> {
        match self.get(name) {
            Some(Value::Int(value)) => Ok(*value),
            _ => Err(no_parameter(name, "integer")),
        }
    }

    /// The value of a categorical parameter.
    ///
    /// # Errors
    /// [`Error::NoParameter`] if there is none of this name and kind.
    pub fn choice(&self, name: &str) -> Result<&str> {
        match self.get(name) {
            Some(Value::Choice(value)) => Ok(value),
            _ => Err(no_parameter(name, "choice")),
        }
    }

    /// The names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

fn no_parameter(name: &str, kind: &'static str) -> Error {
    Error::NoParameter { name: name.to_owned(), kind }
}

impl FromIterator<(String, Value)> for Configuration {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Choice(value.to_owned())
    }
}

impl fmt::Display for Configuration {
    /// `batch=48 overlap=0.25`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, value)) in self.0.iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => {
                write!(f, "{}", format!("{value:.4}").trim_end_matches('0').trim_end_matches('.'))
            }
            Self::Choice(value) => value.fmt(f),
        }
    }
}
