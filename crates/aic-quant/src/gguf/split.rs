use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{File, Metadata, Reading};
use crate::{Error, Result, TensorInfo, TensorSource};

/// The metadata key of a shard's number, from 0 on.
pub(super) const SPLIT_NO: &str = "split.no";
/// The metadata key of how many shards there are.
pub(super) const SPLIT_COUNT: &str = "split.count";
/// The metadata key of how many tensors all shards have.
pub(super) const SPLIT_TENSORS: &str = "split.tensors.count";

/// A model in several GGUF files, its *shards*, read as one: `name-00001-of-00003.gguf` and so on.
///
/// The metadata is that of the first shard, without what only says how the model is split; tensors come in the order of
/// the shards. [`Writer::split`](super::Writer::split) makes such files.
#[derive(Debug)]
pub struct Split {
    shards: Vec<File>,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    /// The shard of each tensor.
    homes: HashMap<String, usize>,
}

impl Split {
    /// Opens all shards of a model; `path` names any of them.
    ///
    /// # Errors
    /// [`Error::Io`] with the name of a shard that is missing; [`Error::Metadata`] if a file is no shard, or one of another
    /// model or in another's place; what [`File::open`] fails with.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), Reading::Strict)
    }

    /// Opens all shards as [`File::open_lenient`] does.
    ///
    /// # Errors
    /// As [`open`](Self::open); shards that do not belong together are refused here too.
    pub fn open_lenient(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), Reading::Lenient)
    }

    fn open_with(path: &Path, reading: Reading) -> Result<Self> {
        let (stem, count) = parse(path).ok_or_else(|| {
            let expected = "a name like `model-00001-of-00003.gguf`";
            Error::metadata(SPLIT_COUNT, format!("is in `{}`, expected {expected}", path.display()))
        })?;
        let open = |index| File::open_with(&shard_path(&stem, index, count), reading);
        let shards = (0..count).map(open).collect::<Result<Vec<_>>>()?;
        Self::new(shards)
    }

    fn new(shards: Vec<File>) -> Result<Self> {
        let total = shards.iter().map(|shard| shard.tensors().len() as u64).sum();
        for (index, shard) in shards.iter().enumerate() {
            expect(shard, SPLIT_NO, index as u64)?;
            expect(shard, SPLIT_COUNT, shards.len() as u64)?;
            // A tensor left out of one shard leaves the count behind.
            if shards.iter().all(|shard| shard.warnings().is_empty()) {
                expect(shard, SPLIT_TENSORS, total)?;
            }
            same_model(&shards[0], shard)?;
        }
        let mut homes = HashMap::new();
        for (index, shard) in shards.iter().enumerate() {
            for tensor in shard.tensors() {
                if homes.insert(tensor.name.clone(), index).is_some() {
                    let problem = format!("is in `{}` and in an earlier shard", shard.label());
                    return Err(Error::tensor(&tensor.name, problem));
                }
            }
        }
        let tensors = shards.iter().flat_map(File::tensors).cloned().collect();
        let metadata = unsplit(shards[0].metadata());
        Ok(Self { shards, metadata, tensors, homes })
    }

    /// The shards, in order.
    pub fn shards(&self) -> &[File] {
        &self.shards
    }

    fn home(&self, tensor: &TensorInfo) -> Result<&File> {
        let missing = || Error::MissingTensor { name: tensor.name.clone() };
        self.homes.get(&tensor.name).map(|&index| &self.shards[index]).ok_or_else(missing)
    }
}

impl TensorSource for Split {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn read_into(&self, tensor: &TensorInfo, start: u64, out: &mut [u8]) -> Result<()> {
        self.home(tensor)?.read_into(tensor, start, out)
    }

    fn read(&self, tensor: &TensorInfo) -> Result<Vec<u8>> {
        self.home(tensor)?.read(tensor)
    }
}

/// `metadata` without what says how the model is split.
pub(super) fn unsplit(metadata: &Metadata) -> Metadata {
    let mut metadata = metadata.clone();
    for key in [SPLIT_NO, SPLIT_COUNT, SPLIT_TENSORS] {
        metadata.remove(key);
    }
    metadata
}

/// Whether `metadata` is that of one shard of several.
pub(crate) fn is_shard(metadata: &Metadata) -> Result<bool> {
    Ok(metadata.unsigned(SPLIT_COUNT)?.is_some_and(|count| count > 1))
}

/// The path of shard `index`, from 0 on, of `count`: `stem` with `-00001-of-00003.gguf` behind it.
pub fn shard_path(stem: &Path, index: u16, count: u16) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(format!("-{:05}-of-{count:05}.gguf", u32::from(index) + 1));
    path.into()
}

/// The stem of a shard's path, and how many shards there are.
fn parse(path: &Path) -> Option<(PathBuf, u16)> {
    let name = path.file_name()?.to_str()?;
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(number) || !digits(count) {
        return None;
    }
    let count = count.parse().ok().filter(|count| *count > 0)?;
    Some((path.with_file_name(stem), count))
}

/// Checks that `key` of `shard` has this value.
fn expect(shard: &File, key: &str, expected: u64) -> Result<()> {
    let found = shard.metadata().unsigned(key)?;
    if found == Some(expected) {
        return Ok(());
    }
    let found = found.map_or_else(|| "is missing".to_owned(), |found| format!("is {found}"));
    Err(Error::metadata(key, format!("{found} in `{}`, expected {expected}", shard.label())))
}

/// Checks that `shard` does not say that it is of another model than the `first` one.
///
/// Only the first shard has to say what it is of.
fn same_model(first: &File, shard: &File) -> Result<()> {
    for key in ["general.architecture", "general.name"] {
        let (ours, theirs) = (first.metadata().get(key), shard.metadata().get(key));
        if let Some(theirs) = theirs.filter(|theirs| Some(*theirs) != ours) {
            let problem = format!("is {theirs} in `{}` and another in the first shard", shard.label());
            return Err(Error::metadata(key, problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_a_shard_and_back() {
        let path = shard_path(Path::new("/models/a-b"), 1, 3);

        assert_eq!(path, Path::new("/models/a-b-00002-of-00003.gguf"));
        assert_eq!(parse(&path), Some((PathBuf::from("/models/a-b"), 3)));
    }

    #[test]
    fn other_names_are_no_shards() {
        for name in [
            "model.gguf",
            "model-00001-of-00002.bin",
            "model-1-of-2.gguf",
            "model-00001-of-00000.gguf",
            "model-00001-of-99999.gguf",
            "-of-.gguf",
        ] {
            assert_eq!(parse(Path::new(name)), None, "{name}");
        }
    }
}
