use std::{fmt, io};

use serde::Serialize;

/// Why there is no value.
///
/// Serialized as the variant's name in snake_case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Absent {
    /// The hardware, kernel or operating system has no such value.
    NotSupported,
    /// This program was built without the feature that reads it.
    NotBuilt,
    /// No driver for the device is installed or loaded.
    NoDriver,
    /// There is no such device.
    NoDevice,
    /// The operating system refuses to tell.
    PermissionDenied,
    /// A rate needs two samples and this is the first, or the counter behind it began again.
    FirstSample,
    /// Nothing has happened yet that could be measured.
    NotYet,
    /// The device was there and is not any more.
    Lost,
    /// The probe did not answer in time.
    Timeout,
    /// The source said something that cannot be understood, or not a finite number.
    Malformed,
    /// The probe failed; the snapshot's failures say how.
    Failed,
}

impl Absent {
    /// The reason that stands for a failed read of a file.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::Unsupported => Self::NotSupported,
            io::ErrorKind::PermissionDenied => Self::PermissionDenied,
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::InvalidData => Self::Malformed,
            _ => Self::Failed,
        }
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSupported => "not supported here",
            Self::NotBuilt => "built without support",
            Self::NoDriver => "no driver",
            Self::NoDevice => "no such device",
            Self::PermissionDenied => "permission denied",
            Self::FirstSample => "needs a second sample",
            Self::NotYet => "nothing measured yet",
            Self::Lost => "device lost",
            Self::Timeout => "no answer in time",
            Self::Malformed => "malformed value",
            Self::Failed => "probe failed",
        })
    }
}

impl std::error::Error for Absent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_file_means_not_supported_and_a_refused_one_permission_denied() {
        let reason = |kind: io::ErrorKind| Absent::from_io(&kind.into());

        assert_eq!(reason(io::ErrorKind::NotFound), Absent::NotSupported);
        assert_eq!(reason(io::ErrorKind::PermissionDenied), Absent::PermissionDenied);
        assert_eq!(reason(io::ErrorKind::BrokenPipe), Absent::Failed);
    }
}
