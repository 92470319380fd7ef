use std::error::Error as StdError;

use crate::level::Level;
use crate::size::Bytes;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while describing, choosing or reading profiles.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not the name of a quantization level.
    #[error(
        "`{name}` is not a quantization level: 2 to 16 letters, digits and `_` are expected, such as Q8_0"
    )]
    Level {
        /// The text as given.
        name: String,
    },
    /// Neither the built-in nor the user's profiles have this name.
    #[error("no profile is called `{name}`{}", crate::suggestion::question(.suggestion.as_deref()))]
    UnknownProfile {
        /// The name that was asked for.
        name: String,
        /// The closest existing name, when one is close.
        suggestion: Option<String>,
    },
    /// A profile inherits from itself, directly or through others.
    #[error("profiles inherit in a circle: {}", .chain.join(" -> "))]
    Cycle {
        /// The names along the circle; the last one repeats an earlier one.
        chain: Vec<String>,
    },
    /// A profile file could not be read; the cause is this error's source.
    #[error("cannot read profiles from {format}")]
    Format {
        /// The format that was expected: `TOML` or `YAML`.
        format: &'static str,
        /// What the parser said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// No offered level fits the free memory of any device.
    #[error(
        "the model does not fit: its smallest choice, {level}, needs {} and {} are free for it on the {device}; \
         choose a smaller model, a shorter context or fewer requests at once, or free some memory",
        Bytes(*.needed_bytes), Bytes(*.usable_bytes)
    )]
    NothingFits {
        /// The level that came closest to fitting.
        level: Level,
        /// The device it was judged on, in words.
        device: String,
        /// What it needs.
        needed_bytes: u64,
        /// What the device has free after the reserve.
        usable_bytes: u64,
    },
    /// Something needed for the decision is not known.
    #[error("cannot recommend a profile: {what}")]
    Unknown {
        /// What is missing and how to supply it.
        what: String,
    },
}
