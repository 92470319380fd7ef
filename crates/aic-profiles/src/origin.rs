use std::fmt;

use serde::Serialize;

use crate::class::Class;
use crate::use_case::UseCase;

/// Where a setting came from. Later variants outrank earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The defaults of this crate.
    Builtin,
    /// The hardware's class.
    Class(Class),
    /// The use case.
    UseCase(UseCase),
    /// [`recommend`](crate::recommend).
    Recommended,
    /// A profile of the user's, by name.
    User(String),
    /// This run: a command line, an environment variable, a call.
    Run,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("built-in default"),
            Self::Class(class) => write!(f, "hardware class `{class}`"),
            Self::UseCase(use_case) => write!(f, "use case `{use_case}`"),
            Self::Recommended => f.write_str("recommended for this machine"),
            Self::User(name) => write!(f, "user profile `{name}`"),
            Self::Run => f.write_str("this run"),
        }
    }
}
