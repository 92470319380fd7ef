//! What Chat Completions and Responses say in the same words.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{ErrorKind, Media, ProviderError, ReasoningEffort, ToolResult};

/// The options that are there, as fields of a body.
pub(crate) fn optional<const N: usize>(options: [(&str, Option<Value>); N]) -> Map<String, Value> {
    options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// A picture's address; bytes become a `data:` address.
pub(crate) fn image_url(image: &Media) -> Cow<'_, str> {
    match image {
        Media::Url(url) => Cow::Borrowed(url),
        Media::Bytes { mime, data } => Cow::Owned(format!("data:{mime};base64,{}", base64(data))),
    }
}

pub(super) fn base64(data: &Bytes) -> String {
    BASE64_STANDARD.encode(data)
}

/// What a tool gave back. There is no field for failure, so the text says it.
pub(crate) fn result_text(result: &ToolResult) -> Cow<'_, str> {
    if result.failed {
        return Cow::Owned(format!("The tool failed: {}", result.content));
    }
    Cow::Borrowed(&result.content)
}

/// An effort as `model` knows it.
pub(crate) fn effort(model: &str, effort: ReasoningEffort) -> &'static str {
    match effort {
        ReasoningEffort::Off => least_effort(model),
        ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
    }
}

/// `none` came with GPT-5.1; the o-series and gpt-oss go down to `low`, and the first GPT-5 to `minimal`.
fn least_effort(model: &str) -> &'static str {
    let own = model.rsplit('/').next().unwrap_or(model);
    let is = |families: &[&str]| families.iter().any(|family| own.starts_with(family));
    if is(&["o1", "o3", "o4", "gpt-oss"]) {
        "low"
    } else if own == "gpt-5" || is(&["gpt-5-"]) {
        "minimal"
    } else {
        "none"
    }
}

/// The request has something that cannot be said on this wire; another provider may take it.
pub(crate) fn unsupported(what: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Unsupported, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_effort_is_the_least_that_the_model_knows() {
        let cases = [
            ("o3-mini", "low"),
            ("openai/gpt-oss-20b", "low"),
            ("gpt-5", "minimal"),
            ("gpt-5-nano", "minimal"),
            ("gpt-5.5", "none"),
            ("qwen3:8b", "none"),
        ];
        for (model, least) in cases {
            assert_eq!(effort(model, ReasoningEffort::Off), least, "{model}");
            assert_eq!(effort(model, ReasoningEffort::High), "high", "{model}");
        }
    }

    #[test]
    fn bytes_of_a_picture_become_a_data_address() {
        assert_eq!(image_url(&Media::bytes("image/png", "PNG")), "data:image/png;base64,UE5H");
        assert_eq!(image_url(&Media::url("https://x/y.png")), "https://x/y.png");
    }
}
