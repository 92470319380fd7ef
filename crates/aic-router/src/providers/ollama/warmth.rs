//! Which models are loaded, looked up now and then so that nobody has to wait for the answer.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::wire::ollama::loaded;
use crate::wire::remote::Remote;
use crate::{ErrorKind, ProviderError, Warmth};

/// The shortest time from one look to the next.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long what was seen is believed. Ollama keeps an unused model for minutes.
const TRUSTED: Duration = Duration::from_secs(60);

/// A model that is in memory, as Ollama reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoadedModel {
    /// Its full name, as in `llama3.2:latest`.
    pub name: String,
    /// The memory it takes, in bytes, that of GPUs included; `None` where Ollama does not say.
    pub bytes: Option<u64>,
    /// The part of `bytes` that is memory of GPUs.
    pub vram_bytes: Option<u64>,
    /// When it will be unloaded if nobody uses it, by the server's clock.
    pub expires_at: Option<SystemTime>,
    /// The size of its context, in tokens; older servers do not say.
    pub context_tokens: Option<u64>,
}

/// Asks the server which models are loaded.
pub(super) async fn look(remote: &Remote) -> Result<Vec<LoadedModel>, ProviderError> {
    let answer = tokio::time::timeout(LOOK_TIMEOUT, remote.get("api/ps")).await;
    let slow = |_| Err(ProviderError::new(ErrorKind::Timeout, "no list of loaded models"));
    let malformed = || ProviderError::new(ErrorKind::Malformed, "the list of loaded models is none");
    loaded(&answer.unwrap_or_else(slow)?).ok_or_else(malformed)
}

/// A view of what is loaded, which refreshes itself when it is used.
///
/// At most one task works at it, and ends when the watch is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    remote: Remote,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    view: View,
    task: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn new(remote: Remote) -> Arc<Self> {
        Arc::new(Self { remote, state: Mutex::default() })
    }

    pub(super) fn warmth(&self, model: &str) -> Warmth {
        self.state.lock().view.warmth(model, Instant::now())
    }

    /// The size of the context `model` is loaded with, where that is known.
    pub(super) fn context_tokens(&self, model: &str) -> Option<u64> {
        self.state.lock().view.find(model, Instant::now())?.context_tokens
    }

    /// Notes what was seen just now.
    pub(super) fn saw(&self, seen: Option<&[LoadedModel]>) {
        self.state.lock().view.saw(seen.map(<[_]>::to_vec), Instant::now());
    }

    /// Looks again in the background, as soon as may be. Does nothing outside of a tokio runtime.
    pub(super) fn refresh(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let mut state = self.state.lock();
        if state.task.as_ref().is_none_or(JoinHandle::is_finished) {
            let due = state.view.due(Instant::now());
            state.task = Some(runtime.spawn(look_at(Arc::downgrade(self), self.remote.clone(), due)));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = self.state.get_mut().task.take() {
            task.abort();
        }
    }
}

async fn look_at(watch: Weak<Watch>, remote: Remote, due: Instant) {
    tokio::time::sleep_until(due).await;
    let seen = look(&remote).await;
    if let Some(watch) = watch.upgrade() {
        watch.saw(seen.as_deref().ok());
    }
}

/// Has the view refreshed when it is dropped, as at the end of an answer: by then the model is loaded.
#[derive(Debug)]
pub(super) struct RefreshOnDrop(Weak<Watch>);

impl RefreshOnDrop {
    pub(super) fn new(watch: &Arc<Watch>) -> Self {
        Self(Arc::downgrade(watch))
    }
}

impl Drop for RefreshOnDrop {
    fn drop(&mut self) {
        if let Some(watch) = self.0.upgrade() {
            watch.refresh();
        }
    }
}

/// What was seen last, and when.
#[derive(Debug, Default)]
struct View {
    seen: Option<Vec<LoadedModel>>,
    at: Option<Instant>,
}

impl View {
    fn saw(&mut self, seen: Option<Vec<LoadedModel>>, now: Instant) {
        *self = Self { seen, at: Some(now) };
    }

    /// When it may be looked again.
    fn due(&self, now: Instant) -> Instant {
        self.at.map_or(now, |at| at + PAUSE)
    }

    fn warmth(&self, model: &str, now: Instant) -> Warmth {
        match (self.trusted(now), self.find(model, now)) {
            (None, _) => Warmth::Unknown,
            (Some(_), None) => Warmth::Cold,
            (Some(_), Some(_)) => Warmth::Warm,
        }
    }

    fn find(&self, model: &str, now: Instant) -> Option<&LoadedModel> {
        self.trusted(now)?.iter().find(|loaded| same(&loaded.name, model))
    }

    fn trusted(&self, now: Instant) -> Option<&[LoadedModel]> {
        let age = now.saturating_duration_since(self.at?);
        self.seen.as_deref().filter(|_| age <= TRUSTED)
    }
}

/// Whether two names are one model's: Ollama takes a name without a tag for that with the tag `latest`.
pub(super) fn same(one: &str, other: &str) -> bool {
    bare(one) == bare(other)
}

fn bare(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> LoadedModel {
        LoadedModel {
            name: name.into(),
            bytes: None,
            vram_bytes: None,
            expires_at: None,
            context_tokens: Some(8192),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn view_knows_nothing_before_a_look_and_warm_from_cold_after_it() {
        let (mut view, now) = (View::default(), Instant::now());
        assert_eq!(view.warmth("a", now), Warmth::Unknown);

        view.saw(Some(vec![model("a:latest"), model("b:1b")]), now);

        let warmth = ["a", "a:latest", "b:1b", "b"].map(|name| view.warmth(name, now));
        assert_eq!(warmth, [Warmth::Warm, Warmth::Warm, Warmth::Warm, Warmth::Cold]);
        assert_eq!(view.find("a", now).unwrap().context_tokens, Some(8192));
    }

    #[tokio::test(start_paused = true)]
    async fn view_is_unknown_again_when_it_is_old_or_a_look_failed() {
        let (mut view, now) = (View::default(), Instant::now());
        view.saw(Some(vec![model("a")]), now);

        assert_eq!(view.warmth("a", now + TRUSTED), Warmth::Warm);
        assert_eq!(view.warmth("a", now + TRUSTED + PAUSE), Warmth::Unknown);
        view.saw(None, now);
        assert_eq!(view.warmth("a", now), Warmth::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_keep_their_distance() {
        let (mut view, now) = (View::default(), Instant::now());
        assert_eq!(view.due(now), now);

        view.saw(None, now);

        assert_eq!(view.due(now + PAUSE / 2), now + PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_watch_leaves_no_task_behind() {
        let watch = Watch::new(Remote::new("http://127.0.0.1:1").unwrap());
        watch.saw(None);
        watch.refresh();
        let task = watch.state.lock().task.as_ref().unwrap().abort_handle();

        drop(watch);
        tokio::task::yield_now().await;

        assert!(task.is_finished());
    }

    #[test]
    fn watch_outside_of_a_runtime_is_unknown_and_no_panic() {
        let watch = Watch::new(Remote::new("http://127.0.0.1:1").unwrap());

        watch.refresh();

        assert_eq!(watch.warmth("a"), Warmth::Unknown);
    }
}
