//! Chunks with nothing but words, an end or counts in them, which nearly all are: read without building a
//! document, as a document takes five times as long to build as all the rest of a chunk's way takes.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::usage::Counts;

/// A plain chunk.
#[derive(Debug, Deserialize)]
pub(super) struct Plain<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(borrow)]
    object: Option<Cow<'a, str>>,
    #[serde(default)]
    error: Option<Nothing>,
    pub(super) usage: Option<Counts>,
}

#[derive(Debug, Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    delta: Delta<'a>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

/// A field that is not known here may say something, so a chunk with one is not plain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Delta<'a> {
    #[serde(default, rename = "role")]
    _role: Option<IgnoredAny>,
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(default, rename = "refusal")]
    _refusal: Option<Nothing>,
    #[serde(default, rename = "reasoning_content")]
    _reasoning_content: Option<Nothing>,
    #[serde(default, rename = "tool_calls")]
    _tool_calls: Option<Nothing>,
}

/// What is never there: a field of this type is `null` or left out.
#[derive(Debug, Deserialize)]
enum Nothing {}

impl<'a> Plain<'a> {
    /// Reads a chunk; `None` for one that is not plain, or is no chunk at all, and has to be read as a document.
    pub(super) fn read(data: &'a str) -> Option<Self> {
        let plain: Self = serde_json::from_str(data).ok()?;
        let lone = plain.choices.len() <= 1 && plain.choices.iter().all(|choice| choice.index == 0);
        (lone && plain.error.is_none() && plain.object.as_deref() != Some("error")).then_some(plain)
    }

    /// The next words, if there are any.
    pub(super) fn text(&self) -> Option<&str> {
        self.choices.first()?.delta.content.as_deref().filter(|text| !text.is_empty())
    }

    /// Why the answer ended, if it did.
    pub(super) fn finish_reason(&self) -> Option<&str> {
        self.choices.first()?.finish_reason.as_deref().filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_ends_and_counts_are_plain() {
        let words = "{\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"H\\u00e9\",\
                     \"refusal\":null},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}";
        let plain = Plain::read(words).unwrap();
        assert_eq!((plain.text(), plain.finish_reason()), (Some("Hé"), None));

        let end = "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}";
        assert_eq!(Plain::read(end).unwrap().finish_reason(), Some("stop"));
        let counts = "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}";
        assert!(Plain::read(counts).unwrap().usage.is_some());
    }

    #[test]
    fn everything_else_is_not() {
        let others = [
            "{\"choices\":[{\"delta\":{\"tool_calls\":[]}}]}",
            "{\"choices\":[{\"delta\":{\"reasoning\":\"hm\"}}]}",
            "{\"choices\":[{\"delta\":{\"content\":\"a\",\"refusal\":\"no\"}}]}",
            "{\"choices\":[{\"delta\":{\"content\":[\"a\"]}}]}",
            "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"a\"}}]}",
            "{\"choices\":[{\"delta\":{}},{\"delta\":{}}]}",
            "{\"choices\":[],\"error\":{\"message\":\"no\"}}",
            "{\"choices\":[],\"object\":\"error\"}",
            "{\"error\":{}}",
            "[]",
        ];
        for other in others {
            assert!(Plain::read(other).is_none(), "{other}");
        }
    }
}
