//! The one error of these commands: a sentence for the person at the terminal.

use std::fmt;
use std::path::Path;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and where sensible what to do about it.
#[derive(Debug)]
pub(crate) struct Error(String);

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// An error about the file or folder at `path`.
    pub(crate) fn at(path: &Path, cause: impl fmt::Display) -> Self {
        Self(format!("{}: {cause}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(cause: std::io::Error) -> Self {
        Self(cause.to_string())
    }
}
