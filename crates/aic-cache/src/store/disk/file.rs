use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use tracing::warn;

use super::{
    clearings,
    ledger::{Ledger, Written},
    queue::{Batch, Dead},
    trouble::{Trouble, guard},
    used::Used,
};
use crate::{Epochs, Fingerprint};

/// The version of what is kept in the tables.
const FORMAT: u64 = 1;
/// Bytes of the file that redb keeps in memory; the operating system keeps more.
const MEMORY_BYTES: usize = 64 << 20;
/// Files put aside; the last one is replaced from then on.
const ASIDE_MAX: u32 = 8;

/// Numbers about the file as a whole, by name.
pub(super) const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
/// Records by the key of their entry.
pub(super) const RECORDS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("records");
/// Whose turn it is to make room, the smallest place first: key, birth and end of a record.
pub(super) const ORDER: TableDefinition<'_, u64, ([u8; 32], u64, u64)> = TableDefinition::new("order");
/// The epoch of each tag's latest clearing.
pub(super) const CLEARINGS: TableDefinition<'_, u64, u64> = TableDefinition::new("clearings");

/// The open file.
#[derive(Debug)]
pub(super) struct File {
    database: Database,
    entries: AtomicU64,
    weight: AtomicU64,
}

impl File {
    /// Opens the file at `path` and makes it if need be.
    ///
    /// redb verifies a page when it writes it down, not when it reads it, and a damaged one can make it panic in a
    /// destructor, which ends the process. So a `strange` file, one that this process has not had open, is
    /// read once from end to end against its checksums.
    pub(super) fn open(path: &Path, strange: bool) -> Result<Self, Trouble> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600); // Answers are nobody else's business.
        let file = options.open(path)?;
        guard(|| {
            let mut database = Database::builder().set_cache_size(MEMORY_BYTES).create_file(file)?;
            if strange && !database.check_integrity()? {
                warn!(file = %path.display(), "the cache's file was damaged and is repaired");
            }
            Self::of(database)
        })
    }

    fn of(database: Database) -> Result<Self, redb::Error> {
        if is_new(&database)? {
            begin(&database)?;
        }
        let transaction = database.begin_read()?;
        let facts = transaction.open_table(FACTS)?;
        let format = fact(&facts, "format")?;
        if format != FORMAT {
            let words = format!("it is written in format {format}, this program reads format {FORMAT}");
            return Err(redb::Error::Corrupted(words));
        }
        let entries = redb::ReadableTableMetadata::len(&transaction.open_table(RECORDS)?)?.into();
        let weight = fact(&facts, "weight")?.into();
        transaction.open_table(ORDER)?;
        drop((facts, transaction));
        Ok(Self { database, entries, weight })
    }

    /// Makes room if the file holds more than `capacity`, and gives the room back to the file system if that is
    /// most of the file. Returns how many entries were evicted.
    pub(super) fn fit(
        &mut self,
        path: &Path,
        capacity: u64,
        now_ms: u64,
        used: &Used,
    ) -> Result<u64, Trouble> {
        if self.weight() <= capacity {
            return Ok(0);
        }
        let written = self.write(&Batch::default(), capacity, now_ms, used)?;
        if fs::metadata(path).is_ok_and(|file| file.len() / 2 > capacity) {
            guard(|| Ok(self.database.compact()?))?;
        }
        Ok(written.evicted)
    }

    /// The record of `key` as it is in the file.
    pub(super) fn read(&self, key: &Fingerprint) -> Result<Option<Bytes>, Trouble> {
        guard(|| {
            let records = self.database.begin_read()?.open_table(RECORDS)?;
            Ok(records.get(key.as_bytes())?.map(|record| Bytes::copy_from_slice(record.value())))
        })
    }

    /// Writes `batch` durably and makes room. Nothing of it is done if that fails, or all of it.
    pub(super) fn write(
        &self,
        batch: &Batch,
        capacity: u64,
        now_ms: u64,
        used: &Used,
    ) -> Result<Written, Trouble> {
        let (written, entries, weight) = guard(|| {
            let mut transaction = self.database.begin_write()?;
            transaction.set_quick_repair(true); // When a write fails, opening afresh need not read the whole file.
            let mut ledger = Ledger::open(&transaction, used)?;
            ledger.apply(batch, now_ms)?;
            let evicted = ledger.make_room(capacity, now_ms)?;
            let (entries, weight) = ledger.close()?;
            let epochs = clearings::write(&transaction, &batch.cleared)?;
            transaction.commit()?;
            Ok((Written { evicted, epochs }, entries, weight))
        })?;
        self.entries.store(entries, Relaxed);
        self.weight.store(weight, Relaxed);
        Ok(written)
    }

    /// Records among the `count` from `place` on that are over at `now_ms`, and where to look next, which is 0
    /// after the last one.
    pub(super) fn expired(&self, place: u64, count: usize, now_ms: u64) -> Result<(Vec<Dead>, u64), Trouble> {
        guard(|| {
            let order = self.database.begin_read()?.open_table(ORDER)?;
            let (mut dead, mut next) = (Vec::new(), 0);
            for (nth, turn) in order.range(place..)?.enumerate() {
                let (at, turn) = turn?;
                if nth == count {
                    next = at.value();
                    break;
                }
                let (key, birth, ends_ms) = turn.value();
                if ends_ms <= now_ms {
                    dead.push(Dead { key: Fingerprint::from_bytes(key), birth, place: at.value() });
                }
            }
            Ok((dead, next))
        })
    }

    /// Which tags were cleared.
    pub(super) fn epochs(&self) -> Result<Epochs, Trouble> {
        guard(|| clearings::read(&self.database.begin_read()?))
    }

    /// Entries in the file, including those that are over but not yet removed.
    pub(super) fn entries(&self) -> u64 {
        self.entries.load(Relaxed)
    }

    /// What they take, in bytes.
    pub(super) fn weight(&self) -> u64 {
        self.weight.load(Relaxed)
    }

    /// Closes the file. redb writes down what makes the next opening quick.
    pub(super) fn close(self) {
        let _ = guard(|| {
            drop(self);
            Ok(())
        });
    }
}

