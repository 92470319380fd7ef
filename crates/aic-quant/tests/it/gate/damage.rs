//! Damage planted in a candidate: none of it is ever taken for an honest quantization.
use std::sync::LazyLock;

use aic_quant::gate::{Finding, Fingerprint, Gate, Kinship, Limits, Reference, Report, Verdict, structure};
use aic_quant::gguf::{Array, File, Value};
use aic_quant::{DType, Error};

use super::demo::{self, MODEL, Parts};

const TOKENS: &str = "tokenizer.ggml.tokens";
const LEVELS: [Limits; 3] = [Limits::near_lossless(), Limits::balanced(), Limits::small()];

struct Damage {
    name: &'static str,
    /// Applied to the full model, which is then quantized to Q8_0.
    apply: fn(&mut Parts),
    /// What the comparison of files says of it.
    finding: fn(&Finding) -> bool,
    /// Whether a few hundred tokens of text show it too.
    shows: bool,
}

const DAMAGES: [Damage; 15] = [
    Damage {
        name: "zeroed head",
        apply: |parts| parts.tensor("token_embd.weight").values.fill(0.0),
        finding: |finding| matches!(finding, Finding::Zero { .. }),
        shows: true,
    },
    Damage {
        name: "two rows of a down projection swapped",
        apply: |parts| parts.tensor("blk.1.ffn_down.weight").swap_rows(3, 100),
        finding: |finding| matches!(finding, Finding::Block { row: 3 | 100, .. }),
        shows: false,
    },
    Damage {
        name: "embeddings of two common tokens swapped",
        apply: |parts| {
            let [one, other] = [" the", "."].map(|text| MODEL.tokenize(text).unwrap()[0] as usize);
            parts.tensor("token_embd.weight").swap_rows(one, other);
        },
        finding: |finding| matches!(finding, Finding::Block { .. }),
        shows: true,
    },
    Damage {
        name: "embeddings of two tokens swapped that never come",
        apply: |parts| parts.tensor("token_embd.weight").swap_rows(180, 190),
        finding: |finding| matches!(finding, Finding::Block { row: 180 | 190, .. }),
        shows: false,
    },
    Damage {
        name: "one matrix 1.3 times too large",
        apply: |parts| parts.tensor("blk.2.attn_output.weight").values.iter_mut().for_each(|x| *x *= 1.3),
        finding: |finding| matches!(finding, Finding::Gain { gain, .. } if (gain - 1.3).abs() < 0.01),
        shows: false,
    },
    Damage {
        name: "one block doubled",
        apply: |parts| parts.tensor("blk.2.ffn_up.weight").row(7)[64..96].iter_mut().for_each(|x| *x *= 2.0),
        finding: |finding| matches!(finding, Finding::Block { row: 7, column: 64, .. }),
        shows: false,
    },
    Damage {
        name: "one block zeroed",
        apply: |parts| parts.tensor("blk.0.attn_v.weight").row(9)[..32].fill(0.0),
        finding: |finding| matches!(finding, Finding::Block { row: 9, column: 0, .. }),
        shows: false,
    },
    Damage {
        name: "one row four times too large",
        apply: |parts| parts.tensor("blk.3.ffn_down.weight").row(11).iter_mut().for_each(|x| *x *= 4.0),
        finding: |finding| matches!(finding, Finding::Block { row: 11, .. }),
        shows: false,
    },
    Damage {
        name: "tokens shifted by one",
        apply: |parts| {
            let Some(Value::Array(Array::String(mut tokens))) = parts.metadata.get(TOKENS).cloned() else {
                unreachable!("the model has tokens")
            };
            tokens[4..].rotate_right(1);
            parts.metadata.insert(TOKENS, tokens);
        },
        finding: |finding| matches!(finding, Finding::Metadata { key, .. } if key == TOKENS),
        shows: true,
    },
    Damage {
        name: "wrong rope base",
        apply: |parts| drop(parts.metadata.insert("llama.rope.freq_base", 1_000_000_f32)),
        finding: |finding| matches!(finding, Finding::Metadata { key, .. } if key == "llama.rope.freq_base"),
        shows: true,
    },
    Damage {
        name: "layer dropped",
        apply: |parts| {
            parts.tensors.retain(|tensor| !tensor.name.starts_with("blk.3."));
            parts.metadata.insert("llama.block_count", 3_u32);
        },
        finding: |finding| matches!(finding, Finding::Missing { tensor } if tensor == "blk.3.ffn_up.weight"),
        shows: true,
    },
    Damage {
        name: "vocabulary cut short",
        apply: |parts| {
            let embedding = parts.tensor("token_embd.weight");
            embedding.values.truncate(1000 * 256);
            embedding.shape[0] = 1000;
        },
        finding: |finding| matches!(finding, Finding::Shape { candidate, .. } if candidate == &[1000, 256]),
        shows: true,
    },
    Damage {
        name: "last norm halved",
        apply: |parts| parts.tensor("output_norm.weight").values.iter_mut().for_each(|x| *x *= 0.5),
        finding: |finding| matches!(finding, Finding::Gain { gain, .. } if (gain - 0.5).abs() < 1e-6),
        shows: true,
    },
    Damage {
        name: "signs of one matrix turned",
        apply: |parts| parts.tensor("blk.0.attn_v.weight").values.iter_mut().for_each(|x| *x = -*x),
        finding: |finding| matches!(finding, Finding::Gain { gain, .. } if *gain < -0.9),
        shows: true,
    },
    Damage {
        name: "matrix of another layer",
        apply: |parts| {
            let other = parts.tensor("blk.0.ffn_gate.weight").values.clone();
            parts.tensor("blk.1.ffn_gate.weight").values = other;
        },
        finding: |finding| matches!(finding, Finding::Block { .. }),
        shows: true,
    },
];

