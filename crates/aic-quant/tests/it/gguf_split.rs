//! Models in several GGUF files.
use std::fs;
use std::path::{Path, PathBuf};

use aic_quant::gguf::{File, Metadata, Split, Writer, shard_path};
use aic_quant::{DType, Error, TensorInfo, TensorSource};

fn model(name: &str) -> Writer {
    let mut metadata = Metadata::new();
    metadata.insert("general.name", name);
    metadata.insert("general.alignment", 64_u32);
    let mut writer = Writer::new(metadata);
    for (name, rows) in [("a", 4), ("b", 2), ("big", 40), ("c", 1), ("d", 1)] {
        writer.tensor(name, &[rows, 8], DType::F32).unwrap();
    }
    writer
}

fn data(tensor: &TensorInfo) -> Vec<u8> {
    (0..tensor.bytes).map(|at| tensor.name.len() as u8 ^ tensor.name.as_bytes()[0] ^ at as u8).collect()
}

/// Writes the model in shards of at most 192 bytes; their paths.
fn write_shards(folder: &Path, name: &str) -> Vec<PathBuf> {
    let shards = model(name).split(192).unwrap();
    let path = |index| shard_path(&folder.join("model"), index, shards.len() as u16);
    let paths: Vec<_> = (0..shards.len() as u16).map(path).collect();
    for (shard, path) in shards.iter().zip(&paths) {
        shard.save(path, |tensor| Ok(data(tensor))).unwrap();
    }
    paths
}

#[test]
fn shards_are_filled_up_to_the_limit_and_larger_tensors_have_their_own() {
    let shards = model("m").split(192).unwrap();
    let names = |writer: &Writer| writer.tensors().iter().map(|t| t.name.clone()).collect::<Vec<_>>();

    assert_eq!(shards.iter().map(names).collect::<Vec<_>>(), [vec!["a", "b"], vec!["big"], vec!["c", "d"]]);
    assert_eq!(model("m").split(u64::MAX).unwrap().len(), 1);
    let mut seven = Writer::new(Metadata::new());
    (0..7).for_each(|i| seven.tensor(format!("t{i}"), &[8], DType::F32).unwrap());
    let lengths: Vec<_> = seven.split(96).unwrap().iter().map(|shard| shard.tensors().len()).collect();
    assert_eq!(lengths, [3, 3, 1]);
    assert_eq!(Writer::new(Metadata::new()).split(1).unwrap().len(), 1);
}

#[test]
fn shards_are_read_as_one_model_from_any_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let paths = write_shards(folder.path(), "m");
    let bytes = model("m").to_vec(|tensor| Ok(data(tensor))).unwrap();
    let whole = File::from_bytes(bytes).unwrap();

    for path in &paths {
        let split = Split::open(path).unwrap();

        assert_eq!(TensorSource::metadata(&split), whole.metadata());
        assert_eq!(split.shards().len(), 3);
        for (tensor, expected) in split.tensors().iter().zip(whole.tensors()) {
            assert_eq!((&tensor.name, &tensor.shape), (&expected.name, &expected.shape));
            assert_eq!(split.read(tensor).unwrap(), data(expected));
            let mut row = [0; 32];
            split.read_into(tensor, tensor.bytes - 32, &mut row).unwrap();
            assert_eq!(row, data(expected)[tensor.bytes as usize - 32..]);
        }
    }
}

#[test]
fn missing_shard_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let paths = write_shards(folder.path(), "m");
    fs::remove_file(&paths[1]).unwrap();

    let error = Split::open(&paths[0]).unwrap_err();

    assert!(matches!(error, Error::Io { path, .. } if path == paths[1]));
}

fn assert_wrong(path: &Path, expected_key: &str) {
    match Split::open(path).unwrap_err() {
        Error::Metadata { key, .. } => assert_eq!(key, expected_key),
        error => panic!("{error:?}"),
    }
}

#[test]
fn shards_in_each_others_place_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths = write_shards(folder.path(), "m");
    let aside = folder.path().join("aside");
    fs::rename(&paths[1], &aside).unwrap();
    fs::rename(&paths[2], &paths[1]).unwrap();
    fs::rename(&aside, &paths[2]).unwrap();

    assert_wrong(&paths[0], "split.no");
}

#[test]
fn shards_of_different_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths = write_shards(folder.path(), "m");
    let header = |tensor: &str, name: Option<&str>, tensors: i32| {
        let mut metadata = Metadata::new();
        name.map(|name| metadata.insert("general.name", name));
        metadata.insert("split.no", 2_u16);
        metadata.insert("split.count", 3_u16);
        metadata.insert("split.tensors.count", tensors);
        let mut writer = Writer::new(metadata);
        writer.tensor(tensor, &[2, 8], DType::F32).unwrap();
        writer.tensor("d", &[2, 8], DType::F32).unwrap();
        writer.save(&paths[2], |tensor| Ok(data(tensor))).unwrap();
    };

    header("c", Some("other"), 5);
    assert_wrong(&paths[0], "general.name");
    header("c", None, 6);
    assert_wrong(&paths[0], "split.tensors.count");
    header("a", None, 5);
    assert!(matches!(Split::open(&paths[0]), Err(Error::Tensor { name, .. }) if name == "a"));
    header("c", None, 5);
    assert!(Split::open(&paths[0]).is_ok());
}

#[test]
fn file_that_is_no_shard_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    model("m").save(&path, |tensor| Ok(data(tensor))).unwrap();
    assert_wrong(&path, "split.count");

    let disguised = folder.path().join("model-00001-of-00001.gguf");
    fs::rename(&path, &disguised).unwrap();
    assert_wrong(&disguised, "split.no");
}
