use serde::{Deserialize, Serialize};

use super::curves::{self, BINS};
use crate::{Error, Result};

/// The share of requests that may get a wrong answer from the similarity tier: above 0, below 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct ErrorBound(f64);

/// One in a hundred.
impl Default for ErrorBound {
    fn default() -> Self {
        Self(0.01)
    }
}

impl ErrorBound {
    /// A bound of `share`; 0.01 lets one request in a hundred be answered wrongly.
    ///
    /// # Errors
    /// [`Error::Ratio`] if `share` is not above 0 and below 1.
    pub fn new(share: f64) -> Result<Self> {
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::Ratio { name: "error bound", value: share, limits: "above 0 and below 1" });
        }
        Ok(Self(share))
    }
}

impl TryFrom<f64> for ErrorBound {
    type Error = Error;

    fn try_from(share: f64) -> Result<Self> {
        Self::new(share)
    }
}

impl From<ErrorBound> for f64 {
    fn from(bound: ErrorBound) -> Self {
        bound.0
    }
}

/// What to do with a similar question that an entry might answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Give the entry's answer.
    Exploit,
    /// Compute a new answer, compare the two and tell [`Evidence::observe`].
    Explore,
}

/// What is known of one entry: how often its answer fitted a question of such a similarity.
///
/// The idea is that of vCache ([Schroeder et al. 2025](https://arxiv.org/abs/2502.03771)): no similarity is
/// safe for every entry, so each learns online from when it may answer, under a bound δ on wrong answers that
/// the user sets. The entry is given with a probability chosen so that, whichever curve its true chance of being
/// right follows, at most δ of the requests it is offered to are answered wrongly. The others are computed
/// anew, and teach. An entry that is always right is given to 7, 57 and 100 % of requests after 10, 100 and 1000
/// observations with δ = 1 %, and to 40 and 100 % after 10 and 100 with δ = 5 %.
///
/// # The rule
/// Let `y` be the observations, `p(y)` their probability under one curve of chances by similarity, and `m(y)`
/// their average probability under all curves. The entry is given with probability `min(1, δ / risk)`, where
///
/// > risk(s) = max over all curves of: chance of being wrong at s / (½ + ½ · m(y) / p(y))
///
/// # Why it holds
/// If a curve is the true one, `m(y) / p(y)` is a ratio of probabilities, whose expectation is 1 at any time and
/// for similarities chosen in any way, also by an adversary who knows the past: a martingale that starts at 1.
/// So is its average with 1. The risk is at least what the true curve contributes to the maximum, so a request
/// at similarity s is answered wrongly with a probability of at most
///
/// > E\[min(1, δ / risk(s)) · wrong(s)\] ≤ E\[δ · (½ + ½ · m(y) / p(y))\] = δ.
///
/// This is exact for each request, however little has been observed. (Such ratios are called e-values: see
/// [Ramdas et al. 2023](https://arxiv.org/abs/2210.01948), and
/// [Wasserman et al. 2020](https://arxiv.org/abs/1912.11436) for maximum over a model against an average.)
///
/// It asks three things. Observations come from explored requests, or from exploited ones that were verified at
/// random; never from complaints or choice, which would be a biased sample. The true chance follows one of the
/// curves, or nearly: they rise with similarity. And it does not drift, though evidence is halved beyond 4096
/// observations, so what was learnt long ago fades. The tests of this file measure how little it takes when
/// the true chance is no such curve.
///
/// # Deviations from the paper
/// - One rule from an e-value takes the place of a confidence band around a fitted logistic curve. The
///   paper's band rests on large samples, where the fit to separable observations (all right, the
///   usual case) diverges and hundreds of observations pass before a sound interval lets a hit through.
/// - Curves come from a grid (of 299), so there is no fit that may fail to converge; the maximum is exact.
/// - They are logistic in the logarithm of 1 − similarity, as embedders differ in scale by powers of ten, and
///   have a ceiling: a model asked the same question twice does not always give the same answer.
/// - An entry more likely wrong than right (risk ≥ ½) is never given. The rule would spend a share of δ on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u8, u32, u32)>", into = "Vec<(u8, u32, u32)>")]
pub struct Evidence {
    /// Bin of similarity, and how many there were right and wrong. Bins ascend.
    observed: Vec<(u8, u32, u32)>,
}

/// Beyond this many observations each count is halved.
const REMEMBERED: u32 = 4096;

impl Evidence {
    /// Counts a question of this `similarity` for which the entry's answer was compared with a new one.
    ///
    /// Similarity is the cosine; NaN is not counted.
    pub fn observe(&mut self, similarity: f32, correct: bool) {
        let Some(bin) = curves::bin(similarity) else { return };
        let (_, right, wrong) = self.count(bin as u8);
        *(if correct { right } else { wrong }) += 1;
        if self.observations() > REMEMBERED {
            self.fade();
        }
    }

    fn count(&mut self, bin: u8) -> &mut (u8, u32, u32) {
        let found = self.observed.binary_search_by_key(&bin, |&(bin, ..)| bin);
        let at = found.unwrap_or_else(|at| {
            self.observed.insert(at, (bin, 0, 0));
            at
        });
        &mut self.observed[at]
    }

