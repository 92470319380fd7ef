//! Comparing models: what is measured, and what is made of it.
use std::ops::ControlFlow;

use aic_quant::gate::{Expectation, Gate, Limits, Probe, Verdict, embeddings};
use aic_quant::{DType, Error, Model};

use super::demo::{self, MODEL, Parts};

/// ln p of every token after each position of `tokens`.
fn ln_p(model: &Model, tokens: &[u32]) -> Vec<Vec<f64>> {
    let mut all = Vec::new();
    let visit = |_, logits: &[f32]| {
        let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
        all.push(logits.iter().map(|x| f64::from(*x) - sum.ln()).collect());
        Ok(())
    };
    model.predict(tokens, visit).unwrap();
    all
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn measures_are_what_whole_distributions_give() {
    let candidate = demo::load(&Parts::new().file(DType::Q4_0));
    let text = demo::text(2, 20);
    let gate = Gate::new(&*text).window(256).top(1024).limits(Limits::small());

    let report = gate.compare(&MODEL, &candidate).unwrap();

    let tokens = MODEL.tokenize(&text).unwrap();
    let (mut kl, mut ratio, mut same, mut delta) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for window in tokens.chunks_exact(256).take(report.windows) {
        let (ours, theirs) = (ln_p(&MODEL, &window[..255]), ln_p(&candidate, &window[..255]));
        for position in 128..255 {
            let (p, q, truth) = (&ours[position], &theirs[position], window[position + 1] as usize);
            let top = |row: &[f64]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
            kl.push(p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum());
            ratio.push(p[truth] - q[truth]);
            same.push(f64::from(u8::from(top(p) == top(q))));
            delta.push(q[truth].exp() - p[truth].exp());
        }
    }
    let measures = report.measures.unwrap();
    assert_eq!(measures.tokens, kl.len());
    assert_eq!(measures.tail_mass, 0.0);
    let max = kl.iter().copied().fold(0.0, f64::max);
    for (measured, expected) in [
        (measures.mean_kl.value, mean(&kl)),
        (measures.max_kl, max),
        (measures.ln_perplexity_ratio.value, mean(&ratio)),
        (measures.same_top.value, mean(&same)),
        (measures.mean_delta_p.value, mean(&delta)),
        (measures.candidate_perplexity.value / measures.reference_perplexity.value, mean(&ratio).exp()),
    ] {
        assert!((measured - expected).abs() < 1e-5, "{measured} {expected}");
    }
    assert!(measures.mean_kl.low < measures.mean_kl.value && measures.mean_kl.value < measures.mean_kl.high);

    // 64 tokens and a sample of the rest say nearly the same, and never much less.
    let sketched = gate.top(64).compare(&MODEL, &candidate).unwrap().measures.unwrap().mean_kl.value;
    assert!((sketched / mean(&kl) - 1.0).abs() < 0.02, "{sketched} {}", mean(&kl));
}

#[test]
fn honest_quantization_passes_and_one_seed_gives_one_report() {
    let candidate = demo::load(&Parts::new().file(DType::Q8_0));
    let gate = Gate::new(demo::text(1, 130)).limits(Limits::balanced());

    let report = gate.compare(&MODEL, &candidate).unwrap();

    assert_eq!(report.verdict, Verdict::Pass, "{report}");
    let text = report.to_string();
    assert!(text.ends_with("pass: the candidate keeps within every limit"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["verdict"]["outcome"], "pass");
    assert!(json["measures"]["mean_kl"]["high"].as_f64().unwrap() < 0.06);
}

#[test]
fn smaller_model_fails_and_says_why() {
    let candidate = demo::load(&Parts::new().file(DType::Q2_K));
    let report = Gate::new(demo::text(1, 30)).window(256).compare(&MODEL, &candidate).unwrap();
    let Verdict::Fail { reasons } = &report.verdict else { panic!("{report}") };
    assert!(reasons[0].starts_with("mean KL divergence is "), "{reasons:?}");
    assert!(report.windows < report.windows_planned);
}

#[test]
fn short_text_or_one_broken_off_is_inconclusive() {
    let report = Gate::new(demo::text(1, 2)).compare(&MODEL, &MODEL).unwrap();
    assert!(
        matches!(&report.verdict, Verdict::Inconclusive { needs } if needs[0].contains("320")),
        "{report}"
    );

    let gate = Gate::new(demo::text(1, 20)).window(64);
    let stopped = gate.on_progress(|progress| match progress.windows {
        0..2 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    });
    let report = stopped.compare(&MODEL, &MODEL).unwrap();
    assert!(
        matches!(&report.verdict, Verdict::Inconclusive { needs } if needs[0].contains("broken off")),
        "{report}"
    );
    assert_eq!(report.windows, 2);
    let fingerprint = aic_quant::gate::Fingerprint::new(&demo::file()).unwrap();
    assert!(stopped.reference(&MODEL, fingerprint).unwrap().is_none());
}

#[test]
fn options_out_of_range_are_named() {
    let gate = || Gate::new("some text");
    for (name, gate) in [
        ("window", gate().window(3)),
        ("top", gate().top(7)),
        ("confidence", gate().confidence(1.0)),
        ("confidence", gate().confidence(f64::NAN)),
    ] {
        let error = gate.compare(&MODEL, &MODEL).unwrap_err();
        assert!(matches!(error, Error::Option { option, .. } if option == name), "{error}");
    }
    assert!(matches!(Gate::new("").compare(&MODEL, &MODEL), Err(Error::Empty { .. })));
}

#[test]
fn model_that_forgets_to_stop_fails_by_its_answers() {
    let mut parts = Parts::new();
    // `<|end|>` can still be read, and hardly be said.
    parts.tensor("token_embd.weight").row(0).iter_mut().for_each(|x| *x *= 0.02);
    let candidate = demo::load(&parts.file(DType::F16));
    let questions =
        ["What is a cache?", "2 + 3", "Who are you?", "What is the opposite of fast?", "7 minus 2"];
    let mut probes: Vec<Probe> = questions.map(|q| Probe::new(q, Expectation::Ends).max_tokens(60)).to_vec();
    probes.push(Probe::new("2 minus 2", Expectation::Exact("2 - 2 = 0".to_owned())).max_tokens(20));
    probes.push(Probe::new("Tool call, please: Add a meeting with Dora to Tuesday.", Expectation::Json));
    // Limits so wide that only the answers can fail it.
    let wide = Limits {
        max_mean_kl: 99.0,
        max_p99_kl: f64::INFINITY,
        max_ln_perplexity_ratio: 99.0,
        min_same_top: 0.0,
    };
    let gate = Gate::new(demo::text(1, 20)).window(128).limits(wide).probes(probes);

    let honest = gate.compare(&MODEL, &MODEL).unwrap();
    let report = gate.compare(&MODEL, &candidate).unwrap();

    let behaviour = honest.behaviour.as_ref().unwrap();
    assert_eq!(
        (behaviour.probes, behaviour.reference_passed, behaviour.candidate_passed),
        (7, 7, 7),
        "{honest:?}"
    );
    assert_eq!(honest.verdict, Verdict::Pass, "{honest}");
    assert!(report.behaviour.as_ref().unwrap().lost.len() >= 5, "{report:?}");
    assert!(
        matches!(&report.verdict, Verdict::Fail { reasons } if reasons[0].contains("probes lost")),
        "{report}"
    );
}

#[test]
fn embeddings_of_an_honest_quantization_keep_their_neighbours() {
    let texts: Vec<String> = (0..30).map(|seed| demo::text(seed, 1)).collect();
    let parts = Parts::new();
    let candidate = demo::load(&parts.file(DType::Q8_0));

    let honest = embeddings(&MODEL, &candidate, &texts, (0.999, 0.8), 1).unwrap();
    assert!(honest.verdict.is_pass() && honest.rank_correlation > 0.99, "{honest}");

    let coarse = demo::load(&parts.file(DType::Q2_K));
    let coarse = embeddings(&MODEL, &coarse, &texts, (0.999, 0.95), 1).unwrap();
    assert!(matches!(coarse.verdict, Verdict::Fail { .. }), "{coarse}");
    assert!(coarse.min_cosine <= coarse.cosine.value && coarse.neighbours.value < honest.neighbours.value);

    assert!(matches!(embeddings(&MODEL, &candidate, &texts[..5], (0.9, 0.5), 1), Err(Error::Empty { .. })));
}
