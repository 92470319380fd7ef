//! The local models that are loaded when they are asked for: a thread with a keeper of its own.
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use aic_quant::Model;
use aic_quant::residency::{Form, Keeper, Models};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{Error, Result};

/// How often memory is looked at while there are models in it.
const TICK: Duration = Duration::from_secs(1);

/// The thread, until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct KeeperThread {
    pub(crate) keeper: ModelKeeper,
    thread: Option<JoinHandle<()>>,
}

/// A handle on the models, for whoever asks them something.
#[derive(Clone)]
pub(crate) struct ModelKeeper {
    commands: Sender<Command>,
    /// How each model is in memory, as far as it is, after what the keeper did last.
    forms: Arc<Mutex<BTreeMap<String, Option<Form>>>>,
}

enum Command {
    Acquire { model: String, reply: oneshot::Sender<aic_quant::Result<Held>> },
    Release { model: String },
    Stop,
}

/// One request's hold on a model, which is not unloaded before the last of them is dropped.
pub(crate) struct Held {
    /// `None` once it is let go of, which comes before the release; then there is nothing to release any more.
    model: Option<Model>,
    name: String,
    commands: Sender<Command>,
}

impl KeeperThread {
    /// Begins to keep the models of `keeper`, which have these `names`.
    pub(crate) fn start(keeper: Keeper<Models>, names: impl IntoIterator<Item = String>) -> Result<Self> {
        let (commands, received) = mpsc::channel();
        let forms = names.into_iter().map(|name| (name, None)).collect();
        let handle = ModelKeeper { commands, forms: Arc::new(Mutex::new(forms)) };
        let work = Work { keeper, handle: handle.clone(), clock: Clock::start() };
        let thread = thread::Builder::new()
            .name("aic-models".to_owned())
            .spawn(move || work.run(&received))
            .map_err(|error| Error::Start { part: "further local models", source: Box::new(error) })?;
        Ok(Self { keeper: handle, thread: Some(thread) })
    }

    /// Unloads the models and waits for what is being loaded. Answers that are being made go on.
    pub(crate) async fn stop(mut self) {
        self.keeper.send(Command::Stop);
        let thread = self.thread.take();
        let joined = tokio::task::spawn_blocking(move || thread.map(JoinHandle::join)).await;
        if !matches!(joined, Ok(None | Some(Ok(())))) {
            tracing::error!("the thread that kept further models had panicked");
        }
    }
}

impl Drop for KeeperThread {
    fn drop(&mut self) {
        self.keeper.send(Command::Stop);
    }
}

impl ModelKeeper {
    /// Has `model` in memory until what comes back is dropped.
    ///
    /// Models are loaded one after the other: who asks for one that is there already waits for a load that is under way, too.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the hold; a load that has begun is carried out.
    pub(crate) async fn acquire(&self, model: &str) -> aic_quant::Result<Held> {
        let (reply, held) = oneshot::channel();
        self.send(Command::Acquire { model: model.to_owned(), reply });
        held.await.unwrap_or(Err(aic_quant::Error::Stopped { what: "keeping further models" }))
    }

    /// Whether there is a model of this name.
    pub(crate) fn knows(&self, model: &str) -> bool {
        self.forms.lock().contains_key(model)
    }

    /// How `model` is in memory, if it is.
    pub(crate) fn form(&self, model: &str) -> Option<Form> {
        self.forms.lock().get(model).cloned().flatten()
    }

    fn send(&self, command: Command) {
        // A keeper that was stopped keeps nothing; who asks it for a model learns that from the dropped reply.
        let _ = self.commands.send(command);
    }
}

/// What the thread has.
struct Work {
    keeper: Keeper<Models>,
    handle: ModelKeeper,
    clock: Clock,
}

