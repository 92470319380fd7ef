use std::time::Duration;

/// A cause from another crate.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of a fallible call into this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while monitoring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The polling interval is out of range.
    #[error("polling interval {interval:?} is shorter than {min:?}")]
    Interval {
        /// The interval asked for.
        interval: Duration,
        /// The shortest one allowed.
        min: Duration,
    },
    /// The history would not hold two samples.
    #[error("retention {retention:?} is shorter than two polling intervals of {interval:?}")]
    Retention {
        /// The retention asked for.
        retention: Duration,
        /// The polling interval.
        interval: Duration,
    },
    /// A limit of the history is too small.
    #[error("history limit `{limit}` is {value} but must be at least {min}")]
    Limit {
        /// The builder's setting.
        limit: &'static str,
        /// Its value.
        value: usize,
        /// The smallest value allowed.
        min: usize,
    },
    /// Two probes have one name, so their failures could not be told apart.
    #[error("two probes are named `{probe}`")]
    DuplicateProbe {
        /// The name.
        probe: String,
    },
    /// A thread could not be started.
    #[error("thread `{thread}` could not be started")]
    Thread {
        /// The thread's name.
        thread: String,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The monitor is polling in the background already.
    #[error("monitor is running already; drop its handle first")]
    AlreadyRunning,
    /// A probe could not read what it is for.
    #[error("probe `{probe}` failed")]
    Probe {
        /// The probe's name.
        probe: String,
        /// The cause.
        source: BoxError,
    },
    /// A probe did not answer in time; its answer is taken when it comes.
    #[error("probe `{probe}` did not answer within {deadline:?}")]
    ProbeTimeout {
        /// The probe's name.
        probe: String,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// A probe panicked; it is not asked any more.
    #[error("probe `{probe}` panicked")]
    ProbePanicked {
        /// The probe's name.
        probe: String,
    },
}

impl Error {
    /// A failure of the probe `probe`.
    pub fn probe(probe: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Probe { probe: probe.into(), source: source.into() }
    }
}
