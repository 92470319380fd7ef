//! Tensors' bytes in files beside the model: which file, which bytes, and that they are allowed to be read.
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::proto::{EXTERNAL, StringStringEntryProto, TensorProto};
use crate::storage::Storage;
use crate::{Error, Result};

/// The files a model's external tensors lie in. Opened when first read.
pub(super) struct DataFiles {
    /// Real folders that data may lie in: the model's, and that of the file the model's path links to, as in the cache
    /// of the Hugging Face hub, where both files are links into one folder.
    folders: Vec<PathBuf>,
    folder: PathBuf,
    opened: HashMap<String, Storage>,
}

/// Where a tensor's bytes are: a file that is open, and a range within it.
struct Place<'a> {
    file: &'a Storage,
    offset: u64,
    bytes: u64,
}

impl DataFiles {
    /// The files beside the model at `path`.
    pub(super) fn beside(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = path.canonicalize().map_err(Error::io("find", path))?;
        let mut folders = vec![folder.canonicalize().map_err(Error::io("find", folder))?];
        folders.extend(real.parent().map(Path::to_owned));
        Ok(Self { folders, folder: folder.to_owned(), opened: HashMap::new() })
    }

    /// The numbers of an external tensor of floats.
    pub(super) fn floats(&mut self, tensor: &TensorProto) -> Result<Vec<f32>> {
        // What the tensor claims to be is compared with the file before there is room made for it.
        let place = self.place(tensor)?;
        let mut values = Vec::with_capacity((place.bytes / 4) as usize);
        self.copy(tensor, |slab| {
            values.extend(slab.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)));
            Ok(())
        })?;
        Ok(values)
    }

    /// Hands the bytes of an external tensor to `sink`, a slab at a time.
    pub(super) fn copy(
        &mut self,
        tensor: &TensorProto,
        mut sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        const SLAB_BYTES: u64 = 1 << 22;
        let place = self.place(tensor)?;
        let mut slab = vec![0; place.bytes.min(SLAB_BYTES) as usize];
        for start in (0..place.bytes).step_by(SLAB_BYTES as usize) {
            let slab = &mut slab[..(place.bytes - start).min(SLAB_BYTES) as usize];
            place.file.read_into(place.offset + start, slab)?;
            sink(slab)?;
        }
        Ok(())
    }

    fn place(&mut self, tensor: &TensorProto) -> Result<Place<'_>> {
        let wrong = |problem: String| Error::tensor(tensor.label(), problem);
        let bytes =
            tensor.bytes().ok_or_else(|| wrong("has no size, so cannot lie in another file".into()))?;
        let location = entry(tensor, "location").ok_or_else(|| wrong("does not say in which file".into()))?;
        let offset = number(tensor, "offset")?.unwrap_or(0);
        let length = number(tensor, "length")?.unwrap_or(bytes);
        let file = self.open(tensor, location)?;
        if length != bytes {
            return Err(wrong(format!("needs {bytes} bytes, but {length} are named in `{location}`")));
        }
        if offset.checked_add(bytes).is_none_or(|end| end > file.size_bytes()) {
            let size = file.size_bytes();
            let problem =
                format!("lies at byte {offset} and has {bytes} bytes, but `{location}` has {size} in all");
            return Err(wrong(problem));
        }
        Ok(Place { file, offset, bytes })
    }

    fn open(&mut self, tensor: &TensorProto, location: &str) -> Result<&Storage> {
        if !self.opened.contains_key(location) {
            let path = self.allowed(tensor, location)?;
            self.opened.insert(location.to_owned(), Storage::open(&path)?);
        }
        Ok(&self.opened[location])
    }

    /// The real path of `location`, which must lie under one of the folders.
    fn allowed(&self, tensor: &TensorProto, location: &str) -> Result<PathBuf> {
        let outside = || {
            let problem = format!("lies in `{location}`, which is not in the model's folder");
            Error::tensor(tensor.label(), problem)
        };
        let relative = Path::new(location);
        if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(outside());
        }
        let path = self.folder.join(relative);
        let real = path.canonicalize().map_err(Error::io("open", &path))?;
        if self.folders.iter().any(|folder| real.starts_with(folder)) { Ok(real) } else { Err(outside()) }
    }
}

/// The entries that say where a tensor's bytes are; the file's name is set by [`set_location`].
pub(super) fn entries(offset: u64, bytes: u64) -> Vec<StringStringEntryProto> {
    let entry =
        |key: &str, value: String| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) };
    vec![
        entry("location", String::new()),
        entry("offset", offset.to_string()),
        entry("length", bytes.to_string()),
    ]
}

/// Whether [`entries`] has placed the tensor in a file that has no name yet.
pub(super) fn is_placed(tensor: &TensorProto) -> bool {
    tensor.is_external() && entry(tensor, "location").is_none_or(str::is_empty)
}

/// Names the file an external tensor lies in.
pub(super) fn set_location(tensor: &mut TensorProto, location: &str) {
    let mut entries = tensor.external_data.iter_mut().filter(|_| tensor.data_location == Some(EXTERNAL));
    if let Some(entry) = entries.find(|entry| entry.key.as_deref() == Some("location")) {
        entry.value = Some(location.to_owned());
    }
}

fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key))?.value.as_deref()
}

fn number(tensor: &TensorProto, key: &str) -> Result<Option<u64>> {
    let parse = |text: &str| {
        let wrong = |_| Error::tensor(tensor.label(), format!("has the {key} `{text}`, expected a number"));
        text.parse().map_err(wrong)
    };
    entry(tensor, key).map(parse).transpose()
}
