use std::collections::HashSet;

use parking_lot::Mutex;

use crate::Fingerprint;

/// The entries that were found since it was last their turn to make room: 8 bytes of each key, which are as
/// good as random.
#[derive(Debug, Default)]
pub(super) struct Used(Mutex<HashSet<u64>>);

impl Used {
    /// Notes that `key` was found.
    pub(super) fn note(&self, key: &Fingerprint) {
        self.0.lock().insert(mark(key));
    }

    /// Whether `key` was found since this was last asked.
    pub(super) fn take(&self, key: &Fingerprint) -> bool {
        self.0.lock().remove(&mark(key))
    }
}

fn mark(key: &Fingerprint) -> u64 {
    u64::from_le_bytes(*key.as_bytes().first_chunk().expect("a fingerprint has 32 bytes"))
}
