//! Bytes as people read them.
use std::fmt;

/// `1.25 GiB`.
pub(super) struct Gib(pub(super) u64);

impl fmt::Display for Gib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} GiB", self.0 as f64 / (1u64 << 30) as f64)
    }
}
