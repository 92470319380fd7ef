/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can be wrong with a load or a comparison. A request that fails is no error; the report counts it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody would send requests.
    #[error("concurrency is 0; at least 1 is needed")]
    NoConcurrency,
    /// No request would be measured.
    #[error("{what} is 0, so no request would be measured")]
    NothingToMeasure {
        /// The setting: `requests`, `duration` or `max_in_flight`.
        what: &'static str,
    },
    /// The rate is not a positive number of requests.
    #[error("rate {rate} is outside 0 (exclusive) to {max} requests a second")]
    Rate {
        /// The rate as given.
        rate: f64,
        /// The largest allowed rate.
        max: f64,
    },
    /// A report without a successful request cannot be compared.
    #[error("the {which} report has no successful request to compare")]
    NothingToCompare {
        /// `baseline` or `candidate`.
        which: &'static str,
    },
}
