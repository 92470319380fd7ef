use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How an Ollama server runs its models on its machine, as a hardware profile says it.
///
/// What is `None` is left to Ollama and is not sent. A model is loaded anew when one of these differs from what
/// it was loaded with, so all who share a server do well to agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OllamaOptions {
    /// The smallest context a model is given, in tokens. `None` for 4096, or the model's own if that is less.
    pub context_tokens_min: Option<u64>,
    /// The largest context a model is given, in tokens, above 0; each token takes memory for as long as the
    /// model is loaded. `None` for as many as the model can.
    pub context_tokens_max: Option<u64>,
    /// How many tokens of a prompt are read at a time (`num_batch`).
    pub batch_tokens: Option<u32>,
    /// How many of a model's layers are put on the GPU (`num_gpu`); 0 for none.
    pub gpu_layers: Option<u32>,
    /// The GPU that holds what is not divided among several (`main_gpu`), counted from 0.
    pub main_gpu: Option<u32>,
    /// How many threads compute (`num_thread`).
    pub threads: Option<u32>,
    /// Whether a model's file is mapped into memory in place of being read (`use_mmap`).
    pub mmap: Option<bool>,
}

impl OllamaOptions {
    pub(super) fn check(&self) -> Result<()> {
        let Some(max) = self.context_tokens_max else {
            return Ok(());
        };
        let min = self.context_tokens_min.unwrap_or(1);
        if min <= max && max > 0 {
            return Ok(());
        }
        Err(Error::Config(format!("context_tokens_max of {max} is below context_tokens_min of {min}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_cross_are_refused_with_both_numbers() {
        let options = |min, max| OllamaOptions {
            context_tokens_min: min,
            context_tokens_max: max,
            ..OllamaOptions::default()
        };

        assert!(options(None, None).check().is_ok());
        assert!(options(Some(8192), Some(8192)).check().is_ok());
        assert!(options(None, Some(0)).check().is_err());
        let error = options(Some(8192), Some(4096)).check().unwrap_err();
        assert!(error.to_string().contains("4096") && error.to_string().contains("8192"), "{error}");
    }
}
