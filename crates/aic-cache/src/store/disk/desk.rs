use std::{
    error::Error,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::{
    TIER,
    file::{File, put_aside},
    ledger::Written,
    queue::{Batch, Dead, Due, Op, Queue},
    record::{Record, birth},
    trouble::Trouble,
    used::Used,
    wall::{Age, Wall},
};
use crate::{Epochs, Fingerprint, Found, Tag};

/// How often the writer looks for entries whose time is over, and at how many.
const SWEEP_PAUSE: Duration = Duration::from_secs(10);
const SWEEP_COUNT: usize = 1 << 16;

/// What the handles, the readers and the one writer share.
#[derive(Debug)]
pub(super) struct Desk {
    path: PathBuf,
    pub(super) capacity_bytes: u64,
    pub(super) wall: Wall,
    queue: Mutex<Queue>,
    work: Condvar,
    /// `None` while it cannot be opened.
    file: RwLock<Option<Arc<File>>>,
    epochs: Mutex<Arc<Epochs>>,
    used: Used,
    pub(super) evictions: AtomicU64,
}

/// For those who ask.
impl Desk {
    /// Opens the file at `path`.
    pub(super) fn open(path: PathBuf, capacity_bytes: u64, wall: Wall) -> Result<Self, Trouble> {
        let desk = Self {
            path,
            capacity_bytes,
            wall,
            queue: Mutex::default(),
            work: Condvar::new(),
            file: RwLock::default(),
            epochs: Mutex::default(),
            used: Used::default(),
            evictions: AtomicU64::new(0),
        };
        desk.open_file(true)?;
        Ok(desk)
    }

    /// What waits to be done to the entry of `key`.
    pub(super) fn waiting(&self, key: &Fingerprint) -> Option<Op> {
        self.queue.lock().find(key).cloned()
    }

    /// Finds the entry of `key` in the file. Blocks on the disk.
    pub(super) fn read(&self, key: &Fingerprint) -> Result<Option<Found>, Trouble> {
        let file = self.file().ok_or_else(|| self.trouble())?;
        match file.read(key) {
            Ok(record) => Ok(record.and_then(|record| {
                let found = Record::decode(key, &record);
                found.map_or_else(|| self.mourn(key, birth(&record)), |record| self.judge(key, record))
            })),
            Err(trouble) => {
                self.report(&trouble);
                Err(trouble)
            }
        }
    }

    /// Has the writer open the file afresh.
    fn report(&self, trouble: &Trouble) {
        if self.queue.lock().report(trouble.clone(), Instant::now()) {
            self.warn(trouble, "the cache's file cannot be read");
        }
        self.work.notify_one();
    }

    /// The entry of `key`, if the clock allows.
    fn judge(&self, key: &Fingerprint, record: Record) -> Option<Found> {
        match record.life.age(self.wall.now_ms()) {
            Age::Live(ttl) => {
                self.used.note(key);
                Some(Found::new(record.bytes, TIER).ttl(ttl))
            }
            Age::Over => {
                self.bury(key, record.birth);
                None
            }
            Age::Unknown => None,
        }
    }

    /// Has a damaged record removed.
    fn mourn(&self, key: &Fingerprint, birth: u64) -> Option<Found> {
        warn!(file = %self.path.display(), "an entry on disk is damaged and counts as missing");
        self.bury(key, birth);
        None
    }

    fn bury(&self, key: &Fingerprint, birth: u64) {
        self.queue.lock().bury(Dead { key: *key, birth, place: birth });
    }

    /// Has `op` done soon.
    pub(super) fn push(&self, key: &Fingerprint, op: Op) -> Result<(), Trouble> {
        let wakes = self.queue.lock().push(*key, op, Instant::now())?;
        if wakes {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Clears `tags` and makes everything durable that was asked for so far.
    pub(super) async fn commit(&self, tags: &[Tag]) -> Result<(), Trouble> {
        let (waiter, answer) = oneshot::channel();
        self.queue.lock().ask(tags, waiter)?;
        self.work.notify_one();
        answer.await.unwrap_or(Err(Trouble::Closed))
    }

    /// Has the writer write what is left and end.
    pub(super) fn stop(&self) {
        self.queue.lock().stop();
        self.work.notify_one();
    }

    /// Which tags were cleared, as of the last write.
    pub(super) fn epochs(&self) -> Arc<Epochs> {
        self.epochs.lock().clone()
    }

    /// The file, if it is open.
    pub(super) fn file(&self) -> Option<Arc<File>> {
        self.file.read().clone()
    }

    fn trouble(&self) -> Trouble {
        self.queue.lock().trouble().cloned().unwrap_or(Trouble::Closed)
    }
}

/// For the writer.
impl Desk {
    /// Writes what comes until it is told to stop. Closes the file.
    pub(super) fn serve(&self) {
        let (mut place, mut sweep_at) = (0, Instant::now() + SWEEP_PAUSE);
        loop {
            match self.next(sweep_at) {
                Due::Write => self.write(Vec::new()),
                Due::Stop => break,
                Due::Wait(_) => {
                    place = self.sweep(place);
                    sweep_at = Instant::now() + SWEEP_PAUSE;
                }
            }
        }
        self.write(Vec::new());
        self.close_file();
        let lost = self.queue.lock().len();
        if lost > 0 {
            warn!(file = %self.path.display(), lost, "entries could not be written before the end");
        }
    }

    /// Waits until something is due, or returns [`Due::Wait`] at `sweep_at`.
    fn next(&self, sweep_at: Instant) -> Due {
        let mut queue = self.queue.lock();
        loop {
            let now = Instant::now();
            match queue.due(now) {
                Due::Wait(_) if sweep_at <= now => return Due::Wait(None),
                Due::Wait(at) => {
                    self.work.wait_until(&mut queue, at.map_or(sweep_at, |at| at.min(sweep_at)));
                }
                due => return due,
            }
        }
    }

    /// Writes what waits, and removes what is dead.
    fn write(&self, dead: Vec<Dead>) {
        let mut batch = self.queue.lock().take();
        batch.dead.extend(dead);
        let done = self.try_write(&batch);
        match &done {
            Ok(written) => self.settle(written),
            Err(trouble) => self.recover(trouble),
        }
        for waiter in batch.waiters {
            let _ = waiter.send(done.as_ref().map(drop).map_err(Trouble::clone)); // Nobody may wait any more.
        }
    }

    /// A file in which a reader met trouble is opened afresh first, because redb does nothing more with it.
    fn try_write(&self, batch: &Batch) -> Result<Written, Trouble> {
        let reported = self.queue.lock().reported();
        if let Some(trouble) = reported {
            self.abandon_file(&trouble);
        }
        let file = self.file().map_or_else(|| self.open_file(false), Ok)?;
        file.write(batch, self.capacity_bytes, self.wall.now_ms(), &self.used)
    }

    fn settle(&self, written: &Written) {
        self.evictions.fetch_add(written.evicted, Relaxed);
        if let Some(epochs) = &written.epochs {
            *self.epochs.lock() = Arc::new(epochs.clone());
        }
        if self.queue.lock().written() {
            info!(file = %self.path.display(), "the cache's file is in order again");
        }
    }

    /// Keeps what could not be written for later, and opens the file afresh so that it can be read meanwhile.
    fn recover(&self, trouble: &Trouble) {
        if self.queue.lock().failed(trouble.clone(), Instant::now()) {
            self.warn(trouble, "the cache's file cannot be written");
        }
        self.abandon_file(trouble);
        if let Err(error) = self.open_file(false) {
            debug!(file = %self.path.display(), error = &error as &dyn Error, "the cache's file cannot be opened");
        }
    }

    /// Opens the file. A damaged one is put aside and a new one begun.
    fn open_file(&self, strange: bool) -> Result<Arc<File>, Trouble> {
        match self.open_once(strange) {
            Err(Trouble::Damaged(reason)) => {
                put_aside(&self.path, &reason)?;
                self.open_once(false)
            }
            other => other,
        }
    }

    fn open_once(&self, strange: bool) -> Result<Arc<File>, Trouble> {
        let mut file = File::open(&self.path, strange)?;
        let evicted = file.fit(&self.path, self.capacity_bytes, self.wall.now_ms(), &self.used)?;
        self.evictions.fetch_add(evicted, Relaxed);
        *self.epochs.lock() = Arc::new(file.epochs()?);
        let file = Arc::new(file);
        *self.file.write() = Some(file.clone());
        Ok(file)
    }

    /// Closes the file, and puts it aside if it is damaged. What readers reported goes with it.
    fn abandon_file(&self, trouble: &Trouble) {
        let was_open = self.close_file();
        self.queue.lock().reported();
        if let (true, Trouble::Damaged(reason)) = (was_open, trouble)
            && let Err(error) = put_aside(&self.path, reason)
        {
            self.warn(&error, "the cache's file cannot be put aside");
        }
    }

    fn warn(&self, trouble: &Trouble, message: &'static str) {
        warn!(file = %self.path.display(), error = trouble as &dyn Error, message);
    }

    /// Closes the file when the last reader is done with it, which takes milliseconds. Returns whether it was
    /// open.
    fn close_file(&self) -> bool {
        let Some(mut file) = self.file.write().take() else { return false };
        loop {
            match Arc::try_unwrap(file) {
                Ok(file) => {
                    file.close();
                    return true;
                }
                Err(shared) => file = shared,
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Removes what is over among the next entries from `place` on. Returns where to go on.
    fn sweep(&self, place: u64) -> u64 {
        let Some(file) = self.file() else { return place };
        let found = file.expired(place, SWEEP_COUNT, self.wall.now_ms());
        drop(file);
        match found {
            Ok((dead, next)) => {
                if !dead.is_empty() {
                    self.write(dead);
                }
                next
            }
            Err(trouble) => {
                self.report(&trouble);
                place
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;
    use crate::testing::ManualClock;

    const KEY: Fingerprint = Fingerprint::from_bytes([7; 32]);

    fn desk(folder: &TempDir, clock: &ManualClock) -> Desk {
        Desk::open(folder.path().join("cache"), 1 << 20, Wall::new(Arc::new(clock.clone()))).unwrap()
    }

    fn put(desk: &Desk, number: u8, ttl: Option<Duration>) {
        let (bytes, life) = (Bytes::from(vec![number; 10]), desk.wall.life(ttl));
        desk.push(&Fingerprint::from_bytes([number; 32]), Op::Put { bytes, life }).unwrap();
    }

    fn file_names(folder: &TempDir) -> Vec<String> {
        let names = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn sweep_removes_what_is_over_and_nothing_that_was_put_again() {
        let (folder, clock) = (TempDir::new().unwrap(), ManualClock::new());
        let desk = desk(&folder, &clock);
        let minute = Duration::from_secs(60);
        for (number, ttl) in [(1, Some(minute)), (2, Some(2 * minute)), (3, None), (7, Some(minute))] {
            put(&desk, number, ttl);
        }
        desk.write(Vec::new());
        let full = desk.file().unwrap().weight();

        clock.advance(minute);
        put(&desk, 7, Some(minute));
        assert_eq!(desk.sweep(0), 0);

        let file = desk.file().unwrap();
        assert_eq!((file.entries(), file.weight()), (3, full / 4 * 3));
        assert_eq!(desk.read(&KEY).unwrap().unwrap().ttl, Some(minute));
        assert_eq!(desk.evictions.load(Relaxed), 0, "what is over is not evicted");
    }

    #[test]
    fn damage_that_a_reader_meets_costs_the_entries_but_not_what_waits() {
        let (folder, clock) = (TempDir::new().unwrap(), ManualClock::new());
        let desk = desk(&folder, &clock);
        put(&desk, 1, None);
        desk.write(Vec::new());
        let era = desk.epochs().era;
        put(&desk, 7, None);

        desk.report(&Trouble::Damaged("a page makes no sense".to_owned()));
        desk.write(Vec::new());

        assert_eq!(file_names(&folder), ["cache", "cache.damaged-1"]);
        assert_eq!(desk.read(&Fingerprint::from_bytes([1; 32])).unwrap(), None);
        assert_eq!(desk.read(&KEY).unwrap().unwrap().bytes, [7; 10][..]);
        assert_ne!(desk.epochs().era, era);
        desk.write(Vec::new());
        assert_eq!(file_names(&folder).len(), 2, "the new file is no worse for it");
    }

    #[test]
    fn file_of_another_program_is_put_aside_and_a_new_one_begun() {
        let (folder, clock) = (TempDir::new().unwrap(), ManualClock::new());
        std::fs::write(folder.path().join("cache"), "an important letter").unwrap();

        let desk = desk(&folder, &clock);
        put(&desk, 7, None);
        desk.write(Vec::new());

        assert!(desk.read(&KEY).unwrap().is_some());
        assert_eq!(std::fs::read(folder.path().join("cache.damaged-1")).unwrap(), b"an important letter");
    }

    #[test]
    fn refusal_that_a_reader_meets_costs_nothing() {
        let (folder, clock) = (TempDir::new().unwrap(), ManualClock::new());
        let desk = desk(&folder, &clock);
        put(&desk, 7, None);
        desk.write(Vec::new());

        desk.report(&std::io::Error::other("the disk was pulled out").into());
        let refused = desk.push(&KEY, Op::Put { bytes: Bytes::new(), life: desk.wall.life(None) });
        desk.write(Vec::new());

        assert!(matches!(refused, Err(Trouble::Io(_))));
        assert_eq!(desk.read(&KEY).unwrap().unwrap().bytes, [7; 10][..]);
        put(&desk, 1, None);
        assert_eq!(file_names(&folder), ["cache"]);
    }
}
