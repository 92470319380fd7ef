use std::error::Error as StdError;

/// The cause of an error from another crate.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// The result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while keeping answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The value has no canonical form, so it has no fingerprint.
    #[error("no fingerprint for a value of domain `{domain}`")]
    Fingerprint {
        /// The domain the fingerprint was asked for.
        domain: String,
        /// What the value's `Serialize` implementation or the encoder objected to.
        source: BoxError,
    },
    /// A text is not a fingerprint: 64 hexadecimal digits.
    #[error("a fingerprint is 64 hexadecimal digits, not {length} bytes of `{start}…`")]
    Hex {
        /// Length of the refused text in bytes.
        length: usize,
        /// Its first characters.
        start: String,
    },
    /// The value cannot be written down as MessagePack.
    #[error("value for {key} cannot be encoded")]
    Encode {
        /// The key it was to be kept under.
        key: crate::Fingerprint,
        /// What the encoder objected to.
        source: BoxError,
    },
    /// The store cannot be reached, did not answer in time, or is being left alone after failures.
    #[error("store `{store}` is unavailable")]
    Unavailable {
        /// The store, without its credentials.
        store: String,
        /// Why.
        source: BoxError,
    },
    /// The settings of a store do not describe one.
    #[error("store `{store}` cannot be set up")]
    Setup {
        /// The kind of store, without its credentials.
        store: String,
        /// Why.
        source: BoxError,
    },
    /// A line of a text is no prompt.
    #[error("line {number} is no prompt")]
    Line {
        /// Its number, from 1.
        number: u64,
        /// Why.
        source: BoxError,
    },
    /// Two vectors that should be compared do not have the same length.
    #[error("a query of {query} dimensions cannot be compared with a vector of {vector}")]
    Dimensions {
        /// Length of the query.
        query: usize,
        /// Length of the vector it met.
        vector: usize,
    },
    /// A setting that is a ratio lies outside its limits.
    #[error("{name} has to be {limits}, not {value}")]
    Ratio {
        /// The setting.
        name: &'static str,
        /// The value refused.
        value: f64,
        /// What it may be.
        limits: &'static str,
    },
}

impl Error {
    /// Whether the same call may succeed later without any change by the caller.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }
}
