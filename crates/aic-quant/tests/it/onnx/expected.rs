//! What the models' Python implementation answers.
use std::fs;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// A folder of `tests/goldens/onnx-models`.
pub(super) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/onnx-models").join(name)
}

/// What `expected.json` has about the model `name`.
pub(super) fn expected<T: DeserializeOwned>(name: &str) -> T {
    let all: serde_json::Value = serde_json::from_slice(&fs::read(folder("expected.json")).unwrap()).unwrap();
    serde_json::from_value(all[name].clone()).unwrap()
}
