//! What of a file is already written, so that an interrupted run can be gone on with.
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::slab::Squares;
use crate::{Error, Result};

/// First bytes of a journal; the number changes when its form or that of the converted bytes does.
const MAGIC: [u8; 8] = *b"aicquan1";
/// Bytes of a job's name.
const JOB: usize = 32;
/// Bytes of one record.
const RECORD: usize = 40;

/// The name of one particular conversion: a hash of all that decides what is written.
pub(super) type Job = [u8; JOB];

/// One slab that is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Done {
    /// Which.
    pub(super) slab: usize,
    /// XXH3 of its converted bytes.
    pub(super) hash: u64,
    /// What was measured of its error.
    pub(super) squares: Squares,
}

/// A file to which a record is appended for each slab.
///
/// Nothing is synced. Should the machine die, records may tell of slabs that are not there; so what they tell is compared with
/// the file before it is believed.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// What the journal at `path` tells of `job`: nothing if there is none, or it is another job's.
    pub(super) fn read(path: &Path, job: &Job) -> Vec<Done> {
        let Ok(bytes) = fs::read(path) else { return Vec::new() };
        let Some(records) = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.strip_prefix(job)) else {
            return Vec::new();
        };
        // A torn record is the last one, if any.
        records.as_chunks::<RECORD>().0.iter().map_while(Done::from_bytes).collect()
    }

    /// A journal of `job` in place of whatever is at `path`.
    pub(super) fn create(path: PathBuf, job: &Job) -> Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let mut file = file.map_err(Error::io("create", &path))?;
        file.write_all(&[&MAGIC[..], job].concat()).map_err(Error::write(&path))?;
        Ok(Self { file, path })
    }

    pub(super) fn add(&mut self, done: &Done) -> Result<()> {
        self.file.write_all(&done.to_bytes()).map_err(Error::write(&self.path))
    }
}

impl Done {
    fn to_bytes(self) -> [u8; RECORD] {
        let fields = [self.slab as u64, self.hash, self.squares.error.to_bits(), self.squares.size.to_bits()];
        let mut bytes = [0; RECORD];
        for (field, place) in fields.iter().zip(bytes.as_chunks_mut::<8>().0) {
            *place = field.to_le_bytes();
        }
        let (fields, check) = bytes.split_at_mut(RECORD - 8);
        check.copy_from_slice(&super::hash(fields).to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; RECORD]) -> Option<Self> {
        let (fields, check) = bytes.split_at(RECORD - 8);
        if check != super::hash(fields).to_le_bytes() {
            return None;
        }
        let field = |index: usize| u64::from_le_bytes(fields.as_chunks::<8>().0[index]);
        Some(Self {
            slab: usize::try_from(field(0)).ok()?,
            hash: field(1),
            squares: Squares { error: f64::from_bits(field(2)), size: f64::from_bits(field(3)) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB_A: Job = [7; JOB];

    fn done(slab: usize) -> Done {
        Done { slab, hash: 99 + slab as u64, squares: Squares { error: 0.25, size: 4.0 } }
    }

    #[test]
    fn journal_tells_what_was_written_and_only_to_its_own_job() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert_eq!(Journal::read(&path, &JOB_A), []);

        let mut journal = Journal::create(path.clone(), &JOB_A).unwrap();
        journal.add(&done(3)).unwrap();
        journal.add(&done(1)).unwrap();

        assert_eq!(Journal::read(&path, &JOB_A), [done(3), done(1)]);
        assert_eq!(Journal::read(&path, &[8; JOB]), []);
    }

    #[test]
    fn torn_or_damaged_end_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::create(path.clone(), &JOB_A).unwrap();
        (0..3).try_for_each(|slab| journal.add(&done(slab))).unwrap();
        let whole = fs::read(&path).unwrap();

        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(Journal::read(&path, &JOB_A), [done(0), done(1)]);

        let mut damaged = whole.clone();
        damaged[8 + JOB + RECORD] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(Journal::read(&path, &JOB_A), [done(0)]);
    }
}
