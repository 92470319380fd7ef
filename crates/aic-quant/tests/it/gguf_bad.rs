//! Files that are not GGUF, or not quite: the list of llama.cpp's `test-gguf.cpp` and of its published vulnerabilities.
use aic_quant::gguf::{File, Warning};
use aic_quant::{Error, TensorSource};

use crate::fixtures::{Raw, bad_files, good_file, tolerable_files};

fn assert_refused(case: &str, opened: Result<File, Error>, expected: &str) {
    match opened {
        Err(error @ Error::Malformed { .. }) => {
            let text = error.to_string();
            assert!(text.contains(expected) && text.contains("<memory>"), "{case}: {text}");
        }
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn every_bad_file_is_a_typed_error_that_names_what_is_wrong() {
    for (case, bytes, expected) in bad_files() {
        assert_refused(case, File::from_bytes(bytes.clone()), expected);
        assert_refused(case, File::from_bytes_lenient(bytes), expected);
    }
}

#[test]
fn what_can_be_lived_with_is_refused_strictly_and_told_leniently() {
    for (case, bytes, warning) in tolerable_files() {
        assert_refused(case, File::from_bytes(bytes.clone()), &warning.to_string());

        let file = File::from_bytes_lenient(bytes).unwrap();
        assert!(file.warnings().contains(&warning), "{case}: {:?}", file.warnings());
        assert!(file.warnings().len() <= 2, "{case}: {:?}", file.warnings());
    }
}

fn tolerated(wanted: &str) -> File {
    let (_, bytes, _) = tolerable_files().into_iter().find(|(case, ..)| *case == wanted).unwrap();
    File::from_bytes_lenient(bytes).unwrap()
}

#[test]
fn lenient_reading_does_what_the_warnings_say() {
    assert_eq!(tolerated("key twice").metadata().unsigned("k").unwrap(), Some(1));
    assert_eq!(tolerated("bool 2").metadata().flag("k").unwrap(), Some(true));
    let texts = tolerated("strings not UTF-8").metadata().array("k").unwrap().unwrap().clone();
    assert_eq!(texts.as_strings().unwrap(), ["\u{fffd}", "\u{fffd}"]);
    assert_eq!(tolerated("no dimensions").tensors()[0].shape, [1]);
    assert!(tolerated("unknown type").tensors().is_empty());

    let unordered = tolerated("out of order");
    assert_eq!(unordered.read(unordered.tensor("a").unwrap()).unwrap(), [7; 32]);
}

#[test]
fn data_that_is_not_there_is_an_error_before_anything_is_allocated() {
    for case in
        ["size near 2^64", "data beyond the end", "offset + size wraps", "alignment larger than the file"]
    {
        let file = tolerated(case);
        let source: &dyn TensorSource = &file;
        assert!(matches!(source.read(&file.tensors()[0]), Err(Error::Io { .. })), "{case}");
        assert!(source.read_into(&file.tensors()[0], 0, &mut [0; 68]).is_err(), "{case}");
    }
}

#[test]
fn half_a_file_shows_what_it_will_have() {
    let whole = good_file();
    let header = whole.len() - 64;

    let file = File::from_bytes_lenient(whole[..header + 40].to_vec()).unwrap();

    let available = 40;
    let b = "b".to_owned();
    assert_eq!(file.warnings(), [Warning::CutShort { tensor: b, bytes: 32, offset: 32, available }]);
    assert_eq!(file.read(file.tensor("a").unwrap()).unwrap(), [7; 32]);
}

#[test]
fn tensor_without_numbers_is_sound() {
    let bytes = Raw::header(3, 2, 0).tensor("none", &[0, 8], 0, 0).tensor("some", &[8], 0, 0).data(32);
    let file = File::from_bytes(bytes).unwrap();
    assert_eq!(file.tensors()[0].elements(), 0);
    assert!(file.read(&file.tensors()[0]).unwrap().is_empty());

    let without_padding = Raw::header(3, 1, 0).tensor("none", &[0], 0, 0).0;
    let file = File::from_bytes(without_padding).unwrap();
    assert!(file.read(&file.tensors()[0]).unwrap().is_empty());
}

#[test]
fn sound_file_has_no_warnings() {
    assert_eq!(File::from_bytes_lenient(good_file()).unwrap().warnings(), []);
}

#[test]
fn version_2_is_read_as_version_3() {
    let mut bytes = good_file();
    bytes[4] = 2;
    assert_eq!(File::from_bytes(bytes).unwrap().version(), 2);
}

#[test]
fn file_cut_at_any_byte_is_an_error() {
    let whole = good_file();
    for length in 0..whole.len() {
        assert!(File::from_bytes(whole[..length].to_vec()).is_err(), "cut at {length}");
    }
}

#[test]
fn any_byte_changed_is_an_error_or_a_sound_file() {
    let whole = good_file();
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let lenient = File::from_bytes_lenient(bytes.clone());
            if let Ok(file) = File::from_bytes(bytes) {
                assert_eq!(lenient.unwrap().warnings(), []);
                for tensor in file.tensors() {
                    assert_eq!(file.read(tensor).unwrap().len() as u64, tensor.bytes);
                }
            }
        }
    }
}

#[test]
fn file_cut_after_it_was_opened_is_an_error_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, good_file()).unwrap();
    let file = File::open(&path).unwrap();

    std::fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();

    assert!(matches!(file.read(&file.tensors()[0]), Err(Error::Io { .. })));
}

#[test]
#[cfg(unix)]
fn file_replaced_after_it_was_opened_is_read_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, good_file()).unwrap();
    let file = File::open(&path).unwrap();

    let other = folder.path().join("other.gguf");
    std::fs::write(&other, vec![0; 1000]).unwrap();
    std::fs::rename(&other, &path).unwrap();

    assert_eq!(file.read(&file.tensors()[0]).unwrap(), [7; 32]);
}

#[test]
fn missing_file_is_named() {
    let error = File::open("/nowhere/model.gguf").unwrap_err();
    assert_eq!(error.to_string(), "cannot open `/nowhere/model.gguf`");
}
