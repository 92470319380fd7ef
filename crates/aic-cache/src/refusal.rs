use std::fmt;

use serde::{Deserialize, Serialize};

/// The certainty that a request has no answer: it was refused for what it is, and would be refused again.
///
/// For errors that depend on nothing but the request, such as one that is too long for the model or names a tool that
/// does not exist. An error that may pass (a limit, a fault, a timeout) is never one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refusal {
    /// What kind of error it was, in the caller's words.
    pub code: String,
    /// What it said.
    pub message: String,
}

impl Refusal {
    /// A refusal of the kind `code`.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}
