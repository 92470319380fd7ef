use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{ErrorKind, Explanation, ProviderError};

/// The result of a routed request.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while routing a request.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The router has no provider at all.
    #[error(
        "no provider is configured; start Ollama (OLLAMA_HOST) or set GEMINI_API_KEY, ANTHROPIC_API_KEY \
         or OPENAI_API_KEY"
    )]
    NoProvider,
    /// No model of any provider may take this request now; the explanation says why, model by model.
    #[error("no model can take this request: {}", .0.refusals())]
    NoCandidate(Box<Explanation>),
    /// Every attempt failed before the answer had begun.
    #[error("{}", Failed(.attempts))]
    Failed {
        /// What was tried, in order; never empty.
        attempts: Vec<Attempt>,
    },
    /// The deadline passed before the answer had begun.
    #[error("no answer began within the deadline of {limit:?}{}", Tried(.attempts))]
    DeadlineExceeded {
        /// The deadline the request had.
        limit: Duration,
        /// What was tried, in order.
        attempts: Vec<Attempt>,
    },
    /// The answer had begun and then failed; what was received is not the whole.
    #[error("the answer of `{provider}/{model}` broke off")]
    Interrupted {
        /// Who was answering.
        provider: String,
        /// With which model.
        model: String,
        /// Why it broke off.
        source: ProviderError,
    },
    /// The request was not sent, to keep a limit or to leave a failing service alone; the source says which,
    /// and how long to wait.
    #[error("the request was held back")]
    HeldBack {
        /// What the request would have met.
        source: ProviderError,
    },
    /// A stream ended without its terminal event.
    #[error("the stream ended without saying that the answer is whole")]
    Truncated,
    /// A stream had something that may not be there.
    #[error("the stream is out of order: {0}")]
    Protocol(&'static str),
    /// A setting is wrong; the text names it.
    #[error("invalid setting: {0}")]
    Config(String),
    /// A file of prices or accounts could not be read or written.
    #[error("cannot {doing} {place}")]
    File {
        /// What was to be done: `read prices from`, `save accounts to`.
        doing: &'static str,
        /// The file.
        place: String,
        /// What went wrong; for a file that is not as it should be, where, and what was expected there.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// A provider could not be set up.
    #[error("provider `{provider}` could not be set up; {}", setup_advice(.source))]
    Setup {
        /// The provider's name.
        provider: String,
        /// What went wrong.
        source: ProviderError,
    },
}

impl Error {
    /// For `map_err`: what was being done, and where.
    pub(crate) fn file<E: StdError + Send + Sync + 'static>(
        doing: &'static str,
        place: impl ToString,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::File { doing, place: place.to_string(), source: Arc::new(source) }
    }

    /// The kind of failure that ended the request, where a provider caused it or would have.
    pub fn kind(&self) -> Option<&ErrorKind> {
        match self {
            Self::Failed { attempts } | Self::DeadlineExceeded { attempts, .. } => {
                attempts.last().map(|attempt| attempt.error.kind())
            }
            Self::Interrupted { source, .. } | Self::Setup { source, .. } | Self::HeldBack { source } => {
                Some(source.kind())
            }
            _ => None,
        }
    }

    /// Whether the same request may succeed later without being changed.
    pub fn is_retryable(&self) -> bool {
        use crate::NextStep::{NextModel, NextProvider, Retry, Stop};
        match (self, self.kind().map(ErrorKind::next_step)) {
            (Self::NoCandidate(explanation), _) => explanation.may_change(),
            (Self::DeadlineExceeded { .. } | Self::Truncated, _) => true,
            (_, Some(Retry)) => true,
            (_, Some(NextProvider)) => {
                matches!(self.kind(), Some(ErrorKind::Timeout | ErrorKind::Unreachable))
            }
            (_, Some(NextModel | Stop) | None) => false,
        }
    }
}

/// One call that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The provider called.
    pub provider: String,
    /// The model asked for.
    pub model: String,
    /// What happened.
    pub error: ProviderError,
    /// How long it took.
    pub elapsed: Duration,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}/{}` {}", self.provider, self.model, self.error)
    }
}

struct Failed<'a>(&'a [Attempt]);

impl fmt::Display for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no provider answered{}{}",
            Tried(self.0),
            Advice(self.0.last().map(|attempt| &attempt.error))
        )
    }
}

/// What a person can do about a provider that cannot be set up: mostly its address is wrong.
fn setup_advice(source: &ProviderError) -> &'static str {
    match source.kind() {
        ErrorKind::ModelNotFound | ErrorKind::Malformed | ErrorKind::BadRequest | ErrorKind::Unsupported => {
            "check its address: another kind of server may be there, or a path such as /v1 may be missing"
        }
        kind => kind.advice().unwrap_or("see the cause"),
    }
}

struct Advice<'a>(Option<&'a ProviderError>);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.and_then(|error| error.kind().advice()) {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

struct Tried<'a>(&'a [Attempt]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.0.iter().enumerate() {
            write!(f, "{}{attempt}", if index == 0 { ": " } else { ", then " })?;
        }
        Ok(())
    }
}