    /// Halves every count. The ratio of probabilities becomes its square root, whose expectation is at most 1.
    fn fade(&mut self) {
        for (_, right, wrong) in &mut self.observed {
            (*right, *wrong) = (*right / 2, wrong.div_ceil(2));
        }
    }

    /// Number of observations that count; older ones fade beyond 4096.
    pub fn observations(&self) -> u32 {
        self.observed.iter().map(|(_, right, wrong)| right + wrong).sum()
    }

    /// A bound on the chance that the entry's answer is wrong for a question of this `similarity`, from about 0
    /// to 2; never higher for a higher similarity. Without evidence it is about 1. NaN counts as no similarity.
    ///
    /// Takes some microseconds. See [the rule](Self#the-rule).
    pub fn risk(&self, similarity: f32) -> f64 {
        curves::risk(curves::bin(similarity).unwrap_or(0), &self.observed)
    }

    /// Whether to give the entry's answer to a question of this `similarity`.
    ///
    /// `random` is drawn evenly from 0 (inclusive) to 1 (exclusive), independently of everything else. An entry
    /// without evidence explores.
    pub fn decide(&self, similarity: f32, bound: ErrorBound, random: f64) -> Decision {
        let risk = self.risk(similarity);
        if risk < 0.5 && random < bound.0 / risk { Decision::Exploit } else { Decision::Explore }
    }
}

impl From<Evidence> for Vec<(u8, u32, u32)> {
    fn from(evidence: Evidence) -> Self {
        evidence.observed
    }
}

impl TryFrom<Vec<(u8, u32, u32)>> for Evidence {
    type Error = &'static str;

