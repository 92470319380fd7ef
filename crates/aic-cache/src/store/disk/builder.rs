use std::{
    fs,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
};

use super::{DiskStore, Handle, desk::Desk, trouble::Trouble, wall::Wall};
use crate::{BoxError, Clock, Error, Result, SystemClock};

/// The name of the file in the folder.
const FILE: &str = "cache.redb";

/// The least capacity: a file has about as much beside its entries.
const CAPACITY_BYTES_MIN: u64 = 1 << 20;

/// The settings of a [`DiskStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct DiskStoreBuilder {
    folder: PathBuf,
    capacity_bytes: u64,
    clock: Arc<dyn Clock>,
}

impl DiskStoreBuilder {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, capacity_bytes: 1 << 30, clock: Arc::new(SystemClock) }
    }

    /// The most the entries take on disk, in bytes; at least 1 MiB. Less than the file holds already means that
    /// entries are evicted while it is opened.
    ///
    /// Defaults to 1 GiB.
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity_bytes = bytes;
        self
    }

    /// The clock that tells when an entry's time is over.
    ///
    /// Defaults to [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Opens the file and starts the thread that writes to it. Blocks for as long as it takes to read the file,
    /// one to three seconds for each GiB, and longer if gigabytes are to be evicted.
    ///
    /// # Errors
    /// [`Error::Setup`] if the folder cannot be made or written to, if the file is open elsewhere, or if the
    /// capacity is too small. A damaged file is no error: it is put aside.
    pub fn build(self) -> Result<DiskStore> {
        let name = format!("disk at {}", self.folder.display());
        match self.open(name.clone()) {
            Ok(handle) => Ok(DiskStore { handle: Arc::new(handle) }),
            Err(source) => Err(Error::Setup { store: name, source }),
        }
    }

    fn open(self, name: String) -> Result<Handle, BoxError> {
        if self.capacity_bytes < CAPACITY_BYTES_MIN {
            let asked = self.capacity_bytes;
            return Err(format!("a capacity of {asked} bytes is less than {CAPACITY_BYTES_MIN}").into());
        }
        fs::create_dir_all(&self.folder).map_err(Trouble::from)?;
        let wall = Wall::new(self.clock);
        let desk = Arc::new(Desk::open(self.folder.join(FILE), self.capacity_bytes, wall)?);
        let ended = start(desk.clone())?.into();
        Ok(Handle { desk, ended, name })
    }
}

/// Starts the writer. What is returned is told when it has ended.
fn start(desk: Arc<Desk>) -> Result<mpsc::Receiver<()>, Trouble> {
    let (ending, ended) = mpsc::channel();
    thread::Builder::new().name("aic-cache-disk".to_owned()).spawn(move || {
        desk.serve();
        drop(ending);
    })?;
    Ok(ended)
}
