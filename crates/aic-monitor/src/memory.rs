use serde::Serialize;

/// An amount of memory and how much of it can still be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What a program can take before something is pushed out, in bytes; at most `total_bytes`.
    pub available_bytes: u64,
}

impl Memory {
    /// Memory of which `available_bytes` are left; more than the total counts as all of it.
    pub fn new(total_bytes: u64, available_bytes: u64) -> Self {
        Self { total_bytes, available_bytes: available_bytes.min(total_bytes) }
    }

    /// What is taken, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.total_bytes - self.available_bytes
    }

    /// The part that is taken, from 0 to 1; `None` where there is no memory at all.
    pub fn utilization_ratio(&self) -> Option<f64> {
        (self.total_bytes > 0).then(|| self.used_bytes() as f64 / self.total_bytes as f64)
    }

    /// This memory as seen from inside a limit: the smaller total and the smaller rest.
    pub(crate) fn within(self, limit: Self) -> Self {
        Self::new(self.total_bytes.min(limit.total_bytes), self.available_bytes.min(limit.available_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_a_limit_the_smaller_numbers_count() {
        let host = Memory::new(64, 50);

        let seen = host.within(Memory::new(8, 2));

        assert_eq!(seen, Memory::new(8, 2));
        assert_eq!(seen.used_bytes(), 6);
        assert_eq!(host.within(Memory::new(1 << 62, 1 << 62)), host);
    }

    #[test]
    fn no_memory_has_no_ratio() {
        assert_eq!(Memory::new(0, 0).utilization_ratio(), None);
        assert_eq!(Memory::new(4, 1).utilization_ratio(), Some(0.75));
    }
}
