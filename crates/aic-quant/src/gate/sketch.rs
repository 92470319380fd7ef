use rand::RngExt;
use rand::rngs::StdRng;

/// Tokens drawn from the tail of a distribution.
pub(super) const SAMPLE: usize = 16;

/// The probabilities of the token that follows, from a model's logits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Distribution<'a> {
    logits: &'a [f32],
    /// The token with the highest logit, the first of several.
    top: u32,
    /// ln Σ exp(logit).
    normaliser: f64,
}

/// A logit that is not a number, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BadLogit {
    pub(super) token: u32,
    pub(super) value: f32,
}

impl<'a> Distribution<'a> {
    pub(super) fn new(logits: &'a [f32]) -> Result<Self, BadLogit> {
        let mut top = 0;
        for (token, logit) in logits.iter().enumerate() {
            if !logit.is_finite() {
                return Err(BadLogit { token: token as u32, value: *logit });
            }
            if *logit > logits[top] {
                top = token;
            }
        }
        let highest = f64::from(logits.get(top).copied().unwrap_or_default());
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - highest).exp()).sum();
        Ok(Self { logits, top: top as u32, normaliser: highest + sum.ln() })
    }

    pub(super) fn ln_p(&self, token: u32) -> f64 {
        f64::from(self.logits[token as usize]) - self.normaliser
    }
}

/// One token and the natural logarithm of its probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub(super) token: u32,
    pub(super) ln_p: f32,
}

/// What is kept of the reference's distribution at one position: the likeliest tokens, the mass of all others, and a few
/// of these drawn by their probability.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sketch {
    /// ln of the probability of the token that did follow.
    pub(super) truth: f32,
    /// ln of the mass outside `top`; −∞ if there is none.
    pub(super) tail: f32,
    /// The likeliest tokens, likeliest first.
    pub(super) top: Vec<Entry>,
    /// Tokens outside `top`, drawn with replacement.
    pub(super) sample: Vec<Entry>,
}

/// What one position says about the candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measure {
    /// −ln p of the true token under the reference.
    pub(super) reference_nll: f64,
    /// −ln p of the true token under the candidate.
    pub(super) candidate_nll: f64,
    /// KL(reference‖candidate), nats.
    pub(super) kl: f64,
    /// The reference's mass outside the tokens kept.
    pub(super) tail: f64,
    /// Whether both hold the same token for the likeliest.
    pub(super) same_top: bool,
}

impl Measure {
    /// How much probability the candidate adds to the true token.
    pub(super) fn delta_p(&self) -> f64 {
        (-self.candidate_nll).exp() - (-self.reference_nll).exp()
    }
}

impl Sketch {
    /// Keeps the `top` likeliest tokens of `reference`, and if others are left, [`SAMPLE`] of them.
    pub(super) fn new(reference: &Distribution<'_>, truth: u32, top: usize, random: &mut StdRng) -> Self {
        let mut tokens: Vec<u32> = (0..reference.logits.len() as u32).collect();
        let logit = |token: &u32| reference.logits[*token as usize];
        let likelier = |a: &u32, b: &u32| logit(b).total_cmp(&logit(a)).then(a.cmp(b));
        if top < tokens.len() {
            tokens.select_nth_unstable_by(top, likelier);
        }
        let (top, tail) = tokens.split_at_mut(top.min(reference.logits.len()));
        top.sort_unstable_by(likelier);
        let entry = |token: &u32| Entry { token: *token, ln_p: reference.ln_p(*token) as f32 };
        let mass: f64 = tail.iter().map(|token| reference.ln_p(*token).exp()).sum();
        Self {
            truth: reference.ln_p(truth) as f32,
            tail: mass.ln() as f32,
            top: top.iter().map(entry).collect(),
            sample: draw(reference, tail, mass, random).iter().map(entry).collect(),
        }
    }

    /// Compares the candidate's distribution at the same position.
    pub(super) fn measure(&self, candidate: &Distribution<'_>, truth: u32) -> Measure {
        Measure {
            reference_nll: -f64::from(self.truth),
            candidate_nll: -candidate.ln_p(truth),
            kl: self.divergence(candidate),
            tail: f64::from(self.tail).exp(),
            same_top: self.top.first().is_some_and(|entry| entry.token == candidate.top),
        }
    }

    /// KL(reference‖candidate): exact for the tokens kept, and for the tail estimated without bias by the mean log ratio of
    /// the tokens drawn. Merging the tail into one token can only lose divergence (log-sum inequality; Cover & Thomas,
    /// Elements of Information Theory, theorem 2.7.1), so an estimate below that is raised to it: whatever bias is left
    /// counts against the candidate.
    fn divergence(&self, candidate: &Distribution<'_>) -> f64 {
        let ratio = |entry: &Entry| f64::from(entry.ln_p) - candidate.ln_p(entry.token);
        let kept: f64 = self.top.iter().map(|entry| f64::from(entry.ln_p).exp() * ratio(entry)).sum();
        if self.sample.is_empty() {
            return kept.max(0.0);
        }
        let mass = f64::from(self.tail).exp();
        let mean = self.sample.iter().map(ratio).sum::<f64>() / self.sample.len() as f64;
        (kept + mass * mean).max(kept + self.merged_tail(candidate)).max(0.0)
    }

    /// The tail's part of the divergence if it were a single token.
    fn merged_tail(&self, candidate: &Distribution<'_>) -> f64 {
        let kept: f64 = self.top.iter().map(|entry| candidate.ln_p(entry.token).exp()).sum();
        // Rounding must not make a candidate that has no tail infinitely wrong.
        let theirs = (1.0 - kept).max(f64::EPSILON);
        f64::from(self.tail).exp() * (f64::from(self.tail) - theirs.ln())
    }
}

