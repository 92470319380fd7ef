//! Safetensors files of one model in a folder.
use std::fs;
use std::path::Path;

use aic_quant::safetensors::Folder;
use aic_quant::{Error, Result};

/// Writes tensors of four bytes each, with the first letter of the name in them.
fn write(path: &Path, names: &[&str]) {
    let entry = |(at, name): (usize, &&str)| {
        (
            name.to_string(),
            serde_json::json!({"dtype": "F16", "shape": [2, 1], "data_offsets": [4 * at, 4 * at + 4]}),
        )
    };
    let header: serde_json::Map<_, _> = names.iter().enumerate().map(entry).collect();
    let header = serde_json::to_vec(&header).unwrap();
    let data: Vec<u8> = names.iter().flat_map(|name| [name.as_bytes()[0]; 4]).collect();
    fs::write(path, [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()).unwrap();
}

/// A folder with two shards and this index; what opening it gives.
fn open_with_index(index: &str) -> Result<Folder> {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("model-00001-of-00002.safetensors"), &["a", "b"]);
    write(&folder.path().join("model-00002-of-00002.safetensors"), &["c"]);
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    Folder::open(folder.path())
}

const GOOD: &str = r#"{"metadata": {"total_size": 12}, "weight_map": {
    "c": "model-00002-of-00002.safetensors",
    "a": "model-00001-of-00002.safetensors",
    "b": "model-00001-of-00002.safetensors"}}"#;

#[test]
fn shards_are_read_as_one_folder() {
    let folder = open_with_index(GOOD).unwrap();

    let names: Vec<_> = folder.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    for tensor in folder.tensors() {
        let mut row = [0; 2];
        folder.read_into(tensor, 2, &mut row).unwrap();
        assert_eq!(row, [tensor.name.as_bytes()[0]; 2]);
    }
}

#[test]
fn one_file_needs_no_index() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        matches!(Folder::open(folder.path()), Err(Error::Io { path, .. }) if path.ends_with("model.safetensors"))
    );

    write(&folder.path().join("model.safetensors"), &["a"]);

    assert_eq!(Folder::open(folder.path()).unwrap().tensors().len(), 1);
}

#[test]
fn index_that_disagrees_with_the_shards_is_refused() {
    let wrong_home = GOOD.replace("\"c\": \"model-00002", "\"c\": \"model-00001");
    let wrong_home = wrong_home.replace("\"b\": \"model-00001", "\"b\": \"model-00002");
    for index in [
        wrong_home,
        GOOD.replace("\"b\"", "\"z\""),
        GOOD.replace("    \"a\": \"model-00001-of-00002.safetensors\",\n", ""),
    ] {
        assert!(matches!(open_with_index(&index), Err(Error::Tensor { .. })), "{index}");
    }
    let missing = open_with_index(&GOOD.replace("model-00002", "model-00003"));
    assert!(
        matches!(missing, Err(Error::Io { path, .. }) if path.ends_with("model-00003-of-00002.safetensors"))
    );
}

#[test]
fn index_that_is_none_or_leads_out_of_the_folder_is_refused() {
    for index in [
        "",
        "{}",
        r#"{"weight_map": {}}"#,
        r#"{"weight_map": {"a": 1}}"#,
        r#"{"weight_map": {"a": "x", "a": "y"}}"#,
        r#"{"weight_map": {"a": "../model-00001-of-00002.safetensors"}}"#,
        r#"{"weight_map": {"a": "/etc/passwd"}}"#,
        r#"{"weight_map": {"a": "..\\x"}}"#,
        r#"{"weight_map": {"a": ".."}}"#,
        r#"{"weight_map": {"a": ""}}"#,
    ] {
        assert!(matches!(open_with_index(index), Err(Error::Malformed { .. })), "{index}");
    }
}
