//! The file in which a queue keeps its jobs.
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::replacement::Replacement;
use crate::{Error, Result};

/// The form of the file.
const VERSION: u32 = 1;

#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// Held so that no other process works on the same jobs.
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Contents<Entries> {
    version: u32,
    jobs: Entries,
}

impl Store {
    /// Opens the folder for this process alone and reads the jobs in it.
    pub(super) fn open(folder: &Path) -> Result<(Self, Vec<Entry>)> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let lock_path = folder.join("queue.lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(Error::io("create", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: folder.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", lock_path)(error)),
        }
        let store = Self { path: folder.join("queue.json"), _lock: lock };
        let jobs = store.read()?;
        Ok((store, jobs))
    }

    fn read(&self) -> Result<Vec<Entry>> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let bytes = fs::read(&self.path).map_err(Error::io("read", &self.path))?;
        match serde_json::from_slice::<Contents<Vec<Entry>>>(&bytes) {
            Ok(contents) if contents.version == VERSION => Ok(contents.jobs),
            Ok(contents) => self.put_aside(&format!("is of version {}", contents.version)),
            Err(error) => self.put_aside(&error.to_string()),
        }
    }

    /// A file that cannot be read is kept under another name.
    fn put_aside(&self, problem: &str) -> Result<Vec<Entry>> {
        let aside = self.path.with_extension("json.damaged");
        fs::rename(&self.path, &aside).map_err(Error::io("rename", &self.path))?;
        tracing::warn!(path = %self.path.display(), aside = %aside.display(), problem, "the file of jobs was put aside");
        Ok(Vec::new())
    }

    pub(super) fn save(&self, jobs: &[Entry]) -> Result<()> {
        let contents = serde_json::to_vec_pretty(&Contents { version: VERSION, jobs });
        let contents = contents.map_err(|error| Error::io("write", &self.path)(error.into()))?;
        let mut file = Replacement::create(&self.path)?;
        file.write(&contents)?;
        file.commit()
    }
}