fn text() -> String {
    demo::text(3, 40)
}

static REFERENCE: LazyLock<Reference> = LazyLock::new(|| {
    let fingerprint = Fingerprint::new(&demo::file()).unwrap();
    Gate::new(text()).window(256).reference(&MODEL, fingerprint).unwrap().unwrap()
});

/// What the text alone says.
fn by_text(file: &File, limits: Limits) -> Report {
    let candidate = demo::options().load(file);
    let candidate = match candidate {
        Ok(candidate) => candidate,
        Err(error) => panic!("{error}"),
    };
    Gate::new(text()).limits(limits).compare_with(&REFERENCE, &candidate).unwrap()
}

fn damaged(damage: &Damage) -> File {
    let mut parts = Parts::new();
    (damage.apply)(&mut parts);
    parts.file(DType::Q8_0)
}

#[test]
fn damage_is_found_in_the_file_and_fails_at_every_level() {
    for damage in DAMAGES {
        let file = damaged(&damage);
        for limits in LEVELS {
            let report =
                Gate::new("unread").limits(limits).judge(&demo::file(), &file, &demo::options()).unwrap();
            let found = report.findings.as_ref().unwrap();
            assert!(found.iter().any(damage.finding), "{}: {report}", damage.name);
            assert!(matches!(report.verdict, Verdict::Fail { .. }), "{}: {report}", damage.name);
        }
    }
}

#[test]
fn damage_that_text_shows_fails_by_text_alone() {
    for damage in DAMAGES.iter().filter(|damage| damage.shows) {
        let file = damaged(damage);
        if let Err(error) = demo::options().load(&file) {
            assert!(
                matches!(error, Error::Metadata { .. } | Error::Tensor { .. }),
                "{}: {error}",
                damage.name
            );
            continue;
        }
        let report = by_text(&file, Limits::near_lossless());
        assert!(matches!(report.verdict, Verdict::Fail { .. }), "{}: {report}", damage.name);
    }
}

#[test]
fn honest_quantizations_have_nothing_to_find() {
    let parts = Parts::new();
    for dtype in [
        DType::F32,
        DType::BF16,
        DType::Q8_0,
        DType::Q6_K,
        DType::Q5_K,
        DType::Q5_1,
        DType::Q5_0,
        DType::Q4_K,
    ]
    .into_iter()
    .chain([DType::Q4_1, DType::Q4_0, DType::Q3_K, DType::Q2_K])
    {
        let findings = structure(&demo::file(), &parts.file(dtype), Kinship::Rounded).unwrap();
        assert!(findings.is_empty(), "{dtype}: {findings:?}");
    }
}

#[test]
fn values_that_are_not_numbers_fail_by_file_and_by_text() {
    let mut parts = Parts::new();
    parts.tensor("blk.1.ffn_up.weight").row(5)[32..64].fill(f32::NAN);
    let file = parts.file(DType::F16);

    let findings = structure(&demo::file(), &file, Kinship::Rounded).unwrap();
    let report = by_text(&file, Limits::small());

    let expected = Finding::NotFinite { tensor: "blk.1.ffn_up.weight".to_owned(), row: 5, count: 32 };
    assert!(
        matches!(&findings[..], [finding] if format!("{finding:?}") == format!("{expected:?}")),
        "{findings:?}"
    );
    let Verdict::Fail { reasons } = &report.verdict else { panic!("{report}") };
    assert!(
        reasons[0].starts_with("the logit of token 0 is NaN after position 0 of window 0"),
        "{reasons:?}"
    );
}

#[test]
fn reworked_model_may_differ_in_everything_but_its_tokenizer() {
    let mut parts = Parts::new();
    for (index, value) in parts.tensor("blk.0.ffn_up.weight").values.iter_mut().enumerate() {
        *value = if index % 4 < 2 { 0.0 } else { *value * 1.2 };
    }
    parts.tensors.retain(|tensor| !tensor.name.starts_with("blk.3."));
    parts.metadata.insert("llama.block_count", 3_u32);
    let found =
        |parts: &Parts| structure(&demo::file(), &parts.file(DType::Q8_0), Kinship::Reworked).unwrap();
    assert_eq!(found(&parts), []);

    parts.tensor("blk.1.ffn_up.weight").values.iter_mut().for_each(|x| *x *= 9.0);
    parts.tensor("blk.2.ffn_up.weight").values.fill(0.0);
    parts.metadata.insert("tokenizer.ggml.eos_token_id", 1_u32);
    let found = found(&parts);
    assert!(
        matches!(&found[..], [Finding::Metadata { .. }, Finding::Gain { .. }, Finding::Zero { .. }]),
        "{found:?}"
    );
}
