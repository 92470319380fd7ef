use super::limits::LIMITS;
use super::schedule::Schedule;
use super::sketch::Measure;
use super::{Limits, Measures, Verdict};

/// The deciding part of the gate: takes what was measured window by window and says when it is enough.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    limits: Limits,
    schedule: Schedule,
    /// The error probability of each interval.
    alpha: f64,
    seed: u64,
    windows: usize,
    planned: usize,
    positions: Vec<Measure>,
}

impl Trial {
    /// A trial of `planned` windows with `scored` positions each, whose intervals hold all together with `confidence`.
    pub(super) fn new(limits: Limits, (planned, scored): (usize, usize), confidence: f64, seed: u64) -> Self {
        let schedule = Schedule::new(planned, scored);
        let alpha = schedule.alpha(confidence, LIMITS);
        Self { limits, schedule, alpha, seed, windows: 0, planned, positions: Vec::new() }
    }

    /// Takes the next window; `Some` once that decides, or none is left.
    pub(super) fn add(
        &mut self,
        window: impl IntoIterator<Item = Measure>,
    ) -> Option<(Verdict, Option<Measures>)> {
        self.positions.extend(window);
        self.windows += 1;
        if !self.schedule.looks_at(self.windows) {
            return None;
        }
        let measures = self.measures();
        let verdict =
            measures.as_ref().map_or_else(|| self.too_short(), |measures| measures.judge(&self.limits));
        let settled = !matches!(verdict, Verdict::Inconclusive { .. }) || self.windows == self.planned;
        settled.then_some((verdict, measures))
    }

    /// What the windows so far say.
    pub(super) fn measures(&self) -> Option<Measures> {
        Measures::new(&self.positions, self.alpha, self.seed)
    }

    fn too_short(&self) -> Verdict {
        let (positions, fewest) = (self.positions.len(), super::bootstrap::FEWEST_POSITIONS);
        Verdict::inconclusive(format!(
            "the text has {positions} positions to score, and an interval needs {fewest}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Windows of 50 positions, of which each is much like the one before; the mean divergence is `kl`.
    fn windows(kl: f64, count: usize, seed: u64) -> Vec<Vec<Measure>> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = 0.0_f64;
        let mut position = || {
            let normal = |random: &mut StdRng| (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
            state = 0.5 * state + 0.75_f64.sqrt() * normal(&mut random);
            let change = 0.05 * normal(&mut random);
            Measure {
                reference_nll: 1.0,
                candidate_nll: 1.0 + change,
                kl: kl * (state - 0.5).exp(),
                tail: 0.0,
                same_top: random.random::<f64>() < 0.98,
            }
        };
        (0..count).map(|_| (0..50).map(|_| position()).collect()).collect()
    }

    fn run(kl: f64, limits: Limits, seed: u64) -> (Verdict, usize) {
        let mut trial = Trial::new(limits, (32, 50), 0.95, seed);
        for (index, window) in windows(kl, 32, seed).into_iter().enumerate() {
            if let Some((verdict, _)) = trial.add(window) {
                return (verdict, index + 1);
            }
        }
        unreachable!("a trial ends with its last window")
    }

    fn count(kl: f64, of: impl Fn(&Verdict) -> bool) -> usize {
        (0..40).filter(|seed| of(&run(kl, Limits::near_lossless(), *seed).0)).count()
    }

    #[test]
    fn candidates_on_the_limit_are_seldom_decided_though_looked_at_many_times() {
        // 4 looks; 5 % of wrong decisions are allowed, of either kind together: 2 of 40.
        assert!(count(0.01, |verdict| !matches!(verdict, Verdict::Inconclusive { .. })) <= 4);
    }

    #[test]
    fn clearly_good_and_clearly_bad_candidates_are_told_before_the_text_ends() {
        assert_eq!(count(0.001, Verdict::is_pass), 40);
        assert_eq!(count(0.04, |verdict| matches!(verdict, Verdict::Fail { .. })), 40);
        assert!(run(0.04, Limits::near_lossless(), 1).1 <= 14);
    }

    #[test]
    fn text_too_short_for_an_interval_is_inconclusive() {
        let mut trial = Trial::new(Limits::small(), (2, 50), 0.95, 0);
        let mut windows = windows(0.0, 2, 1).into_iter();
        assert!(trial.add(windows.next().unwrap()).is_none());
        let (verdict, measures) = trial.add(windows.next().unwrap()).unwrap();
        assert!(matches!(verdict, Verdict::Inconclusive { .. }) && measures.is_none());
    }
}
