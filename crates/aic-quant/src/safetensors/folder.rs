use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::File;
use super::unique::Unique;
use crate::{Error, Result, TensorInfo};

/// The weights of a model when one file holds them.
const SINGLE: &str = "model.safetensors";
/// Which file holds which tensor when there are several.
const INDEX: &str = "model.safetensors.index.json";

/// The safetensors files of a folder, read as one: `model.safetensors`, or else the shards that
/// `model.safetensors.index.json` lists.
#[derive(Debug)]
pub struct Folder {
    files: Vec<File>,
    tensors: Vec<TensorInfo>,
    /// The file of each tensor.
    homes: HashMap<String, usize>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: Unique<String>,
}

impl Folder {
    /// Opens the files in `folder` and reads their headers.
    ///
    /// # Errors
    /// [`Error::Io`] with the name of a file that is missing, [`Error::Malformed`] for an index that is not one or leads
    /// out of the folder, [`Error::Tensor`] if index and shards disagree; what [`File::open`] fails with.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let index = folder.join(INDEX);
        if !index.exists() || folder.join(SINGLE).exists() {
            return Self::new(vec![File::open(folder.join(SINGLE))?]);
        }
        let weights = read_index(&index)?;
        let mut names: Vec<&str> = weights.iter().map(|(_, file)| file.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let files = names.iter().map(|name| File::open(folder.join(name))).collect::<Result<_>>()?;
        let shards = Self::new(files)?;
        shards.check(&weights, &names)?;
        Ok(shards)
    }

    fn new(files: Vec<File>) -> Result<Self> {
        let mut homes = HashMap::new();
        for (index, file) in files.iter().enumerate() {
            for tensor in file.tensors() {
                if homes.insert(tensor.name.clone(), index).is_some() {
                    return Err(Error::tensor(
                        &tensor.name,
                        format!("is in `{}` and in an earlier shard", file.label()),
                    ));
                }
            }
        }
        let tensors = files.iter().flat_map(File::tensors).cloned().collect();
        Ok(Self { files, tensors, homes })
    }

    /// Checks that every tensor is where the index says, and no other is there.
    fn check(&self, weights: &[(String, String)], names: &[&str]) -> Result<()> {
        for (tensor, file) in weights {
            if self.homes.get(tensor).is_none_or(|&home| names[home] != file) {
                return Err(Error::tensor(tensor, format!("is not in `{file}`, where {INDEX} says it is")));
            }
        }
        let listed: std::collections::HashSet<&str> =
            weights.iter().map(|(tensor, _)| tensor.as_str()).collect();
        match self.tensors.iter().find(|tensor| !listed.contains(tensor.name.as_str())) {
            Some(tensor) => Err(Error::tensor(&tensor.name, format!("is not listed in {INDEX}"))),
            None => Ok(()),
        }
    }

    /// The tensors, shard by shard in the order of their data.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The files, in the order of their names.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Fills `out` with the data of `tensor`, little-endian, from its byte `start` on.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read or does not reach that far any more.
    pub fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        let missing = || Error::MissingTensor { name: tensor.name.clone() };
        let home = *self.homes.get(&tensor.name).ok_or_else(missing)?;
        self.files[home].read_into(tensor, start, out)
    }
}

/// Tensors and the names of their files, which lie in the same folder.
fn read_index(path: &Path) -> Result<Vec<(String, String)>> {
    let text = fs::read(path).map_err(Error::io("read", path))?;
    let malformed =
        |problem| Error::Malformed { format: "JSON", file: path.display().to_string(), offset: 0, problem };
    let index: Index = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
    let Unique(weights) = index.weight_map;
    if weights.is_empty() {
        return Err(malformed("weight_map is empty".to_owned()));
    }
    match weights.iter().find(|(_, file)| !is_plain(file)) {
        Some((_, file)) => Err(malformed(format!("`{file}` is not the name of a file in the same folder"))),
        None => Ok(weights),
    }
}

/// Whether `name` is the name of a file and leads nowhere else.
fn is_plain(name: &str) -> bool {
    PathBuf::from(name).file_name().is_some_and(|file| file == name) && !name.contains(['/', '\\', ':', '\0'])
}
