//! Entries in a file on disk.

mod builder;
mod clearings;
mod desk;
mod file;
mod ledger;
mod queue;
mod record;
mod trouble;
mod used;
mod wall;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tracing::warn;

pub use self::builder::DiskStoreBuilder;
use self::{
    desk::Desk,
    queue::{Op, QUEUE_BYTES},
    trouble::Trouble,
    wall::Age,
};
use super::{EpochLog, Epochs, Found, Put, PutOptions, Shared, Store, TierStats, size};
use crate::{Error, Fingerprint, Result, Tag};

const TIER: &str = "disk";

/// How long dropping the last handle waits for the last write.
const FAREWELL: Duration = Duration::from_secs(5);

/// Entries in a file on disk, which outlive the process.
///
/// One file in a folder of its own, kept by redb, for one process at a time: a second one is refused. Any number
/// of tasks may use clones of one store. Needs a Tokio runtime.
///
/// **What a crash costs.** Every write is a transaction that is on the disk when it ends; a second of puts
/// (or 4 MiB of them) shares one. So after `kill -9` or a power cut the file opens as it was at the last
/// transaction: puts and removals of the last second or so may be undone, nothing is ever half done. What
/// must hold is followed by [`flush`](Self::flush). Clearing tags is durable when it returns.
///
/// **What a call costs.** A put goes to a queue in memory, where it is found at once; if more than 32 MiB wait,
/// the disk is too slow and the put fails with [`Error::Unavailable`] instead of waiting; what was there before
/// stays. A hit is read on Tokio's threads for blocking work, because the disk may take its time; no
/// call holds up the runtime. Up to 64 MiB of pages are kept in memory beside the queue.
///
/// **What is evicted.** When entries take more than the capacity, those go that have waited longest since they
/// were put or, if they were found since, since it was last their turn (second chance, an approximation of
/// LRU), until a twentieth is free. Which ones were found is forgotten when the store is closed. Each entry
/// counts with what redb's pages make of it, up to twice its bytes and some hundred more. The file takes a
/// sixth more than that, and needs room for the pages of the write in progress: a store of 64 MiB in a storm of
/// small puts took 167 MiB. It may look longer, because it is sparse where it is empty. Entries whose time is
/// over are removed after they are met, and by a sweep every ten seconds.
///
/// **When something is wrong.** A file is read once from end to end against its checksums when it is opened. A
/// damaged one, another program's, or one of another version is put aside as `cache.redb.damaged-1` (up to
/// `-8`, which is then replaced), and a new one is begun. Each record has a checksum of its own: one that is
/// damaged later is a miss. While the disk is full puts fail, what is there is found, and writing is
/// tried again every second. Times to live follow the wall clock; one that is set back prolongs a life by the
/// time to live at most, and not at all within one process.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// use aic_cache::{DiskStore, MemoryStore, Tiered};
///
/// let disk = DiskStore::builder(folder.path()).capacity_bytes(10 << 30).build()?;
/// let store = Tiered::new(MemoryStore::new(64 << 20), disk.clone());
/// disk.flush().await?; // before the machine is switched off, say
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DiskStore {
    handle: Arc<Handle>,
}

impl DiskStore {
    /// Starts describing a store in `folder`, which is made if it is not there.
    pub fn builder(folder: impl Into<PathBuf>) -> DiskStoreBuilder {
        DiskStoreBuilder::new(folder.into())
    }

