use std::fmt;
use std::sync::Arc;

use crate::Error;

/// An error that several requests share, as the cause of each one's own.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Arc<Error>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
    }
}
