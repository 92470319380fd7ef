//! Importance matrices in files: both forms of llama.cpp, and what is neither.
use std::fs;

use aic_quant::gguf::{Metadata, Writer};
use aic_quant::{DType, Error, Importance};

fn sample() -> Importance {
    let mut importance = Importance::new();
    importance.add("blk.0.ffn_up.weight", &[2.0, 8.0, 0.0], 4).unwrap();
    importance.add("output.weight", &[1.5], 1).unwrap();
    importance.note("calibration.txt", 3, 512);
    importance
}

#[test]
fn what_is_saved_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imatrix.gguf");

    sample().save(&path).unwrap();
    let read = Importance::open(&path).unwrap();

    assert_eq!(read, sample());
    assert_eq!(read.get("blk.0.ffn_up.weight").unwrap(), [0.5, 2.0, 0.0]);
    assert_eq!(read.provenance().datasets, ["calibration.txt"]);
    assert_eq!(read.provenance().chunks, Some(3));
    assert_eq!(read.provenance().chunk_tokens, Some(512));
}

/// A GGUF file with these tensors of floats.
fn gguf(kind: &str, tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let mut metadata = Metadata::new();
    metadata.insert("general.type", kind);
    let mut writer = Writer::new(metadata);
    for (name, shape, _) in tensors {
        writer.tensor(*name, shape, DType::F32).unwrap();
    }
    let mut data = tensors.iter().map(|(.., data)| data.iter().flat_map(|x| x.to_le_bytes()).collect());
    writer.to_vec(|_| Ok(data.next().unwrap())).unwrap()
}

