use std::fmt;
use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

use crate::tokenizer::Tokenizer;
use crate::{BoxError, Error, Result};

/// What an answer has to look like. The model is kept from choosing any other token.
///
/// ```
/// use aic_quant::{Constraint, GenerateOptions};
///
/// let schema = r#"{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}"#;
/// let options = GenerateOptions {
///     constraint: Some(Constraint::JsonSchema(schema.to_owned())),
///     ..GenerateOptions::default()
/// };
/// ```
///
/// An answer ends as soon as nothing may follow. One that reaches `max_tokens` ends where it is, and then fulfils its constraint
/// only in part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Constraint {
    /// Any JSON object.
    Json,
    /// A JSON document that fulfils this JSON schema.
    JsonSchema(String),
    /// A text that matches this regular expression as a whole.
    Regex(String),
    /// A text of this grammar, in the notation of Lark as
    /// [llguidance](https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md) reads it.
    Lark(String),
}

/// A vocabulary, arranged so that constraints can be followed on it.
pub(super) struct Grammars(ParserFactory);

/// A constraint being followed by one answer.
pub(crate) struct Grammar(Matcher);

impl Grammars {
    /// For a model that knows the tokens below `vocabulary`.
    pub(super) fn new(tokenizer: &Tokenizer, vocabulary: usize) -> Result<Self> {
        let words: Vec<Vec<u8>> = (0..vocabulary as u32).map(|token| word(tokenizer, token)).collect();
        let ends = tokenizer.special().ends();
        let mut info = TokRxInfo::new(vocabulary as u32, ends.first().copied().unwrap_or(u32::MAX));
        info.tok_end_of_turn = ends.get(1).copied();
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(TokTrie::from(&info, &words)));
        let mut factory = ParserFactory::new_simple(&environment).map_err(failed)?;
        factory.quiet();
        Ok(Self(factory))
    }

    /// Begins to follow `constraint`.
    ///
    /// # Errors
    /// [`Error::Constraint`] if it cannot be read or is too large.
    pub(super) fn start(&self, constraint: &Constraint) -> Result<Grammar> {
        let grammar = match constraint {
            Constraint::Json => TopLevelGrammar::from_json_schema(serde_json::json!({ "type": "object" })),
            Constraint::JsonSchema(schema) => {
                let schema = serde_json::from_str(schema).map_err(|error| refused(error.into()))?;
                TopLevelGrammar::from_json_schema(schema)
            }
            Constraint::Regex(pattern) => TopLevelGrammar::from_regex(pattern),
            Constraint::Lark(grammar) => TopLevelGrammar::from_lark(grammar.clone()),
        };
        let matcher = Matcher::new(self.0.create_parser(grammar));
        match matcher.get_error() {
            None => Ok(Grammar(matcher)),
            Some(problem) => Err(refused(problem.into())),
        }
    }
}

impl Grammar {
    /// Takes every token that may not come next out of `logits`; only an end is left once the constraint is fulfilled.
    pub(super) fn restrict(&mut self, logits: &mut [f32]) -> Result<()> {
        let allowed = self.0.compute_mask_or_eos().map_err(failed)?;
        for (token, logit) in (0..).zip(logits) {
            if !allowed.is_allowed(token) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// `token` was chosen.
    pub(super) fn accept(&mut self, token: u32) -> Result<()> {
        self.0.consume_token(token).map_err(failed)
    }

    /// Whether the constraint is fulfilled and nothing may follow.
    pub(super) fn is_complete(&self) -> bool {
        self.0.is_stopped()
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").field("stopped", &self.0.is_stopped()).finish_non_exhaustive()
    }
}

/// The bytes of `token`. Those of a control token are marked, so that no grammar takes them for text.
fn word(tokenizer: &Tokenizer, token: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if tokenizer.is_text(token) {
        tokenizer.write(token, false, &mut bytes);
    } else {
        bytes.push(TokTrie::SPECIAL_TOKEN_MARKER);
        bytes.extend(format!("[{token}]").into_bytes());
    }
    bytes
}

fn refused(source: BoxError) -> Error {
    Error::Constraint { source }
}

fn failed(error: impl fmt::Display) -> Error {
    refused(error.to_string().into())
}
