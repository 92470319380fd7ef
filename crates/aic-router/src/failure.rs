use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// Why one call to a provider failed.
///
/// Prints as `kind: what the provider said`, without keys and without the prompt.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct ProviderError {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl ProviderError {
    /// A failure of this kind; `message` says what was seen, as a lowercase phrase.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the error that caused this one.
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// What was seen, without the kind.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A provider's stream ended without its terminal event.
    pub(crate) fn cut() -> Self {
        Self::new(ErrorKind::Truncated, "the stream ended before the answer did")
    }

    /// The same failure with its message rewritten, as for taking a secret out.
    pub(crate) fn rephrase(mut self, rewrite: impl FnOnce(String) -> String) -> Self {
        self.message = rewrite(self.message);
        self
    }
}

/// The kinds of failure, told apart by what to do about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Too many requests or tokens for the moment.
    RateLimited {
        /// How long the provider asks to wait, where it says.
        retry_after: Option<Duration>,
    },
    /// The account has nothing left to spend; waiting does not help.
    QuotaExhausted,
    /// The provider has more work than it can take.
    Overloaded {
        /// How long the provider asks to wait, where it says.
        retry_after: Option<Duration>,
    },
    /// A passing fault: a server error, a reset connection.
    Transient,
    /// Nothing came in time.
    Timeout,
    /// No connection could be made.
    Unreachable,
    /// The stream ended before the answer did.
    Truncated,
    /// The provider answered with something that is not its protocol.
    Malformed,
    /// The provider does not have this model.
    ModelNotFound,
    /// Question and answer do not fit into the model.
    ContextTooLong,
    /// The provider declines to answer this.
    ContentPolicy,
    /// The key is missing, wrong or not allowed to do this.
    Auth,
    /// The request itself is wrong.
    BadRequest,
    /// The provider cannot do this at all.
    Unsupported,
    /// A [`SpendLimit`](crate::SpendLimit) does not allow the call, which was not made.
    OverBudget,
}

/// What a failure calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// Try the same model again after a pause.
    Retry,
    /// Go on to the next model.
    NextModel,
    /// Go on to the next model of another provider.
    NextProvider,
    /// Give up: every provider would say the same.
    Stop,
}

impl ErrorKind {
    /// What to do after this failure.
    pub fn next_step(&self) -> NextStep {
        match self {
            Self::RateLimited { .. } | Self::Overloaded { .. } => NextStep::Retry,
            Self::Transient | Self::Truncated | Self::Malformed => NextStep::Retry,
            Self::ModelNotFound | Self::ContextTooLong => NextStep::NextModel,
            Self::Unsupported | Self::OverBudget => NextStep::NextModel,
            Self::Auth | Self::QuotaExhausted | Self::Timeout | Self::Unreachable => NextStep::NextProvider,
            Self::ContentPolicy | Self::BadRequest => NextStep::Stop,
        }
    }

    /// How long the provider asked to wait, where it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Overloaded { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// What a person can do about it, where there is something.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Auth => "check the provider's API key",
            Self::QuotaExhausted => "add credit to the provider's account or use another provider",
            Self::RateLimited { .. } => "send fewer requests per minute or add a second provider",
            Self::Overloaded { .. } | Self::Transient | Self::Truncated => "try again later",
            Self::Timeout => "raise the first-content or idle timeout, or choose a faster model",
            Self::Unreachable => "check that the server runs and its address is right",
            Self::ModelNotFound => "check the model's name, or pull it first",
            Self::ContextTooLong => "shorten the conversation or choose a model with a longer context",
            Self::ContentPolicy => "rephrase the request",
            Self::BadRequest => "correct the request",
            Self::OverBudget => {
                "bound the answer with `max_tokens`, wait for the next window, or raise the spend limit"
            }
            Self::Malformed | Self::Unsupported => return None,
        })
    }

    /// Whether a provider may charge for a call that failed so before its first content.
    pub(crate) fn may_be_billed(&self) -> bool {
        matches!(self, Self::Timeout | Self::Truncated | Self::Malformed | Self::ContentPolicy)
    }

    /// What this failure says about the provider's health: it failed, it is well, or nothing.
    pub(crate) fn verdict(&self) -> Option<bool> {
        match self {
            Self::RateLimited { .. } | Self::OverBudget => None,
            Self::ContextTooLong | Self::ContentPolicy | Self::BadRequest | Self::Unsupported => Some(true),
            _ => Some(false),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RateLimited { .. } => "rate limited",
            Self::QuotaExhausted => "quota exhausted",
            Self::Overloaded { .. } => "overloaded",
            Self::Transient => "passing fault",
            Self::Timeout => "timed out",
            Self::Unreachable => "unreachable",
            Self::Truncated => "cut off",
            Self::Malformed => "malformed answer",
            Self::ModelNotFound => "model not found",
            Self::ContextTooLong => "context too long",
            Self::ContentPolicy => "declined by content policy",
            Self::Auth => "not authorized",
            Self::BadRequest => "bad request",
            Self::Unsupported => "unsupported",
            Self::OverBudget => "over budget",
        })?;
        match self.retry_after() {
            Some(wait) => write!(f, " (retry after {wait:.1?})"),
            None => Ok(()),
        }
    }
}
