use std::sync::Arc;

use crate::{ApiKey, ProviderError};

/// What a server is told and may repeat in an error, but nobody else may see.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Arc<Vec<ApiKey>>);

impl Secrets {
    pub(super) fn add(&mut self, secret: ApiKey) {
        Arc::make_mut(&mut self.0).push(secret);
    }

    /// The same failure without them.
    pub(super) fn scrub(&self, error: ProviderError) -> ProviderError {
        self.0.iter().fold(error, |error, secret| error.rephrase(|message| secret.scrub(message)))
    }
}
