use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// A file written beside its final place and moved there only when complete, so that readers see the old file or the
/// new one and never half of either. Dropped before [`commit`](Self::commit), it leaves nothing behind.
pub(crate) struct Replacement {
    file: Option<File>,
    temporary: PathBuf,
    target: PathBuf,
}

/// Makes names unique within the process.
static COUNTER: AtomicU64 = AtomicU64::new(0);

impl Replacement {
    pub(crate) fn create(target: &Path) -> Result<Self> {
        let temporary = temporary_name(target);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(Error::io("create", &temporary))?;
        Ok(Self { file: Some(file), temporary, target: target.to_owned() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().expect("the file is open until it is committed");
        file.write_all(bytes).map_err(Error::write(&self.temporary))
    }

    /// As [`commit`](Self::commit), over another file of the same folder.
    #[cfg(feature = "onnx")]
    pub(crate) fn commit_as(mut self, target: &Path) -> Result<()> {
        target.clone_into(&mut self.target);
        self.commit()
    }

    /// Syncs the file, renames it over the target, and syncs the folder.
    pub(crate) fn commit(mut self) -> Result<()> {
        let file = self.file.take().expect("the file is open until it is committed");
        file.sync_all().map_err(Error::io("sync", &self.temporary))?;
        drop(file);
        fs::rename(&self.temporary, &self.target).map_err(Error::io("rename to", &self.target))?;
        sync_folder(&self.target)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After a successful rename there is nothing to remove, and otherwise nobody left to tell.
        drop(self.file.take());
        fs::remove_file(&self.temporary).ok();
    }
}

fn temporary_name(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    target.with_file_name(name)
}

#[cfg(unix)]
pub(crate) fn sync_folder(target: &Path) -> Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sync = File::open(folder).and_then(|folder| folder.sync_all());
    sync.map_err(Error::io("sync", folder))
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_target: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncommitted_replacement_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("model.gguf");
        fs::write(&target, "old").unwrap();

        let mut replacement = Replacement::create(&target).unwrap();
        replacement.write(b"half of the n").unwrap();
        drop(replacement);

        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn committed_replacement_takes_the_place_of_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("model.gguf");
        fs::write(&target, "old").unwrap();

        let mut replacement = Replacement::create(&target).unwrap();
        replacement.write(b"new").unwrap();
        replacement.commit().unwrap();

        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
