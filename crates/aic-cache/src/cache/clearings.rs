//! What the cache knows of cleared tags, and how it keeps that in step with the store's log.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use tracing::debug;

use crate::{
    EpochLog, Epochs, Result, Tag,
    entry::{Header, Stamp},
};

/// How long a look at the log is good for, and so how late another process' clearing may be seen.
const LAG: Duration = Duration::from_secs(1);
/// Tags that are remembered as cleared; beyond them the older half is forgotten.
const TAGS_MAX: usize = 10_000;

/// The epochs of one cache: its own, or those of the log it shares with others.
#[derive(Debug)]
pub(super) struct Clearings {
    log: Option<Arc<dyn EpochLog>>,
    state: RwLock<State>,
    /// Held by whoever is looking into the log.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    epochs: Epochs,
    /// Cleared here, but not yet in the log: no answer with such a tag is used until it is.
    pending: Vec<Tag>,
    /// When the log was last looked at, or tried; `None` before the first time.
    looked: Option<Instant>,
    /// Whether `epochs` come from the log.
    shared: bool,
}

impl Clearings {
    pub(super) fn new(log: Option<Arc<dyn EpochLog>>) -> Self {
        // Until the log has been read, an era of our own: nothing that was stored before can be judged.
        let epochs = Epochs::new(RandomState::new().hash_one(0));
        let state = State { epochs, pending: Vec::new(), looked: None, shared: false };
        Self { log, state: RwLock::new(state), reading: tokio::sync::Mutex::default() }
    }

    /// The stamp of a computation that begins now.
    pub(super) fn stamp(&self) -> Stamp {
        let Epochs { era, now, .. } = self.state.read().epochs;
        Stamp { era, epoch: now }
    }

    /// Whether no tag of this entry has been cleared since its computation began.
    pub(super) fn is_current(&self, header: &Header) -> bool {
        let State { epochs, pending, .. } = &*self.state.read();
        let Stamp { era, epoch } = header.stamp;
        let cleared = |tag| epochs.cleared.get(tag).is_some_and(|at| *at > epoch) || pending.contains(tag);
        era == epochs.era && epochs.floor <= epoch && !header.tags.iter().any(cleared)
    }

    /// Looks into the log, if the last look is too long ago. A log that is unavailable is tried again later.
    pub(super) async fn sync(&self, now: Instant) {
        let Some(log) = &self.log else { return };
        if self.is_recent(now) {
            return;
        }
        let _reading = self.reading.lock().await;
        if self.is_recent(now) {
            return;
        }
        if let Err(error) = self.catch_up(&**log).await {
            debug!(error = &error as &dyn std::error::Error, "clearings not looked up");
        }
        self.state.write().looked = Some(now);
    }

    /// Clears `tags` here at once, and for everybody who shares the log.
    pub(super) async fn clear(&self, tags: &[Tag]) -> Result<()> {
        let Some(log) = &self.log else {
            clear(&mut self.state.write().epochs, tags);
            return Ok(());
        };
        self.state.write().pending.extend_from_slice(tags);
        let _reading = self.reading.lock().await;
        self.catch_up(&**log).await
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.state.read().looked.is_some_and(|looked| now.saturating_duration_since(looked) < LAG)
    }

    /// Tells the log what is pending and reads what others have told it.
    async fn catch_up(&self, log: &dyn EpochLog) -> Result<()> {
        let pending = self.state.read().pending.clone();
        if !pending.is_empty() {
            log.clear(&pending).await?;
        }
        let known = self.known();
        let epochs = log.read(known).await?;
        let mut state = self.state.write();
        if let Some(epochs) = epochs {
            state.epochs = epochs;
            state.shared = true;
        }
        state.pending.drain(..pending.len());
        Ok(())
    }

    fn known(&self) -> Option<(u64, u64)> {
        let state = self.state.read();
        state.shared.then_some((state.epochs.era, state.epochs.now))
    }
}

/// Counts the epoch up and notes it for `tags`.
fn clear(epochs: &mut Epochs, tags: &[Tag]) {
    epochs.now += 1;
    epochs.cleared.extend(tags.iter().map(|tag| (*tag, epochs.now)));
    if epochs.cleared.len() > TAGS_MAX {
        forget(epochs);
    }
}

