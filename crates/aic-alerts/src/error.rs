use std::time::Duration;

/// A cause from another crate.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of a fallible call into this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with rules and their delivery.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A rule's name or metric is empty, too long, or has characters that belong in no name.
    #[error("{field} `{value}` must be 1 to 200 letters, digits, `_`, `-`, `.`, `:` or `/`")]
    Name {
        /// Which setting of the rule.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A rule's threshold is not a finite number.
    #[error("threshold {threshold} of rule `{rule}` is not a finite number")]
    Threshold {
        /// The rule.
        rule: String,
        /// The threshold.
        threshold: f64,
    },
    /// A rule's summary has a brace without its partner.
    #[error(
        "summary of rule `{rule}` has an unmatched brace at byte {position}; write `{{{{` or `}}}}` for a brace itself"
    )]
    Template {
        /// The rule.
        rule: String,
        /// Where, in bytes from the beginning.
        position: usize,
    },
    /// Two rules have one name.
    #[error("two rules are named `{rule}`")]
    DuplicateRule {
        /// The name.
        rule: String,
    },
    /// Two notifiers have one name.
    #[error("two notifiers are named `{notifier}`")]
    DuplicateNotifier {
        /// The name.
        notifier: String,
    },
    /// There is nowhere to ask for values.
    #[error("no source of values; give the builder one with `source`")]
    NoSource,
    /// A notifier's address or settings cannot be used.
    #[error("notifier `{notifier}` cannot use its settings: {reason}")]
    Settings {
        /// The notifier.
        notifier: String,
        /// What is wrong, without any secret.
        reason: String,
    },
    /// The receiver refused a notification.
    #[error("notifier `{notifier}` got status {status}")]
    Rejected {
        /// The notifier.
        notifier: String,
        /// The HTTP status.
        status: u16,
    },
    /// A notification could not be brought to its receiver.
    #[error("notifier `{notifier}` could not deliver")]
    Delivery {
        /// The notifier.
        notifier: String,
        /// The cause.
        source: BoxError,
    },
    /// The receiver did not answer in time.
    #[error("notifier `{notifier}` got no answer within {timeout:?}")]
    Timeout {
        /// The notifier.
        notifier: String,
        /// How long it was waited for.
        timeout: Duration,
    },
}

impl Error {
    /// A failed delivery by `notifier`.
    pub fn delivery(notifier: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Delivery { notifier: notifier.into(), source: source.into() }
    }

    /// Whether the same delivery may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Delivery { .. } | Self::Timeout { .. } => true,
            Self::Rejected { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_final_and_overload_is_not() {
        let rejected = |status| Error::Rejected { notifier: "hook".into(), status };

        assert!(rejected(503).is_retryable() && rejected(429).is_retryable());
        assert!(!rejected(404).is_retryable() && !rejected(301).is_retryable());
        assert!(Error::delivery("hook", "connection reset").is_retryable());
        assert!(!Error::NoSource.is_retryable());
    }

    #[test]
    fn template_message_shows_both_braces() {
        let message = Error::Template { rule: "x".into(), position: 3 }.to_string();

        assert!(message.ends_with("at byte 3; write `{{` or `}}` for a brace itself"), "{message}");
    }
}
