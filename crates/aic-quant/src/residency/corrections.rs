use serde::{Deserialize, Serialize};

/// An estimate is corrected by this factor or its inverse at most: what is further off is a fault to be looked into.
const MOST: f64 = 2.0;

/// Loads after which older ones begin to count for less.
const MEMORY: u32 = 8;

/// How wrong estimates have been, for each machine, family of models, and kind of engine and device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Corrections {
    entries: Vec<Correction>,
}

/// How far from the truth estimates of one kind are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Correction {
    /// Which machine.
    pub machine: String,
    /// Which family of models.
    pub family: String,
    /// What ran them, and on which kind of device: `candle/cuda`.
    pub backend: String,
    /// What was really used for each byte estimated: a mean of logarithms in which old loads fade.
    pub factor: f64,
    /// Loads it was learned from.
    pub loads: u32,
}

/// Whose estimate it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind<'a> {
    pub(super) machine: &'a str,
    pub(super) family: &'a str,
    pub(super) backend: &'a str,
}

impl Corrections {
    /// The factor for estimates of `kind`, between 0.5 and 2; `None` until something was learned.
    pub(super) fn factor(&self, kind: Kind<'_>) -> Option<f64> {
        let entry = self.entries.iter().find(|entry| entry.is(kind))?;
        Some(entry.factor.clamp(1.0 / MOST, MOST))
    }

    /// Learns from one load: `estimated` is what was expected before any correction.
    pub(super) fn learn(&mut self, kind: Kind<'_>, estimated: u64, real: u64) {
        if estimated == 0 || real == 0 {
            return;
        }
        let at = self.entries.iter().position(|entry| entry.is(kind)).unwrap_or_else(|| {
            self.entries.push(Correction::new(kind));
            self.entries.len() - 1
        });
        self.entries[at].learn(real as f64 / estimated as f64);
    }

    pub(super) fn entries(&self) -> &[Correction] {
        &self.entries
    }

    pub(super) fn is_sound(&self) -> bool {
        self.entries.iter().all(|entry| entry.factor.is_finite() && entry.factor > 0.0)
    }
}

impl Correction {
    fn new(Kind { machine, family, backend }: Kind<'_>) -> Self {
        let [machine, family, backend] = [machine, family, backend].map(str::to_owned);
        Self { machine, family, backend, factor: 1.0, loads: 0 }
    }

    fn is(&self, kind: Kind<'_>) -> bool {
        self.machine == kind.machine && self.family == kind.family && self.backend == kind.backend
    }

    fn learn(&mut self, factor: f64) {
        // One wild measurement must not undo what was learned.
        let factor = factor.clamp(1.0 / MOST, MOST);
        self.loads = self.loads.saturating_add(1);
        let share = 1.0 / f64::from(self.loads.min(MEMORY));
        self.factor = (self.factor.ln() * (1.0 - share) + factor.ln() * share).exp();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind<'_> = Kind { machine: "pc2", family: "llama", backend: "candle/cuda" };

    #[test]
    fn constant_error_is_learned_from_the_first_load() {
        let mut corrections = Corrections::default();
        assert_eq!(corrections.factor(KIND), None);
        corrections.learn(KIND, 1000, 1200);
        assert!((corrections.factor(KIND).unwrap() - 1.2).abs() < 1e-12);
        (0..20).for_each(|_| corrections.learn(KIND, 500, 600));
        assert!((corrections.factor(KIND).unwrap() - 1.2).abs() < 1e-12);
    }

    #[test]
    fn error_of_another_kind_is_another_error() {
        let mut corrections = Corrections::default();
        corrections.learn(KIND, 1000, 1500);
        for kind in [
            Kind { machine: "pc1", ..KIND },
            Kind { family: "bert", ..KIND },
            Kind { backend: "onnx/cuda", ..KIND },
        ] {
            assert_eq!(corrections.factor(kind), None);
        }
    }

    #[test]
    fn error_that_changes_is_followed_and_no_load_moves_it_beyond_its_bounds() {
        let mut corrections = Corrections::default();
        (0..50).for_each(|_| corrections.learn(KIND, 1000, 1400));
        (0..50).for_each(|_| corrections.learn(KIND, 1000, 900));
        assert!((corrections.factor(KIND).unwrap() - 0.9).abs() < 0.01);
        (0..50).for_each(|_| corrections.learn(KIND, 1, u64::MAX));
        assert!(corrections.factor(KIND).unwrap() <= MOST);
        corrections.learn(KIND, 0, 5);
        corrections.learn(KIND, 5, 0);
        assert!(corrections.factor(KIND).unwrap() > 1.9 && corrections.is_sound());
    }
}
