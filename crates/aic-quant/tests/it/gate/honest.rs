//! Honest candidates over many texts.
use aic_quant::DType;
use aic_quant::gate::{Gate, Limits, Verdict};

use super::demo::{self, MODEL, Parts};

#[test]
fn honest_candidate_is_not_rejected_whatever_the_text() {
    let candidate = demo::load(&Parts::new().file(DType::Q8_0));
    for seed in 0..4 {
        let gate = Gate::new(demo::text(seed, 30)).window(128).limits(Limits::near_lossless()).seed(seed);
        let report = gate.compare(&MODEL, &candidate).unwrap();
        assert!(!matches!(report.verdict, Verdict::Fail { .. }), "{seed}: {report}");
        assert!(report.measures.unwrap().mean_kl.low < 0.002, "{seed}");
    }
}