    /// Takes what was written down, if it can have been: bins in order, and no more than is remembered.
    fn try_from(observed: Vec<(u8, u32, u32)>) -> Result<Self, Self::Error> {
        let ascending = observed.is_sorted_by(|a, b| a.0 < b.0);
        let in_range = observed.last().is_none_or(|&(bin, ..)| usize::from(bin) < BINS);
        let total: u64 = observed.iter().map(|&(_, right, wrong)| u64::from(right) + u64::from(wrong)).sum();
        match ascending && in_range && total <= u64::from(REMEMBERED) {
            true => Ok(Self { observed }),
            false => Err("evidence has bins out of order or more observations than are kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::semantic::draws::Draws;

    fn evidence(observations: impl IntoIterator<Item = (f32, bool)>) -> Evidence {
        let mut evidence = Evidence::default();
        observations.into_iter().for_each(|(similarity, correct)| evidence.observe(similarity, correct));
        evidence
    }

    fn bound(share: f64) -> ErrorBound {
        ErrorBound::new(share).unwrap()
    }

    proptest! {
        #[test]
        fn risk_falls_with_similarity_and_survives_being_written_down(
            observed in prop::collection::vec((0.5f32..=1.0, any::<bool>()), 0..60),
            low in -1.0f32..=1.0,
            high in -1.0f32..=1.0,
        ) {
            let evidence = evidence(observed);
            let (low, high) = (low.min(high), low.max(high));

            prop_assert!(evidence.risk(low) >= evidence.risk(high));
            let written = rmp_serde::to_vec(&evidence).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Evidence>(&written).unwrap(), evidence);
        }

        #[test]
        fn one_more_right_answer_never_raises_the_risk_there(right in 1usize..200, similarity in 0.0f32..1.0) {
            let few = evidence(std::iter::repeat_n((similarity, true), right));
            let mut more = few.clone();
            more.observe(similarity, true);

            prop_assert!(more.risk(similarity) <= few.risk(similarity) + 1e-6);
        }
    }

    #[test]
    fn entry_without_evidence_explores_whatever_the_draw() {
        let cold = Evidence::default();

        assert_eq!(cold.decide(1.0, bound(0.99), 0.0), Decision::Explore);
    }

    #[test]
    fn entry_that_was_always_right_is_given_and_one_always_wrong_never() {
        let right = evidence([(0.9, true); 300]);
        let wrong = evidence([(0.9, false); 300]);

        assert_eq!(right.decide(0.9, bound(0.02), 0.999), Decision::Exploit);
        assert_eq!(right.decide(0.3, bound(0.02), 0.0), Decision::Explore);
        assert_eq!(wrong.decide(0.9, bound(0.02), 0.0), Decision::Explore);
    }

    #[test]
    fn not_a_number_is_no_evidence_and_no_similarity() {
        let odd = evidence([(f32::NAN, true)]);
        let right = evidence([(0.9, true); 300]);

        assert_eq!(odd.observations(), 0);
        assert_eq!(right.decide(f32::NAN, bound(0.02), 0.0), Decision::Explore);
    }

    #[test]
    fn old_evidence_fades_so_that_an_entry_gone_wrong_is_found_out() {
        let mut evidence = evidence([(0.9, true); 20_000]);
        assert!(evidence.observations() <= REMEMBERED);

        (0..3 * REMEMBERED).for_each(|_| evidence.observe(0.9, false));

        assert_eq!(evidence.decide(0.9, bound(0.02), 0.0), Decision::Explore);
    }

    #[test]
    fn forged_evidence_is_refused() {
        for forged in [vec![(3, 1, 0), (3, 1, 0)], vec![(200, 1, 0)], vec![(1, u32::MAX, u32::MAX)]] {
            let written = rmp_serde::to_vec(&forged).unwrap();

            assert!(rmp_serde::from_slice::<Evidence>(&written).is_err());
        }
    }

    #[test]
    fn bound_outside_its_limits_is_refused_by_name() {
        for share in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(ErrorBound::new(share).is_err(), "{share}");
        }
        let error = ErrorBound::new(2.0).unwrap_err();
        assert_eq!(error.to_string(), "error bound has to be above 0 and below 1, not 2");
    }

    /// A world: what chance an entry has of being right at a similarity.
    type World = (&'static str, fn(f64) -> f64);

    const WORLDS: [World; 9] = [
        ("steep", |s| 1.0 / (1.0 + (-120.0 * (s - 0.85)).exp())),
        ("gentle", |s| 1.0 / (1.0 + (-20.0 * (s - 0.8)).exp())),
        ("flat, 97 % right", |_| 0.97),
        ("flat, 90 % right", |_| 0.9),
        ("always right", |_| 1.0),
        ("never right", |_| 0.0),
        ("coin", |_| 0.5),
        ("adversarial: right below 0.9, wrong above", |s| if s < 0.9 { 1.0 } else { 0.0 }),
        ("adversarial: right, but for a band", |s| if (0.94..0.96).contains(&s) { 0.0 } else { 0.999 }),
    ];
    const BOUNDS: [f64; 3] = [0.01, 0.02, 0.05];

    /// What became of an entry's requests.
    #[derive(Default)]
    struct Life {
        wrong: f64,
        hits: Vec<bool>,
    }

    /// Offers an entry `requests` questions of similarities spread from 0.7 to 1.
    fn live((_, right): World, bound: ErrorBound, requests: usize, draws: &mut Draws) -> Life {
        let (mut evidence, mut life) = (Evidence::default(), Life::default());
        for _ in 0..requests {
            let similarity = 0.7 + 0.3 * draws.next();
            let correct = draws.next() < right(similarity);
            let decision = evidence.decide(similarity as f32, bound, draws.next());
            match decision {
                Decision::Exploit => life.wrong += f64::from(u8::from(!correct)),
                Decision::Explore => evidence.observe(similarity as f32, correct),
            }
            life.hits.push(decision == Decision::Exploit);
        }
        life
    }

    /// The mean error rate of many entries and its standard error. Requests to one entry are not independent
    /// (an unlucky one stays unlucky), entries are.
    fn error_rate(lives: &[Life]) -> (f64, f64) {
        let rates: Vec<f64> = lives.iter().map(|life| life.wrong / life.hits.len() as f64).collect();
        let n = rates.len() as f64;
        let mean = rates.iter().sum::<f64>() / n;
        let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, (variance / n).sqrt())
    }

    #[test]
    fn wrong_answers_stay_within_the_bound_in_every_world() {
        for (seed, world) in WORLDS.into_iter().enumerate() {
            for share in BOUNDS {
                let mut draws = Draws::new(seed as u64);
                let lives: Vec<Life> = (0..20).map(|_| live(world, bound(share), 200, &mut draws)).collect();

                let (rate, slack) = error_rate(&lives);
                println!("{}: bound {share}, error {rate:.4} ± {slack:.4}", world.0);
                assert!(rate <= share + 3.0 * slack, "{}: {rate} of {share} ± {slack}", world.0);
            }
        }
    }

    /// The mean share of hits after `observations` over many entries, for similarities spread from 0.7 to 1.
    fn hit_ratio((_, right): World, share: f64, observations: usize, draws: &mut Draws) -> f64 {
        const ENTRIES: u32 = 10;
        let mut hits = 0;
        for _ in 0..ENTRIES {
            let mut evidence = Evidence::default();
            for _ in 0..observations {
                let similarity = 0.7 + 0.3 * draws.next();
                evidence.observe(similarity as f32, draws.next() < right(similarity));
            }
            let decide = |i: u16| evidence.decide(0.7 + 0.003 * f32::from(i), bound(share), draws.next());
            hits += (0..100).map(decide).filter(|decision| *decision == Decision::Exploit).count();
        }
        hits as f64 / f64::from(100 * ENTRIES)
    }

    #[test]
    fn hits_rise_with_evidence_where_answers_do_fit() {
        for (world, at_least) in [(0, 0.15), (2, 0.1), (4, 0.95)] {
            for share in BOUNDS {
                let mut draws = Draws::new(5);
                let hits = [0, 10, 100, 1000].map(|n| hit_ratio(WORLDS[world], share, n, &mut draws));

                println!("{}: bound {share}, hit ratio after 0, 10, 100, 1000: {hits:?}", WORLDS[world].0);
                assert!(hits[0] == 0.0 && hits[1] < hits[2] + 0.05 && hits[2] < hits[3] + 0.05, "{hits:?}");
                assert!(hits[3] >= at_least, "{hits:?}");
            }
        }
    }
}