/// The number called `name`; its absence is damage.
pub(super) fn fact(facts: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64, redb::Error> {
    let missing = || redb::Error::Corrupted(format!("it does not say its {name}"));
    Ok(facts.get(name)?.ok_or_else(missing)?.value())
}

fn is_new(database: &Database) -> Result<bool, redb::Error> {
    let names: Vec<_> = database.begin_read()?.list_tables()?.map(|table| table.name().to_owned()).collect();
    if !names.is_empty() && !names.iter().any(|name| name == FACTS.name()) {
        return Err(redb::Error::Corrupted("it is a redb database without the facts of a cache".to_owned()));
    }
    Ok(names.is_empty())
}

fn begin(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut facts = transaction.open_table(FACTS)?;
        for (name, number) in [("format", FORMAT), ("weight", 0), ("next", 1)] {
            facts.insert(name, number)?;
        }
        clearings::begin(&mut facts)?;
        transaction.open_table(RECORDS)?;
        transaction.open_table(ORDER)?;
        transaction.open_table(CLEARINGS)?;
    }
    Ok(transaction.commit()?)
}

/// Gives the file at `path` another name, beside it.
pub(super) fn put_aside(path: &Path, reason: &str) -> Result<(), Trouble> {
    let free = (1..ASIDE_MAX).find(|n| !aside(path, *n).exists()).unwrap_or(ASIDE_MAX);
    let aside = aside(path, free);
    fs::rename(path, &aside)?;
    warn!(reason, aside = %aside.display(), "the cache's file is put aside and a new one begun");
    Ok(())
}

fn aside(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{n}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::store::disk::{queue::Op, wall::Life};

    const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);
    const LETTERS: TableDefinition<'_, u64, u64> = TableDefinition::new("letters");

    fn put(file: &File) {
        let life = Life { put_ms: 0, ends_ms: u64::MAX };
        let op = Op::Put { bytes: Bytes::from_static(b"an answer"), life };
        let batch = Batch { ops: Arc::new([(KEY, (0, op))].into()), ..Batch::default() };
        file.write(&batch, 1 << 20, 0, &Used::default()).unwrap();
    }

    /// Does `change` to the table of a closed file.
    fn change<K: redb::Key>(path: &Path, table: TableDefinition<'_, K, u64>, key: K::SelfType<'_>, to: u64) {
        let database = Database::create(path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(table).unwrap().insert(key, to).unwrap();
        transaction.commit().unwrap();
    }

    #[test]
    fn file_of_another_format_is_refused_by_its_number() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("cache");
        put(&File::open(&path, true).unwrap());

        change(&path, FACTS, "format", FORMAT + 1);
        let trouble = File::open(&path, true).unwrap_err();

        assert!(
            trouble.to_string().ends_with("it is written in format 2, this program reads format 1"),
            "{trouble}"
        );
    }

    #[test]
    fn database_of_another_program_is_refused_and_keeps_its_tables() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("cache");
        change(&path, LETTERS, 1, 2);

        let trouble = File::open(&path, true).unwrap_err();

        assert!(trouble.to_string().ends_with("without the facts of a cache"), "{trouble}");
        let theirs = Database::open(&path).unwrap().begin_read().unwrap();
        assert_eq!(theirs.open_table(LETTERS).unwrap().get(1).unwrap().unwrap().value(), 2);
    }

    #[test]
    fn sums_that_are_wrong_are_found_when_room_is_made() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("cache");
        put(&File::open(&path, true).unwrap());

        change(&path, FACTS, "weight", 1 << 40);
        let mut file = File::open(&path, true).unwrap();
        let trouble = file.fit(&path, 1 << 20, 0, &Used::default()).unwrap_err();

        assert!(
            matches!(trouble, Trouble::Damaged(words) if words.contains(crate::store::disk::ledger::SUMS))
        );
    }

    #[test]
    fn only_so_many_files_are_put_aside() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("cache");

        for round in 0..20 {
            fs::write(&path, format!("letter {round}")).unwrap();
            put_aside(&path, "not a cache").unwrap();
        }

        assert_eq!(folder.path().read_dir().unwrap().count(), 8);
        assert_eq!(fs::read(aside(&path, 1)).unwrap(), b"letter 0");
        assert_eq!(fs::read(aside(&path, ASIDE_MAX)).unwrap(), b"letter 19");
    }
}