#[test]
fn experts_are_read_one_after_the_other_and_saved_so() {
    let sums = ("e.in_sum2", &[2, 3][..], &[2.0, 4.0, 6.0, 0.0, 0.0, 0.0][..]);
    let counts = ("e.counts", &[2, 1][..], &[2.0, 0.0][..]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imatrix.gguf");

    let importance = Importance::from_bytes(gguf("imatrix", &[counts, sums])).unwrap();
    importance.save(&path).unwrap();

    assert_eq!(importance.get("e").unwrap(), [1.0, 2.0, 3.0, 1.0, 1.0, 1.0]);
    assert_eq!(Importance::open(&path).unwrap().get("e"), importance.get("e"));
}

#[test]
fn bad_gguf_forms_are_typed_errors() {
    let sums = |data| ("w.in_sum2", &[2][..], data);
    let counts = |data| ("w.counts", &[1][..], data);
    let good: (&[f32], &[f32]) = (&[1.0, 2.0], &[1.0]);
    assert!(Importance::from_bytes(gguf("imatrix", &[sums(good.0), counts(good.1)])).is_ok());

    for (case, bytes) in [
        ("a model", gguf("model", &[sums(good.0), counts(good.1)])),
        ("no matrix", gguf("imatrix", &[])),
        ("sums alone", gguf("imatrix", &[sums(good.0)])),
        ("counts alone", gguf("imatrix", &[sums(good.0), counts(good.1), ("other.counts", &[1], &[1.0])])),
        ("sum that is no number", gguf("imatrix", &[sums(&[1.0, f32::NAN]), counts(good.1)])),
        ("negative sum", gguf("imatrix", &[sums(&[1.0, -1.0]), counts(good.1)])),
        ("infinite sum", gguf("imatrix", &[sums(&[1.0, f32::INFINITY]), counts(good.1)])),
        ("negative count", gguf("imatrix", &[sums(good.0), counts(&[-1.0])])),
        ("count that is no number", gguf("imatrix", &[sums(good.0), counts(&[f32::NAN])])),
        (
            "counts that do not divide",
            gguf("imatrix", &[("w.in_sum2", &[3], &[1.0; 3]), ("w.counts", &[2], &[1.0; 2])]),
        ),
        ("no counts", gguf("imatrix", &[sums(good.0), ("w.counts", &[0], &[])])),
        ("no sums", gguf("imatrix", &[("w.in_sum2", &[0], &[]), counts(good.1)])),
    ] {
        let error = Importance::from_bytes(bytes).expect_err(case);
        assert!(!matches!(error, Error::Io { .. }), "{case}: {error:?}");
    }
}

/// The older form, put together field by field.
#[derive(Clone, Default)]
struct Legacy(Vec<u8>);

impl Legacy {
    fn i32(mut self, n: i32) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn text(self, text: &[u8]) -> Self {
        let mut next = self.i32(text.len() as i32);
        next.0.extend(text);
        next
    }

    fn floats(self, floats: &[f32]) -> Self {
        let mut next = self.i32(floats.len() as i32);
        next.0.extend(floats.iter().flat_map(|x| x.to_le_bytes()));
        next
    }

    fn matrix(self, name: &str, chunks: i32, floats: &[f32]) -> Self {
        self.text(name.as_bytes()).i32(chunks).floats(floats)
    }
}

#[test]
fn older_form_is_read_with_and_without_what_is_optional() {
    let matrices = Legacy::default().i32(2).matrix("a", 4, &[2.0, 8.0]).matrix("b", 1, &[3.0]);
    let full = matrices.clone().i32(4).text(b"wiki.txt");

    let importance = Importance::from_bytes(full.0).unwrap();
    assert_eq!(importance.get("a").unwrap(), [0.5, 2.0]);
    assert_eq!(importance.get("b").unwrap(), [3.0]);
    assert_eq!(importance.provenance().datasets, ["wiki.txt"]);
    assert_eq!(importance.provenance().chunks, Some(4));

    let short = Importance::from_bytes(matrices.0).unwrap();
    assert_eq!(short.tensors().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(short.provenance().chunks, None);
}

#[test]
fn older_form_survives_being_saved_in_the_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imatrix.gguf");
    let older = Legacy::default().i32(1).matrix("a", 4, &[2.0, 8.0]).0;

    Importance::from_bytes(older).unwrap().save(&path).unwrap();

    let newer = Importance::open(&path).unwrap();
    assert_eq!(newer.get("a").unwrap(), [0.5, 2.0]);
    assert_eq!(newer.provenance().chunks, Some(4));
}

#[test]
fn bad_older_forms_are_typed_errors() {
    let start = |count| Legacy::default().i32(count);
    for (case, file) in [
        ("empty", Legacy::default()),
        ("no matrix", start(0)),
        ("negative number of matrices", start(-1)),
        ("more matrices than there are", start(3).matrix("a", 1, &[1.0]).i32(1)),
        ("negative name", start(1).i32(-1)),
        ("name longer than the file", start(1).i32(i32::MAX)),
        ("empty name", start(1).matrix("", 1, &[1.0])),
        ("name not UTF-8", start(1).text(&[0xff]).i32(1).floats(&[1.0])),
        ("no chunks", start(1).matrix("a", 0, &[1.0])),
        ("negative chunks", start(1).matrix("a", -4, &[1.0])),
        ("no values", start(1).matrix("a", 1, &[])),
        ("values beyond the end", start(1).text(b"a").i32(1).i32(i32::MAX)),
        ("value that is no number", start(1).matrix("a", 1, &[f32::NAN])),
        ("negative value", start(1).matrix("a", 1, &[-1.0])),
        ("matrix twice", start(2).matrix("a", 1, &[1.0]).matrix("a", 1, &[1.0])),
    ] {
        let error = Importance::from_bytes(file.0).expect_err(case);
        assert!(matches!(error, Error::Malformed { .. } | Error::Tensor { .. }), "{case}: {error:?}");
    }
}

#[test]
fn file_cut_anywhere_is_an_error_or_lacks_only_what_is_optional() {
    let matrices = Legacy::default().i32(1).matrix("a", 4, &[2.0, 8.0]);
    let required = matrices.0.len();
    let whole = matrices.i32(4).text(b"wiki.txt").0;
    for length in 0..whole.len() {
        let cut = Importance::from_bytes(whole[..length].to_vec());
        assert!(cut.is_err() || length >= required, "cut at {length}");
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imatrix.gguf");
    sample().save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        let cut = Importance::from_bytes(whole[..length].to_vec());
        // The zeros behind the last tensor are not missed.
        assert!(cut.is_err() || length >= whole.len() - 28, "cut at {length}");
    }
}
