//! A file that is not complete yet.
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use sysinfo::Disks;

use crate::replacement::sync_folder;
use crate::{Error, Result};

/// What is added to the target's name while it is not complete, and for the journal.
const PARTIAL: &str = ".partial";
const JOURNAL: &str = ".partial.journal";

/// The file `TARGET.partial` beside its final place, with a journal of what it has so far.
///
/// Whatever happens, `TARGET` is the old file or the complete new one. Killed, the two files stay, and the next run of the
/// same job goes on from there.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    /// Whether the files stay when this is dropped.
    keep: bool,
}

impl Partial {
    /// Opens the partial file of `target`, of `bytes` when complete, for this process alone.
    pub(super) fn open(target: &Path, bytes: u64, keep: bool) -> Result<Self> {
        let path = beside(target, PARTIAL);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { path }),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
        let partial = Self { file, path, target: target.to_owned(), keep };
        partial.check_room(bytes)?;
        partial.file.set_len(bytes).map_err(Error::write(&partial.path))?;
        Ok(partial)
    }

    /// That the disk has room for the file, as far as the system tells.
    fn check_room(&self, bytes: u64) -> Result<()> {
        let Some(free) = free_bytes(&self.path) else { return Ok(()) };
        // A file of an earlier run has its room already.
        if bytes <= free || self.file.metadata().is_ok_and(|file| file.len() == bytes) {
            return Ok(());
        }
        Err(Error::NoSpace { path: self.target.clone(), needed_bytes: Some(bytes), free_bytes: Some(free) })
    }

    /// The path of the journal.
    pub(super) fn journal_path(&self) -> PathBuf {
        beside(&self.target, JOURNAL)
    }

    /// Writes `bytes` at `offset`. Several threads may write at once.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        write_all_at(&self.file, bytes, offset).map_err(Error::write(&self.path))
    }

    /// Fills `bytes` from `offset`.
    pub(super) fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        read_exact_at(&self.file, bytes, offset).map_err(Error::io("read", &self.path))
    }

    /// The path of the file as long as it is not complete.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the file, renames it over the target, and syncs the folder.
    pub(super) fn commit(mut self) -> Result<()> {
        self.file.sync_all().map_err(Error::write(&self.path))?;
        // The journal goes first: once the file has its name, another run may begin.
        fs::remove_file(self.journal_path()).map_err(Error::io("remove", self.journal_path()))?;
        self.keep = true;
        fs::rename(&self.path, &self.target).map_err(Error::io("rename to", &self.target))?;
        sync_folder(&self.target)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.keep {
            discard(&self.target);
        }
    }
}

/// Takes away what a run that did not end has left beside `target`.
pub(crate) fn discard(target: &Path) {
    // There is nobody to tell if one of them cannot be removed.
    fs::remove_file(beside(target, JOURNAL)).ok();
    fs::remove_file(beside(target, PARTIAL)).ok();
}

/// What the disk that holds `path` has free, if the system tells.
fn free_bytes(path: &Path) -> Option<u64> {
    let path = path.canonicalize().ok()?;
    let disks = Disks::new_with_refreshed_list().ok()?;
    let holding = disks
        .iter()
        .filter(|disk| path.starts_with(disk.mount_point()) && same_disk(&path, disk.mount_point()));
    let nearest = holding.max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    Some(nearest.available_space())
}

/// The list leaves some mounts out, those in memory for example; what lies on them is not on the disk below.
#[cfg(unix)]
fn same_disk(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    device(one) == device(other)
}

#[cfg(not(unix))]
fn same_disk(_one: &Path, _other: &Path) -> bool {
    true
}

fn beside(target: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(target.file_name().unwrap_or_default());
    name.push(ending);
    target.with_file_name(name)
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                bytes = &mut bytes[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}
