//! How large a context to ask for.
//!
//! Ollama gives a model a context of its own choosing, and where a conversation does not fit cuts its beginning
//! off without a word. So a size is named in every request. Each new size loads the model anew, which takes
//! seconds to minutes; hence the powers of two, and hence a size that is loaded already is kept if it does.

use crate::{ChatRequest, EmbedRequest, ErrorKind, ModelInfo, OllamaOptions, ProviderError};

/// The least that is asked for, which is what Ollama gives on the smallest machines.
const CONTEXT_MIN: u64 = 4096;
/// Room for an answer whose length is not bounded.
const ANSWER_TOKENS: u64 = 1024;

/// The sizes a model's context may have, in tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    min: u64,
    max: Option<u64>,
}

impl Bounds {
    /// Never above what the model can or what the machine should.
    pub(super) fn new(model: &ModelInfo, options: &OllamaOptions) -> Self {
        let limits = [model.context_tokens, options.context_tokens_max];
        let max = limits.into_iter().flatten().min();
        Self { min: options.context_tokens_min.unwrap_or(CONTEXT_MIN).min(max.unwrap_or(u64::MAX)), max }
    }

    /// The size for a model that is loaded before it is asked anything.
    pub(super) fn least(self) -> u64 {
        self.min
    }

    /// The size that holds `request` and its answer; `loaded` is the size the model has now, if it is loaded.
    pub(super) fn for_chat(self, request: &ChatRequest, loaded: Option<u64>) -> Result<u64, ProviderError> {
        let input = request.estimated_tokens();
        let asked = input.saturating_add(request.max_tokens.map_or(0, u64::from));
        if let Some(max) = self.max.filter(|max| asked > *max) {
            return Err(too_long(asked, max));
        }
        let answer = request.max_tokens.map_or(ANSWER_TOKENS, u64::from);
        Ok(self.step(with_reserve(input).saturating_add(answer), loaded))
    }

    /// The size that holds the longest text. What does not fit is left for the server to refuse, which it
    /// does by counting, and not by estimate.
    pub(super) fn for_embedding(self, request: &EmbedRequest, loaded: Option<u64>) -> u64 {
        let longest = request.inputs.iter().map(|text| text.len() as u64).max().unwrap_or_default();
        self.step(with_reserve(longest.div_ceil(4)), loaded)
    }

    fn step(self, needed: u64, loaded: Option<u64>) -> u64 {
        let max = self.max.unwrap_or(u64::MAX);
        let size = needed.checked_next_power_of_two().unwrap_or(needed).clamp(self.min, max);
        loaded.filter(|loaded| (size..=max).contains(loaded)).unwrap_or(size)
    }
}

/// Half as much again, as the estimate may be too low.
fn with_reserve(tokens: u64) -> u64 {
    tokens.saturating_add(tokens / 2)
}

fn too_long(asked: u64, max: u64) -> ProviderError {
    let message = format!("about {asked} tokens do not fit into a context of {max}");
    ProviderError::new(ErrorKind::ContextTooLong, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds(model: Option<u64>, min: Option<u64>, max: Option<u64>) -> Bounds {
        let info = ModelInfo { context_tokens: model, ..ModelInfo::chat("m") };
        let options =
            OllamaOptions { context_tokens_min: min, context_tokens_max: max, ..OllamaOptions::default() };
        Bounds::new(&info, &options)
    }

    fn long(bytes: usize) -> ChatRequest {
        ChatRequest::user("x".repeat(bytes))
    }

    #[test]
    fn size_grows_with_the_conversation_in_powers_of_two() {
        let free = bounds(None, None, None);

        let sizes = [2, 9_000, 40_000].map(|bytes| free.for_chat(&long(bytes), None).unwrap());

        assert_eq!(sizes, [4096, 8192, 16_384]);
    }

    #[test]
    fn size_stays_within_the_models_and_the_machines_bounds() {
        let chat = |bounds: Bounds, bytes| bounds.for_chat(&long(bytes), None).unwrap();

        assert_eq!(chat(bounds(Some(2048), None, None), 2), 2048);
        assert_eq!(chat(bounds(Some(131_072), None, Some(10_000)), 30_000), 10_000);
        assert_eq!(chat(bounds(Some(131_072), Some(32_768), None), 2), 32_768);
        assert_eq!(bounds(Some(2048), Some(8192), None).least(), 2048);
    }

    #[test]
    fn conversation_that_does_not_fit_is_refused_with_both_numbers() {
        let error =
            bounds(Some(8192), None, None).for_chat(&long(40_000).max_tokens(1000), None).unwrap_err();

        assert_eq!(
            error.to_string(),
            "context too long: about 11004 tokens do not fit into a context of 8192"
        );
    }

    #[test]
    fn loaded_size_is_kept_where_it_holds_the_conversation() {
        let room = bounds(Some(131_072), None, Some(32_768));

        let sizes = [Some(16_384), Some(2048), Some(65_536), None];
        let sizes = sizes.map(|loaded| room.for_chat(&long(2), loaded).unwrap());

        assert_eq!(sizes, [16_384, 4096, 4096, 4096]);
    }

    #[test]
    fn embedding_takes_the_longest_text_and_refuses_nothing() {
        let texts = |bytes: usize| EmbedRequest::new(["x".into(), "x".repeat(bytes)]);

        assert_eq!(bounds(Some(8192), None, None).for_embedding(&texts(20_000), None), 8192);
        assert_eq!(bounds(Some(512), None, None).for_embedding(&texts(20_000), None), 512);
    }

    proptest! {
        #[test]
        fn size_is_never_above_a_bound(
            bytes in 0_usize..100_000,
            model in proptest::option::of(1_u64..1 << 20),
            min in proptest::option::of(1_u64..1 << 20),
            max in proptest::option::of(1_u64..1 << 20),
            loaded in proptest::option::of(any::<u64>()),
        ) {
            let request = long(bytes);
            match bounds(model, min, max).for_chat(&request, loaded) {
                Ok(size) => {
                    prop_assert!(size <= model.unwrap_or(u64::MAX) && size <= max.unwrap_or(u64::MAX));
                    prop_assert!(size >= request.estimated_tokens());
                }
                Err(error) => prop_assert_eq!(error.kind(), &ErrorKind::ContextTooLong),
            }
        }
    }
}
