use super::Architecture;
use super::keys::Keys;
use crate::gguf::{Array, Value};
use crate::{Error, Result};

const PATTERN: &str = "attention.sliding_window_pattern";

/// Which layers see only the tokens just before, and how many of them
/// ([Beltagy et al. 2020](https://arxiv.org/abs/2004.05150), section 3.1).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Windows {
    size: Option<usize>,
    pattern: Pattern,
}

#[derive(Clone, Debug, PartialEq)]
enum Pattern {
    /// Of so many layers all but the last have the window; of 0 all have it, of 1 none.
    Period(usize),
    /// Whether each layer has it.
    Listed(Vec<bool>),
}

impl Windows {
    pub(super) fn new(architecture: Architecture, layers: usize, keys: &Keys<'_>) -> Result<Self> {
        let size = keys.count("attention.sliding_window")?.or(architecture.window());
        let pattern = match keys.metadata.get(&keys.key(PATTERN)) {
            None => Pattern::Period(architecture.window_period()),
            Some(Value::Array(Array::Bool(listed))) if listed.len() >= layers => {
                Pattern::Listed(listed.clone())
            }
            Some(Value::Array(listed)) => {
                return Err(Error::metadata(
                    keys.key(PATTERN),
                    format!("is an array of {}, expected {layers} bools or more", listed.len()),
                ));
            }
            Some(_) => Pattern::Period(keys.count(PATTERN)?.unwrap_or(0)),
        };
        Ok(Self { size: size.filter(|size| *size > 0), pattern })
    }

    pub(super) fn of(&self, layer: usize) -> Option<usize> {
        let has_window = match &self.pattern {
            Pattern::Period(0) => true,
            Pattern::Period(period) => layer % period < period - 1,
            Pattern::Listed(listed) => listed.get(layer).copied().unwrap_or(false),
        };
        self.size.filter(|_| has_window)
    }
}
