//! Answers to similar questions: whether one may be given, and what is learned when it is not.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use quick_cache::sync::Cache as Bounded;
use serde::{Serialize, de::DeserializeOwned};
use tracing::debug;

use super::{Cache, CacheControl, Hit, look::Known};
use crate::{
    Fingerprint, SimilarityStats,
    entry::Outcome,
    semantic::{Decision, Evidence, Index, Neighbour, Similarity, WrongHits, conflict},
};

/// How many of the nearest questions are looked at.
const NEAREST: usize = 4;

/// A longer question has no vector that says what it asks, and would take much room.
const TEXT_BYTES_MAX: usize = 8192;

/// What a cache knows about the questions it has answers to.
pub(super) struct Similar<V> {
    settings: Similarity<V>,
    /// Made with the first vector, which says how long they are.
    index: OnceLock<Index>,
    questions: Bounded<Fingerprint, Arc<Question>>,
    wrong_hits: Mutex<WrongHits>,
    conflicts: AtomicU64,
}

/// A question whose answer is kept.
struct Question {
    text: String,
    evidence: Mutex<Evidence>,
}

/// What is to be learned once the answer is there.
pub(super) struct Lesson<V> {
    scope: Fingerprint,
    text: String,
    vector: Vec<f32>,
    near: Option<Near<V>>,
    /// Whether the near answer has been given, and this is the check of it.
    is_check: bool,
}

/// The answer to a similar question.
struct Near<V> {
    question: Arc<Question>,
    similarity: f32,
    hit: Hit<V>,
}

/// What similar questions come to.
pub(super) enum Advice<V> {
    /// Nothing: the caller wants none, or nobody can tell.
    None,
    /// Compute, and learn.
    Compute(Lesson<V>),
    /// Give this. With a lesson, compute all the same, and see whether it was right.
    Give(Hit<V>, Option<Lesson<V>>),
}

impl<V> Similar<V> {
    pub(super) fn new(settings: Similarity<V>) -> Self {
        let questions = Bounded::new(settings.capacity.max(1));
        let wrong_hits = Mutex::new(settings.sample.clone());
        Self { settings, index: OnceLock::new(), questions, wrong_hits, conflicts: AtomicU64::new(0) }
    }

    pub(super) fn stats(&self) -> SimilarityStats {
        let wrong_hits = self.wrong_hits.lock();
        SimilarityStats {
            questions: self.index.get().map_or(0, Index::len) as u64,
            conflicts: self.conflicts.load(Relaxed),
            verified: wrong_hits.verified(),
            wrong: wrong_hits.wrong(),
            wrong_rate: wrong_hits.rate(),
            interval: wrong_hits.interval().map(|interval| (interval.low, interval.high)),
        }
    }

    async fn embed(&self, text: &str) -> Option<Vec<f32>> {
        let vector = self.settings.embedder.embed(text).await;
        if let Err(error) = &vector {
            debug!(error = error as &dyn std::error::Error, "no similar question looked for");
        }
        vector.ok()
    }

    fn nearest(&self, scope: &Fingerprint, vector: &[f32]) -> Vec<Neighbour> {
        let Some(index) = self.index.get() else { return Vec::new() };
        index.nearest(scope, vector, NEAREST).unwrap_or_default()
    }

    /// The nearest question that does not ask for something else.
    fn without_conflict(&self, text: &str, near: &Neighbour) -> Option<Arc<Question>> {
        let question = self.questions.get(&near.id)?;
        let Some(conflict) = conflict(text, &question.text) else { return Some(question) };
        debug!(?conflict, "similar question asks for something else");
        self.conflicts.fetch_add(1, Relaxed);
        None
    }

    fn forget(&self, scope: &Fingerprint, id: &Fingerprint) {
        self.questions.remove(id);
        if let Some(index) = self.index.get() {
            index.remove(scope, id);
        }
    }

    /// Learns from the answer to `key`, and remembers its question unless a near one has the same answer.
    fn learn(&self, key: &Fingerprint, lesson: Lesson<V>, value: &V) {
        let Lesson { scope, text, vector, near, is_check } = lesson;
        if let Some(Near { question, similarity, hit }) = near {
            let correct = (self.settings.same)(&hit.value, value);
            question.evidence.lock().observe(similarity, correct);
            if is_check {
                self.wrong_hits.lock().record(correct);
            }
            if correct {
                return; // The near question stands for this one, too, and goes on being learned about.
            }
        }
        let index = self.index.get_or_init(|| Index::new(vector.len(), self.settings.capacity));
        if let Err(error) = index.insert(scope, *key, &vector) {
            return debug!(error = &error as &dyn std::error::Error, "question not remembered");
        }
        self.questions.insert(*key, Arc::new(Question { text, evidence: Mutex::default() }));
    }
}

impl<V, P> Cache<V, P> {
    /// Learns from what a computation came to.
    pub(super) fn learn(&self, key: &Fingerprint, lesson: Lesson<V>, outcome: &Outcome<&V>) {
        if let (Some(similar), Outcome::Value(value)) = (&self.inner.similar, outcome) {
            similar.learn(key, lesson, value);
        }
    }
}

impl<V, P> Cache<V, P>
where
    V: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    P: Clone + Send + 'static,
{
    /// Says whether the answer to a similar question may be given in place of the one to be computed.
    pub(super) async fn advice(&self, control: &CacheControl) -> Advice<V> {
        let like = control.like.as_ref().filter(|like| like.text.len() <= TEXT_BYTES_MAX);
        let (Some(similar), Some(like)) = (&self.inner.similar, like) else { return Advice::None };
        let Some(vector) = similar.embed(&like.text).await else { return Advice::None };
        let near = self.near(similar, &like.scope, &like.text, &vector, control).await;
        let lesson = |near, is_check| {
            let (scope, text) = (like.scope, like.text.clone());
            Lesson { scope, text, vector: vector.clone(), near, is_check }
        };
        let Some(near) = near else { return Advice::Compute(lesson(None, false)) };
        let Similarity { bound, random, .. } = &similar.settings;
        let decision = near.question.evidence.lock().decide(near.similarity, *bound, random());
        match decision {
            Decision::Explore => Advice::Compute(lesson(Some(near), false)),
            Decision::Exploit => {
                let hit = near.hit.clone();
                let is_checked = similar.wrong_hits.lock().should_verify(random());
                Advice::Give(hit, is_checked.then(|| lesson(Some(near), true)))
            }
        }
    }

    /// The answer to the nearest question that asks for the same, as far as can be told.
    async fn near(
        &self,
        similar: &Similar<V>,
        scope: &Fingerprint,
        text: &str,
        vector: &[f32],
        control: &CacheControl,
    ) -> Option<Near<V>> {
        for near in similar.nearest(scope, vector) {
            let Some(question) = similar.without_conflict(text, &near) else { continue };
            match self.look(&near.id, control).await.0 {
                Ok(Known::Answer(hit)) => {
                    let hit = Hit { similarity: Some(near.similarity), ..hit };
                    return Some(Near { question, similarity: near.similarity, hit });
                }
                Ok(Known::Refusal(_)) | Err(_) => similar.forget(scope, &near.id),
            }
        }
        None
    }
}