/// Draws from `tail`, whose probabilities sum to `mass`, by systematic sampling: equally spaced points from one random start
/// (Madow 1949), which spreads the draws and keeps every token's chance proportional to its probability.
fn draw(reference: &Distribution<'_>, tail: &[u32], mass: f64, random: &mut StdRng) -> Vec<u32> {
    if mass <= 0.0 {
        return Vec::new();
    }
    let step = mass / SAMPLE as f64;
    let mut next = random.random::<f64>() * step;
    let mut passed = 0.0;
    let mut drawn = Vec::with_capacity(SAMPLE);
    for token in tail {
        passed += reference.ln_p(*token).exp();
        while next < passed && drawn.len() < SAMPLE {
            drawn.push(*token);
            next += step;
        }
    }
    // Rounding may leave the last point just beyond the sum.
    drawn.resize(SAMPLE, tail[tail.len() - 1]);
    drawn
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    fn random() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    fn exact(reference: &[f32], candidate: &[f32]) -> f64 {
        let (p, q) = (Distribution::new(reference).unwrap(), Distribution::new(candidate).unwrap());
        (0..reference.len() as u32).map(|token| p.ln_p(token).exp() * (p.ln_p(token) - q.ln_p(token))).sum()
    }

    /// The mean over many draws of what a sketch of `top` tokens says.
    fn sketched(reference: &[f32], candidate: &[f32], top: usize) -> f64 {
        let (p, q) = (Distribution::new(reference).unwrap(), Distribution::new(candidate).unwrap());
        let mut random = random();
        let mut once = || Sketch::new(&p, 0, top, &mut random).measure(&q, 0).kl;
        (0..400).map(|_| once()).sum::<f64>() / 400.0
    }

    fn logits() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        (2_usize..60).prop_flat_map(|size| (vec(-9.0_f32..9.0, size), vec(-9.0_f32..9.0, size)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn all_tokens_kept_give_the_exact_divergence((reference, candidate) in logits()) {
            let (p, q) = (Distribution::new(&reference).unwrap(), Distribution::new(&candidate).unwrap());
            let sketch = Sketch::new(&p, 1, reference.len(), &mut random());
            let measure = sketch.measure(&q, 1);
            let exact = exact(&reference, &candidate);
            prop_assert!((measure.kl - exact).abs() < 1e-5 * (1.0 + exact), "{} {exact}", measure.kl);
            prop_assert!((measure.candidate_nll + q.ln_p(1)).abs() < 1e-9);
            prop_assert!((measure.reference_nll + p.ln_p(1)).abs() < 1e-5);
        }

        #[test]
        fn merged_tail_never_says_more_than_there_is((reference, candidate) in logits(), top in 1_usize..20) {
            let (p, q) = (Distribution::new(&reference).unwrap(), Distribution::new(&candidate).unwrap());
            let sketch = Sketch::new(&p, 0, top, &mut random());
            prop_assume!(!sketch.sample.is_empty());
            let merged = Sketch { sample: Vec::new(), ..sketch.clone() }.measure(&q, 0).kl.max(0.0);
            let with_tail = sketch.divergence(&q);
            let exact = exact(&reference, &candidate);
            let kept = sketch.top.iter().map(|e| f64::from(e.ln_p).exp() * (f64::from(e.ln_p) - q.ln_p(e.token)));
            let bound = kept.sum::<f64>() + sketch.merged_tail(&q);
            prop_assert!(bound <= exact + 1e-4 * (1.0 + exact), "{bound} {exact}");
            prop_assert!(with_tail >= bound - 1e-9 && merged >= 0.0);
        }

        #[test]
        fn drawn_tail_does_not_flatter_the_candidate((reference, candidate) in logits(), top in 1_usize..20) {
            let (sketched, exact) = (sketched(&reference, &candidate, top), exact(&reference, &candidate));
            // 400 draws of 16 leave an error of the mean well below this.
            prop_assert!(sketched >= exact - 0.03 * (1.0 + exact), "{sketched} {exact}");
        }
    }

    #[test]
    fn same_model_has_no_divergence_and_the_same_top() {
        let logits = [0.5, 3.0, -2.0, 1.0, 3.0];
        let p = Distribution::new(&logits).unwrap();
        for top in [1, 3, 5, 9] {
            let measure = Sketch::new(&p, 2, top, &mut random()).measure(&p, 2);
            assert!(measure.kl < 1e-6 && measure.same_top && measure.delta_p().abs() < 1e-7, "{measure:?}");
        }
        assert_eq!(p.top, 1);
    }

    #[test]
    fn tail_is_drawn_by_probability() {
        let logits = [5.0, 1.0_f32.ln(), 3.0_f32.ln()];
        let p = Distribution::new(&logits).unwrap();
        let mut random = random();
        let sketches = (0..500).map(|_| Sketch::new(&p, 0, 1, &mut random));
        let drawn: Vec<u32> = sketches.flat_map(|s| s.sample).map(|entry| entry.token).collect();
        let share = drawn.iter().filter(|token| **token == 2).count() as f64 / drawn.len() as f64;
        assert_eq!(drawn.len(), 500 * SAMPLE);
        assert!((share - 0.75).abs() < 0.02, "{share}");
    }

    #[test]
    fn logits_that_are_not_numbers_are_named() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let bad = Distribution::new(&[0.0, 1.0, value]).unwrap_err();
            assert_eq!((bad.token, bad.value.to_bits()), (2, value.to_bits()));
        }
    }
}