/// Forgets the older half of the clearings. What was begun before them counts as cleared from now on.
fn forget(epochs: &mut Epochs) {
    let mut times: Vec<u64> = epochs.cleared.values().copied().collect();
    let middle = times.len() / 2;
    let (_, floor, _) = times.select_nth_unstable(middle);
    epochs.floor = *floor;
    epochs.cleared.retain(|_, at| *at > epochs.floor);
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        collections::HashMap,
        sync::atomic::{AtomicBool, Ordering},
        time::SystemTime,
    };

    use async_trait::async_trait;
    use proptest::prelude::*;

    use super::*;
    use crate::{Error, Fingerprint};

    const A: Tag = Tag::from_bits(1);
    const B: Tag = Tag::from_bits(2);

    fn entry(clearings: &Clearings, tags: &[Tag]) -> Header {
        let key = Fingerprint::from_bytes([7; 32]);
        Header::new(&key, SystemTime::UNIX_EPOCH, LAG, clearings.stamp(), tags.to_vec())
    }

    /// A log in memory that can be switched off.
    #[derive(Clone, Debug)]
    pub(in crate::cache) struct Log {
        epochs: Arc<RwLock<Epochs>>,
        down: Arc<AtomicBool>,
    }

    impl Log {
        pub(in crate::cache) fn new() -> Self {
            Self { epochs: Arc::new(RwLock::new(Epochs::new(99))), down: Arc::default() }
        }

        fn check(&self) -> Result<()> {
            let down = self.down.load(Ordering::Relaxed);
            if down { Err(Error::Unavailable { store: "log".into(), source: "down".into() }) } else { Ok(()) }
        }
    }

    #[async_trait]
    impl EpochLog for Log {
        async fn read(&self, known: Option<(u64, u64)>) -> Result<Option<Epochs>> {
            self.check()?;
            let epochs = self.epochs.read().clone();
            Ok((known != Some((epochs.era, epochs.now))).then_some(epochs))
        }

        async fn clear(&self, tags: &[Tag]) -> Result<()> {
            self.check()?;
            clear(&mut self.epochs.write(), tags);
            Ok(())
        }
    }

    #[tokio::test]
    async fn cleared_tag_ends_what_began_before_and_nothing_else() {
        let clearings = Clearings::new(None);
        let before = entry(&clearings, &[A, B]);
        let other = entry(&clearings, &[B]);

        clearings.clear(&[A]).await.unwrap();

        let after = entry(&clearings, &[A]);
        assert!(!clearings.is_current(&before));
        assert!(clearings.is_current(&other) && clearings.is_current(&after));
    }

    #[tokio::test]
    async fn clearing_of_another_process_is_seen_once_the_last_look_is_a_second_old() {
        let (log, start) = (Log::new(), Instant::now());
        let [ours, theirs] = [(); 2].map(|()| Clearings::new(Some(Arc::new(log.clone()))));
        ours.sync(start).await;
        let kept = entry(&ours, &[A]);

        theirs.clear(&[A]).await.unwrap();

        assert!(ours.is_current(&kept));
        ours.sync(start + LAG).await;
        assert!(!ours.is_current(&kept));
    }

    #[tokio::test]
    async fn clearing_while_the_log_is_down_holds_here_and_reaches_the_log_later() {
        let (log, start) = (Log::new(), Instant::now());
        let [ours, theirs] = [(); 2].map(|()| Clearings::new(Some(Arc::new(log.clone()))));
        ours.sync(start).await;
        let kept = entry(&ours, &[A]);
        log.down.store(true, Ordering::Relaxed);

        assert!(ours.clear(&[A]).await.is_err());
        assert!(!ours.is_current(&kept));

        log.down.store(false, Ordering::Relaxed);
        ours.sync(start + LAG).await;
        theirs.sync(start).await;
        assert!(!ours.is_current(&kept) && !theirs.is_current(&kept));
        assert!(ours.is_current(&entry(&ours, &[A])));
    }

    #[tokio::test]
    async fn nothing_stored_before_is_used_until_the_log_has_been_read() {
        let log = Log::new();
        let [before, after] = [(); 2].map(|()| Clearings::new(Some(Arc::new(log.clone()))));
        before.sync(Instant::now()).await;
        let kept = entry(&before, &[]);
        log.down.store(true, Ordering::Relaxed);

        after.sync(Instant::now()).await;
        assert!(!after.is_current(&kept));

        log.down.store(false, Ordering::Relaxed);
        after.sync(Instant::now() + LAG).await;
        assert!(after.is_current(&kept));
    }

    #[tokio::test]
    async fn many_clearings_forget_the_oldest_but_bring_nothing_back() {
        let clearings = Clearings::new(None);
        let first = entry(&clearings, &[Tag::from_bits(0)]);

        for tag in 0..=TAGS_MAX as u64 {
            clearings.clear(&[Tag::from_bits(tag)]).await.unwrap();
        }

        assert!(!clearings.is_current(&first));
        assert!(clearings.is_current(&entry(&clearings, &[Tag::from_bits(0)])));
        assert!(clearings.state.read().epochs.cleared.len() <= TAGS_MAX / 2 + 1);
    }

    proptest! {
        #[test]
        fn entry_is_used_only_if_none_of_its_tags_was_cleared_since(
            steps in prop::collection::vec((prop::bool::ANY, prop::collection::vec(0u64..4, 0..3)), 1..40),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let clearings = Clearings::new(None);
            let (mut entries, mut cleared) = (Vec::new(), HashMap::new());
            for (at, (clears, tags)) in steps.into_iter().enumerate() {
                let tags: Vec<_> = tags.into_iter().map(Tag::from_bits).collect();
                if clears {
                    runtime.block_on(clearings.clear(&tags)).unwrap();
                    cleared.extend(tags.into_iter().map(|tag| (tag, at)));
                } else {
                    entries.push((at, entry(&clearings, &tags)));
                }
            }
            for (at, entry) in entries {
                let ended = entry.tags.iter().any(|tag| cleared.get(tag).is_some_and(|cleared| *cleared > at));
                prop_assert_eq!(clearings.is_current(&entry), !ended);
            }
        }
    }
}
