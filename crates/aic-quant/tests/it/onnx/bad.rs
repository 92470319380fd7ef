//! Models that are not what they should be.
use std::fs;

use aic_quant::onnx::{Calibration, Options, Scheme};
use aic_quant::{Error, Result};

use super::model::Model;

fn quantize(model: &Model) -> Result<()> {
    let result = model.quantize(&Scheme::DynamicInt8, &Options::default()).map(|_| ());
    if result.is_err() {
        let left = fs::read_dir(model.folder()).unwrap().map(|file| file.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("output")).collect();
        assert!(left.is_empty(), "{left:?} left behind");
    }
    result
}

/// The model with `from`, wherever it is, replaced by `to`, which is as long.
fn patched(model: &Model, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(model.path()).unwrap();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    fs::write(model.path(), bytes).unwrap();
}

#[test]
fn file_that_is_no_onnx_model_is_malformed() {
    let model = Model::mlp();
    let whole = fs::read(model.path()).unwrap();
    for bytes in [&b""[..], b"GGUF\x03\0\0\0", b"\x89PNG", &whole[..whole.len() / 2]] {
        fs::write(model.path(), bytes).unwrap();

        let error = quantize(&model).unwrap_err();

        assert!(matches!(error, Error::Malformed { format: "ONNX", .. }), "{error}");
        assert!(error.to_string().contains("mlp.onnx"), "{error}");
    }
}

#[test]
fn any_byte_may_be_wrong_and_nothing_panics() {
    let model = Model::branch();
    let whole = fs::read(model.path()).unwrap();
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(model.path(), bytes).unwrap();
        model.quantize(&Scheme::Int4, &Options::default()).ok();
    }
}

#[test]
fn external_data_outside_the_folder_is_refused() {
    for place in ["../ights.bin", "/dev/zero..", "a/../../etc"] {
        let model = Model::attention();
        patched(&model, "weights.bin", &format!("{place:.11}"));

        let error = quantize(&model).unwrap_err();

        assert!(error.to_string().contains("not in the model's folder"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn link_out_of_the_folder_is_refused_and_one_into_it_followed() {
    let (model, elsewhere) = (Model::attention(), tempfile::tempdir().unwrap());
    let (data, away) = (model.folder().join("weights.bin"), elsewhere.path().join("data"));
    fs::rename(&data, &away).unwrap();
    std::os::unix::fs::symlink(&away, &data).unwrap();

    let error = quantize(&model).unwrap_err();
    assert!(error.to_string().contains("not in the model's folder"), "{error}");

    // As in the cache of the Hugging Face hub: model and data are links into one other folder.
    fs::copy(model.path(), elsewhere.path().join("model")).unwrap();
    fs::remove_file(model.path()).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("model"), model.path()).unwrap();
    quantize(&model).unwrap();
}

#[test]
fn external_data_that_is_not_all_there_is_an_error() {
    let missing = Model::attention();
    fs::remove_file(missing.folder().join("weights.bin")).unwrap();
    assert!(matches!(quantize(&missing).unwrap_err(), Error::Io { .. }));

    let short = Model::golden("attention", 4 * 64 * 64 - 1);
    let error = quantize(&short).unwrap_err();
    assert!(error.to_string().contains("has 65532 in all"), "{error}");

    for (from, to) in [("16384", "16383"), ("16384", "-6384"), ("32768", "xx768")] {
        let wrong = Model::attention();
        patched(&wrong, from, to);
        assert!(matches!(quantize(&wrong).unwrap_err(), Error::Tensor { .. }));
    }
}

#[test]
fn weights_that_are_not_numbers_are_an_error() {
    let model = Model::attention();
    let data = model.folder().join("weights.bin");
    let mut bytes = fs::read(&data).unwrap();
    bytes[400..404].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&data, bytes).unwrap();

    let error = quantize(&model).unwrap_err();

    assert!(error.to_string().contains("`wq` has the value NaN at 100"), "{error}");
}

#[test]
fn operator_set_too_old_to_be_raised_says_which_operator_is_in_the_way() {
    let model = Model::golden("old", 0);
    // Softmax changed with 13, which scales for each channel need, and dynamic quantization does not.
    quantize(&model).unwrap();

    let scheme = Scheme::StaticInt8(Calibration::new(vec![vec![]]));
    let error = model.quantize(&scheme, &Options::default()).unwrap_err();

    assert!(error.to_string().contains("`9 with the operator Softmax`"), "{error}");
}

#[test]
fn options_out_of_range_are_errors() {
    let model = Model::mlp();
    let tried = |scheme: Scheme, options: Options| model.quantize(&scheme, &options).unwrap_err();
    let calibration = Calibration::new(vec![model.inputs(0)]);

    let block = tried(Scheme::Int4, Options::default().block(48));
    let pattern = tried(Scheme::Int4, Options::default().exclude("("));
    let percentile = tried(Scheme::StaticInt8(calibration.percentile(0.9)), Options::default());
    let samples = tried(Scheme::StaticInt8(Calibration::new(Vec::new())), Options::default());

    assert!(matches!(block, Error::Option { option: "block", .. }));
    assert!(matches!(pattern, Error::Option { option: "exclude", .. }));
    assert!(matches!(percentile, Error::Option { option: "percentile", .. }));
    assert!(matches!(samples, Error::Empty { .. }));
}
