use std::sync::Arc;

use crate::{ApiKey, ProviderError};

/// The longest message kept of a server's error.
const MESSAGE_CHARS_MAX: usize = 300;

/// What a server is told and may repeat in an error, but nobody else may see.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Arc<Vec<ApiKey>>);

impl Secrets {
    pub(super) fn add(&mut self, secret: ApiKey) {
        Arc::make_mut(&mut self.0).push(secret);
    }

    /// The same failure without them, its message cut to a bearable length. Cut before, a message could end
    /// with the beginning of a secret, which would no longer be known for one.
    pub(super) fn scrub(&self, error: ProviderError) -> ProviderError {
        let clean =
            self.0.iter().fold(error, |error, secret| error.rephrase(|message| secret.scrub(message)));
        clean.rephrase(|message| message.chars().take(MESSAGE_CHARS_MAX).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn secret_at_the_end_of_a_long_message_leaves_no_part_of_it() {
        let mut secrets = Secrets::default();
        secrets.add("sk-canary".into());
        let message = format!("{}sk-canary", "é".repeat(MESSAGE_CHARS_MAX - 4));

        let error = secrets.scrub(ProviderError::new(ErrorKind::Auth, message));

        assert!(error.message().ends_with("é***"), "{error}");
        assert_eq!(error.message().chars().count(), MESSAGE_CHARS_MAX - 1);
    }
}
