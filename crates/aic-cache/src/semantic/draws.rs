/// Numbers that look random and are the same in every run.
pub(super) struct Draws {
    seed: u64,
    drawn: u64,
}

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// From 0 (inclusive) to 1 (exclusive).
    pub(super) fn next(&mut self) -> f64 {
        self.drawn += 1;
        let bits = twox_hash::XxHash3_64::oneshot_with_seed(self.seed, &self.drawn.to_le_bytes());
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}
