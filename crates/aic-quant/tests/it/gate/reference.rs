//! References on disk.
use aic_quant::gate::{Fingerprint, Gate, Limits, Reference, Verdict};
use aic_quant::{DType, Error, Model};

use super::demo::{self, MODEL, Parts};

fn gate() -> Gate {
    Gate::new(demo::text(5, 20)).window(128).limits(Limits::small())
}

fn candidate() -> Model {
    demo::load(&Parts::new().file(DType::Q4_0))
}

fn reference() -> Reference {
    gate().reference(&MODEL, Fingerprint::new(&demo::file()).unwrap()).unwrap().unwrap()
}

#[test]
fn reference_from_disk_gives_the_report_that_both_models_give() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.reference");
    reference().save(&path).unwrap();
    let reference = Reference::open(&path).unwrap();
    let candidate = candidate();

    let kept = gate().compare_with(&reference, &candidate).unwrap();

    assert_eq!(kept, gate().compare(&MODEL, &candidate).unwrap());
    assert_eq!(reference.model(), Fingerprint::new(&demo::file()).unwrap());
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes <= 648 * reference.tokens() as u64 + 300, "{bytes} for {}", reference.tokens());
}

#[test]
fn reference_of_another_text_or_tokenizer_is_not_compared() {
    let reference = reference();
    let other = Gate::new("another text than the one that was read").window(128);
    let error = other.compare_with(&reference, &MODEL).unwrap_err();
    assert!(matches!(error, Error::Option { option: "reference", .. }), "{error}");

    let short = demo::options().max_context(64).load(&demo::file()).unwrap();
    let error = gate().compare_with(&reference, &short).unwrap_err();
    assert!(matches!(error, Error::Option { option: "reference", .. }), "{error}");

    let mut parts = Parts::new();
    let mut merges =
        parts.metadata.array("tokenizer.ggml.merges").unwrap().unwrap().as_strings().unwrap().to_vec();
    merges.truncate(300);
    parts.metadata.insert("tokenizer.ggml.merges", merges);
    let report = gate().compare_with(&reference, &demo::load(&parts.file(DType::F16))).unwrap();
    assert!(
        matches!(&report.verdict, Verdict::Fail { reasons } if reasons[0].contains("tokenizer")),
        "{report}"
    );
}

#[test]
fn damaged_or_foreign_files_are_typed_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.reference");
    reference().save(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[500] ^= 1;
    for bad in [&bytes[..], &bytes[..300], b"GGUF", b""] {
        std::fs::write(&path, bad).unwrap();
        let error = Reference::open(&path).unwrap_err();
        assert!(matches!(error, Error::Malformed { format: "reference", .. }), "{error}");
    }
    assert!(matches!(Reference::open(folder.path().join("absent")), Err(Error::Io { .. })));
}

#[test]
fn fingerprint_changes_with_any_number_and_any_key() {
    let fingerprint = |parts: &Parts| Fingerprint::new(&parts.file(DType::F16)).unwrap();
    let mut parts = Parts::new();
    let original = fingerprint(&parts);
    assert_eq!(original, fingerprint(&Parts::new()));
    assert_eq!(original.to_string().len(), 64);

    parts.tensor("blk.3.ffn_up.weight").values[77] += 0.25;
    let changed = fingerprint(&parts);
    parts.metadata.insert("general.name", "other");
    assert_ne!(original, changed);
    assert_ne!(changed, fingerprint(&parts));
}