impl Work {
    fn run(mut self, received: &Receiver<Command>) {
        let mut ticked = Instant::now();
        loop {
            match self.next(received, TICK.saturating_sub(ticked.elapsed())) {
                Ok(Command::Acquire { model, reply }) => self.acquire(model, reply),
                Ok(Command::Release { model }) => self.keeper.release(&model, None, self.clock.now()),
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if ticked.elapsed() >= TICK {
                self.keeper.tick(self.clock.now());
                ticked = Instant::now();
            }
            self.publish();
        }
        self.handle.forms.lock().values_mut().for_each(|form| *form = None);
    }

    /// Waits for a command, and no longer than `limit` while there are models in memory.
    fn next(&self, received: &Receiver<Command>, limit: Duration) -> Result<Command, RecvTimeoutError> {
        if self.keeper.residency().residents().next().is_some() {
            return received.recv_timeout(limit);
        }
        received.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }

    fn acquire(&mut self, name: String, reply: oneshot::Sender<aic_quant::Result<Held>>) {
        if reply.is_closed() {
            return; // Nobody waits any more, so nothing is loaded.
        }
        let held = self.keeper.acquire(&name, self.clock.now()).map(|_| Held {
            model: self.keeper.loader().get(&name),
            name,
            commands: self.handle.commands.clone(),
        });
        self.publish();
        if let Err(Ok(mut unwanted)) = reply.send(held) {
            // Nobody waits any more. Who comes next shall find the room at once, not after what is queued.
            unwanted.model = None;
            self.keeper.release(&unwanted.name, None, self.clock.now());
        }
    }

    fn publish(&self) {
        let residents: BTreeMap<&str, &Form> = self.keeper.residency().residents().collect();
        for (name, form) in &mut *self.handle.forms.lock() {
            *form = residents.get(name.as_str()).copied().cloned();
        }
    }
}

/// Time as a keeper counts it: from midnight, and never back.
struct Clock {
    started: Instant,
    at_start: Duration,
}

impl Clock {
    fn start() -> Self {
        let at_start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), at_start }
    }

    fn now(&self) -> Duration {
        self.at_start + self.started.elapsed()
    }
}

impl Deref for Held {
    type Target = Model;

    fn deref(&self) -> &Model {
        self.model.as_ref().expect("a model that was granted is in memory, and is held until the drop")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.model.take().is_some() {
            let _ = self.commands.send(Command::Release { model: std::mem::take(&mut self.name) });
        }
    }
}

impl fmt::Debug for ModelKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelKeeper").field("forms", &*self.forms.lock()).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "demo-model"))]
mod tests {
    use aic_quant::residency::{Experience, Policy, Residency};
    use aic_quant::{Device, DeviceMemory, Error, Memory, ModelOptions, footprint};
    use futures_util::FutureExt;
    use tempfile::TempDir;

    use super::*;

    /// So many bytes of main memory, of which nobody else uses any.
    #[derive(Debug)]
    struct Machine(u64);

    impl DeviceMemory for Machine {
        fn memory(&self, _: Device) -> Option<Memory> {
            Some(Memory { total_bytes: self.0, free_bytes: self.0 })
        }
    }

    /// Keeps `a` and `b`, of which one has room at a time.
    #[allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
    fn start() -> (KeeperThread, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demo.gguf");
        std::fs::write(&path, crate::DEMO_MODEL).unwrap();
        let mut models = Models::new();
        let mut residency = Residency::new(Policy::default(), Experience::new("test")).unwrap();
        for name in ["a", "b"] {
            residency.register(models.add(name, [path.clone()], ModelOptions::new()).unwrap()).unwrap();
        }
        let needed = footprint(&*aic_quant::open(&path).unwrap(), &ModelOptions::new()).unwrap();
        let machine = Machine(needed.total_bytes() * 3 / 2);
        let names = ["a", "b"].map(str::to_owned);
        (KeeperThread::start(Keeper::new(residency, models, machine), names).unwrap(), folder)
    }

    #[tokio::test]
    async fn who_gives_up_waiting_holds_nothing() {
        let (thread, _folder) = start();
        for _ in 0..3 {
            drop(thread.keeper.acquire("a").now_or_never());
            let held = thread.keeper.acquire("b").await.unwrap();
            assert_eq!(held.info().name.as_deref(), Some("aic demo"));
        }
    }

    #[tokio::test]
    async fn held_model_keeps_its_place_until_the_last_hold_is_dropped() {
        let (thread, _folder) = start();
        let (one, two) =
            (thread.keeper.acquire("a").await.unwrap(), thread.keeper.acquire("a").await.unwrap());

        for hold in [one, two] {
            let refused = thread.keeper.acquire("b").await.err();
            assert!(matches!(refused, Some(Error::NotAdmitted { reason, .. }) if reason.is_temporary()));
            drop(hold);
        }

        assert!(thread.keeper.acquire("b").await.is_ok());
        assert!(thread.keeper.form("a").is_none() && thread.keeper.form("b").is_some());
    }

    #[tokio::test]
    async fn stopped_keeper_says_so_and_what_is_held_goes_on() {
        let (thread, _folder) = start();
        let (keeper, held) = (thread.keeper.clone(), thread.keeper.acquire("a").await.unwrap());

        thread.stop().await;

        assert!(keeper.form("a").is_none());
        assert!(matches!(keeper.acquire("a").await, Err(Error::Stopped { .. })));
        assert!(held.tokenize("still there").is_ok());
    }
}
