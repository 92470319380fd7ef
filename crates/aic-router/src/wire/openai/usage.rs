use serde::Deserialize;

use crate::Usage;

/// What a server of this protocol counts.
#[derive(Debug, Deserialize)]
pub(super) struct Counts {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for tokens from the cache.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Counts {
    /// The totals. xAI, and Gemini behind this protocol, leave reasoning out of `completion_tokens` but not out
    /// of the total.
    pub(super) fn usage(&self) -> Option<Usage> {
        let (input, written) = (self.prompt_tokens?, self.completion_tokens?);
        let rest = self.total_tokens.and_then(|total| total.checked_sub(input));
        let prompt = self.prompt_tokens_details.as_ref();
        Some(Usage {
            input,
            cached_input: prompt.and_then(|details| details.cached_tokens).or(self.prompt_cache_hit_tokens),
            cache_write_input: prompt.and_then(|details| details.cache_write_tokens),
            output: rest.map_or(written, |rest| rest.max(written)),
            reasoning: self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens),
        })
    }
}