    /// Opens the store in `folder` with default settings.
    ///
    /// # Errors
    /// As [`DiskStoreBuilder::build`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        Self::builder(folder).build()
    }

    /// Makes every put and removal durable that was called before. Dropping the last clone does the same, and
    /// waits up to five seconds for it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the file cannot be written. What was put is kept in memory and tried again.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the write.
    pub async fn flush(&self) -> Result<()> {
        self.handle.desk.commit(&[]).await.map_err(|trouble| self.handle.unavailable(trouble))
    }

    /// The largest entry this store takes, in bytes: a sixteenth of the capacity, at most 16 MiB.
    fn entry_bytes_max(&self) -> u64 {
        (self.handle.desk.capacity_bytes / 16).min(QUEUE_BYTES as u64 / 2)
    }

    fn push(&self, key: &Fingerprint, op: Op) -> Result<()> {
        self.handle.desk.push(key, op).map_err(|trouble| self.handle.unavailable(trouble))
    }

    fn found(&self, waiting: Op) -> Option<Found> {
        let Op::Put { bytes, life } = waiting else { return None };
        match life.age(self.handle.desk.wall.now_ms()) {
            Age::Live(ttl) => Some(Found::new(bytes, TIER).ttl(ttl)),
            Age::Over | Age::Unknown => None,
        }
    }
}

#[async_trait]
impl Store for DiskStore {
    async fn get(&self, key: &Fingerprint) -> Result<Option<Found>> {
        if let Some(op) = self.handle.desk.waiting(key) {
            return Ok(self.found(op));
        }
        let (desk, key) = (self.handle.desk.clone(), *key);
        let read = tokio::task::spawn_blocking(move || desk.read(&key)).await;
        read.unwrap_or(Err(Trouble::Closed)).map_err(|trouble| self.handle.unavailable(trouble))
    }

    async fn put(&self, key: &Fingerprint, bytes: Bytes, options: PutOptions) -> Result<Put> {
        let (bytes_len, limit) = (size(&bytes), self.entry_bytes_max());
        if bytes_len > limit {
            self.push(key, Op::Remove)?;
            return Ok(Put::TooLarge { bytes: bytes_len, limit });
        }
        let life = self.handle.desk.wall.life(options.ttl);
        self.push(key, Op::Put { bytes, life })?;
        Ok(Put::Stored { bytes: bytes_len })
    }

    async fn remove(&self, key: &Fingerprint) -> Result<()> {
        self.push(key, Op::Remove)
    }

    fn shared(&self) -> Shared {
        Shared::default().epochs(Clearings(self.handle.clone()))
    }

    fn tiers(&self) -> Vec<TierStats> {
        let desk = &self.handle.desk;
        let file = desk.file();
        vec![TierStats {
            entries: file.as_ref().map(|file| file.entries()),
            bytes: file.as_ref().map(|file| file.weight()),
            capacity_bytes: Some(desk.capacity_bytes),
            evictions: Some(desk.evictions.load(Relaxed)),
            ..TierStats::new(TIER)
        }]
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore")
            .field("store", &self.handle.name)
            .field("capacity_bytes", &self.handle.desk.capacity_bytes)
            .finish_non_exhaustive()
    }
}

/// The log of cleared tags in the file of a [`DiskStore`].
struct Clearings(Arc<Handle>);

#[async_trait]
impl EpochLog for Clearings {
    async fn read(&self, known: Option<(u64, u64)>) -> Result<Option<Epochs>> {
        let epochs = self.0.desk.epochs();
        Ok((known != Some((epochs.era, epochs.now))).then(|| Epochs::clone(&epochs)))
    }

    async fn clear(&self, tags: &[Tag]) -> Result<()> {
        self.0.desk.commit(tags).await.map_err(|trouble| self.0.unavailable(trouble))
    }
}

impl fmt::Debug for Clearings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clearings").field("store", &self.0.name).finish_non_exhaustive()
    }
}

/// What the clones of a store have in common. The last one ends the writer.
struct Handle {
    desk: Arc<Desk>,
    ended: Mutex<Receiver<()>>,
    /// For errors.
    name: String,
}

impl Handle {
    fn unavailable(&self, trouble: Trouble) -> Error {
        Error::Unavailable { store: self.name.clone(), source: trouble.into() }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.desk.stop();
        if self.ended.lock().recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) {
            warn!(store = self.name, "the disk is too slow: entries are still being written");
        }
    }
}
