//! How often honest candidates are rejected, and coarse ones taken: the demonstration model over many texts.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::comparison::{measure, sketch};
use super::sketch::Measure;
use super::text::Text;
use super::trial::Trial;
use super::{Limits, Verdict};
use crate::{DType, Model};

#[path = "../../tests/it/gate/conversations.rs"]
mod conversations;

static DEMO: &[u8] = include_bytes!("../../../aic/models/aic-demo-f16.gguf");
/// Windows that texts are put together of. Windows know nothing of each other, so any of them make a text.
const POOL: usize = 36;
const TEXTS: u64 = 200;
/// Windows of one text, 1,536 tokens.
const WINDOWS: usize = 12;

/// What every window of the pool says of each candidate.
fn pool<const N: usize>(candidates: [DType; N]) -> [Vec<Vec<Measure>>; N] {
    let load = |options: crate::ModelOptions| options.unchecked_memory().from_bytes(DEMO).unwrap();
    let reference = load(Model::options());
    let text = Text::new(&reference, &conversations::text(11, 150), 128).unwrap();
    assert!(text.windows() >= POOL);
    let sketches: Vec<_> =
        (0..POOL).map(|window| sketch(&reference, &text, window, 64, 0).unwrap()).collect();
    candidates.map(|dtype| {
        let candidate = load(Model::options().dtype(dtype));
        let window = |(index, sketches): (usize, &Vec<_>)| {
            measure(&candidate, &text, index, sketches).unwrap().expect("the logits are numbers")
        };
        sketches.iter().enumerate().map(window).collect()
    })
}

/// How many of [`TEXTS`] pass, fail, and are inconclusive.
fn verdicts(windows: &[Vec<Measure>], limits: Limits) -> [usize; 3] {
    let mut counts = [0; 3];
    for seed in 0..TEXTS {
        let mut random = StdRng::seed_from_u64(seed);
        let mut left: Vec<&Vec<Measure>> = windows.iter().collect();
        let mut trial = Trial::new(limits, (WINDOWS, windows[0].len()), 0.95, seed);
        let verdict = loop {
            let window = left.swap_remove(random.random_range(0..left.len()));
            if let Some((verdict, _)) = trial.add(window.iter().copied()) {
                break verdict;
            }
        };
        counts[match verdict {
            Verdict::Pass => 0,
            Verdict::Fail { .. } => 1,
            Verdict::Inconclusive { .. } => 2,
        }] += 1;
    }
    counts
}

#[test]
fn honest_candidates_are_never_rejected_and_coarse_ones_never_taken() {
    let [eight, six, four] = pool([DType::Q8_0, DType::Q6_K, DType::Q4_0]);
    let near = Limits::near_lossless();

    let eight = verdicts(&eight, near);
    let six = verdicts(&six, near);
    let four = verdicts(&four, near);

    // Of docs/quality-gate.md. What is allowed by the confidence of 95 % is 2.5 % of each: 5 of 200.
    println!("pass, fail, inconclusive: Q8_0 {eight:?}, Q6_K {six:?}, Q4_0 {four:?}");
    assert!(eight[1] == 0 && six[1] <= 5, "{eight:?} {six:?}");
    assert!(eight[0] >= 100 && four[0] == 0, "{eight:?} {four:?}");
}
