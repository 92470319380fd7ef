/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong while tuning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A search space without parameters has nothing to search.
    #[error("the search space has no parameter")]
    EmptySpace,
    /// Two parameters have the same name.
    #[error("parameter `{name}` is given twice")]
    DuplicateParameter {
        /// The name.
        name: String,
    },
    /// A parameter's domain is empty or cannot be searched.
    #[error("parameter `{name}`: {reason}")]
    Domain {
        /// The parameter.
        name: String,
        /// What is wrong with its domain, with the values.
        reason: String,
    },
    /// A configuration has no such parameter, or one of another kind.
    #[error("the configuration has no {kind} called `{name}`")]
    NoParameter {
        /// The name asked for.
        name: String,
        /// The kind asked for: `number`, `integer` or `choice`.
        kind: &'static str,
    },
    /// A configuration has a value for each parameter of its space, within its domain.
    #[error("`{name}` is missing, unknown or outside its domain")]
    OutsideSpace {
        /// The first parameter that is wrong.
        name: String,
    },
    /// The trial is not under way in this study.
    #[error("trial {number} is not under way")]
    UnknownTrial {
        /// Its number.
        number: u64,
    },
    /// A change needs at least one observation to be judged by.
    #[error("the observation window is 0; at least 1 is needed")]
    EmptyWindow,
    /// A candidate could not be observed or applied; the accepted configuration is active again.
    #[error("the candidate was taken back: {stage} failed")]
    TakenBack {
        /// What failed: `observing` or `applying`.
        stage: &'static str,
        /// The cause.
        source: BoxError,
    },
    /// The accepted configuration could not be restored; it is tried again before the next change and on drop.
    #[error("the accepted configuration could not be restored")]
    NotRestored {
        /// The cause.
        source: BoxError,
    },
}
