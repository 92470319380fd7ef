use super::bootstrap::FEWEST_POSITIONS;

/// When the gate looks at what it has measured, and how much error it may spend at each look.
///
/// Looking again and again until a sample pleases finds what is not there. So the looks are fixed before the first token:
/// once there is enough for an interval, at each doubling, and at the end of the text. The error probability is divided
/// equally between them (a discrete spending function, Lan & DeMets 1983; with Bonferroni's inequality, so nothing is assumed
/// of how the looks depend on one another), and then between the measures, so that every interval ever judged holds with
/// the confidence asked for, all together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Schedule {
    /// Windows read at each look, growing.
    looks: Vec<usize>,
}

impl Schedule {
    /// For `windows` of `scored` positions each.
    pub(super) fn new(windows: usize, scored: usize) -> Self {
        let mut next = FEWEST_POSITIONS.div_ceil(scored.max(1));
        let mut looks = Vec::new();
        while next < windows {
            looks.push(next);
            next *= 2;
        }
        looks.push(windows);
        Self { looks }
    }

    /// Whether to look after `windows`.
    pub(super) fn looks_at(&self, windows: usize) -> bool {
        self.looks.contains(&windows)
    }

    /// The error probability of one interval at one look, if all of `measures` are to hold together with `confidence`.
    pub(super) fn alpha(&self, confidence: f64, measures: usize) -> f64 {
        (1.0 - confidence) / (self.looks.len() * measures) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_double_from_the_first_that_gives_an_interval_to_the_end() {
        assert_eq!(Schedule::new(21, 100).looks, [4, 8, 16, 21]);
        assert_eq!(Schedule::new(16, 100).looks, [4, 8, 16]);
        assert_eq!(Schedule::new(2, 100).looks, [2]);
        assert!(Schedule::new(16, 100).looks_at(8) && !Schedule::new(16, 100).looks_at(9));
    }

    #[test]
    fn error_is_shared_by_looks_and_measures() {
        let alpha = Schedule::new(21, 100).alpha(0.95, 5);
        assert!((alpha * 4.0 * 5.0 - 0.05).abs() < 1e-12);
    }
}
