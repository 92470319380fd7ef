use serde::Serialize;

/// A question whose answer shows whether a model still behaves.
///
/// Perplexity and divergence are means over a text; three quantized models within 3 % of perplexity of each other have been
/// seen to differ six times in how often they behave. Probes ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Probe {
    /// What a user says; it goes through the model's chat template.
    pub prompt: String,
    /// What the answer is checked for.
    pub expectation: Expectation,
    /// Most tokens of the answer. 128 unless changed.
    pub max_tokens: usize,
}

/// What an answer has to be. Whatever it is, answers are greedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Expectation {
    /// The model ends its answer by itself.
    Ends,
    /// The answer is one JSON value and nothing else.
    Json,
    /// The answer is this text, but for white space around it.
    Exact(String),
}

impl Probe {
    /// A probe that answers of up to 128 tokens pass if they are as `expectation` says.
    pub fn new(prompt: impl Into<String>, expectation: Expectation) -> Self {
        Self { prompt: prompt.into(), expectation, max_tokens: 128 }
    }

    /// Most tokens of the answer, at least 1. Defaults to 128.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// Whether `answer`, which came to its own end or did not, is as expected.
    #[cfg_attr(not(feature = "engine"), allow(dead_code, reason = "only models answer probes"))]
    pub(super) fn accepts(&self, answer: &str, ended: bool) -> bool {
        match &self.expectation {
            Expectation::Ends => ended,
            Expectation::Json => serde_json::from_str::<serde::de::IgnoredAny>(answer).is_ok(),
            Expectation::Exact(expected) => answer.trim() == expected.trim(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked_for_what_was_asked() {
        let accepts = |expectation, answer: &str, ended| Probe::new("q", expectation).accepts(answer, ended);
        assert!(accepts(Expectation::Ends, "any", true) && !accepts(Expectation::Ends, "any", false));
        assert!(accepts(Expectation::Json, " {\"a\": [1]}\n", true));
        assert!(!accepts(Expectation::Json, "{\"a\": [1]} and so on", true));
        assert!(!accepts(Expectation::Json, "", true));
        let exact = || Expectation::Exact("2 + 2 = 4".to_owned());
        assert!(accepts(exact(), " 2 + 2 = 4\n", false) && !accepts(exact(), "2 + 2 = 5", true));
    }
}
