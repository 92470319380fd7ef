mod code;
mod graph;
mod rows;
mod scope;
mod walk;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, RwLock};

use self::scope::Scope;
use super::{Neighbour, nearest::unit};
use crate::{Error, Fingerprint, Result};

/// Up to this many vectors of a scope are searched by looking at each; past it, walking the graph is quicker.
const LINEAR: usize = 1024;

/// How many useful vectors get another turn, at most, before one goes all the same.
const SECOND_CHANCES: usize = 16;

/// Vectors found by nearness, each within its scope only.
///
/// A scope is the fingerprint of everything that must be the same before two texts may be compared: the request
/// without its last user text. Similarity is the cosine of the angle, from −1 to 1; vectors are scaled to
/// length 1 when they are kept.
///
/// A scope of up to 1,024 vectors is searched by looking at each: exact. A larger one is searched by walking a
/// graph (HNSW), which finds about 99 in 100 of the nearest where texts gather in clusters, as questions do,
/// and far fewer where every direction is as likely as another; how many, and how long it takes, is in
/// `docs/performance.md`. What is found is measured exactly either way.
///
/// # What goes first
/// All scopes together hold up to `capacity` vectors, about six bytes for each dimension and 500 more. When one
/// too many is inserted, the one inserted longest ago goes, unless it was the nearest found by a search since:
/// then it has another turn, as if it had just been inserted (the clock of page replacement). A scope goes with
/// its last vector.
///
/// # Threads
/// Searches run side by side. Changes are made one at a time, each in bounded steps, and a search waits only
/// while the outcome of such a step is written down: microseconds, or a few milliseconds when a table doubles. A
/// change to a scope of 100,000 vectors computes for less than a millisecond as a rule; the one in which a scope
/// falls to half its room copies what is left, and searches look at each vector until the graph has grown again.
/// No vector that was removed or replaced, or is of another scope, is ever found.
///
/// ```
/// use aic_cache::{Fingerprint, Tenant, semantic::{Index, NgramEmbedder}};
///
/// let (index, embedder) = (Index::new(384, 100_000), NgramEmbedder::new(384));
/// let scope = Fingerprint::of("scope 1", &Tenant::default(), "model, settings and the talk so far")?;
/// for text in ["How do I repair a bicycle?", "What is the capital of France?"] {
///     let id = Fingerprint::of("question 1", &Tenant::default(), text)?;
///     index.insert(scope, id, &embedder.vector(text))?;
/// }
///
/// let found = index.nearest(&scope, &embedder.vector("how can I repair my bicycle"), 1)?;
///
/// assert_eq!(found[0].id, Fingerprint::of("question 1", &Tenant::default(), "How do I repair a bicycle?")?);
/// # Ok::<(), aic_cache::Error>(())
/// ```
#[derive(Debug)]
pub struct Index {
    dimensions: usize,
    linear: usize,
    capacity: usize,
    len: AtomicUsize,
    scopes: RwLock<HashMap<Fingerprint, Arc<Scope>>>,
    /// Held by whoever changes anything.
    turns: Mutex<Turns>,
}

/// The order in which vectors go.
#[derive(Debug, Default)]
struct Turns {
    next: u64,
    entries: BTreeMap<u64, (Fingerprint, Fingerprint)>,
}

impl Index {
    /// An empty index of vectors of `dimensions` numbers, up to `capacity` of them, at least 1.
    pub fn new(dimensions: usize, capacity: usize) -> Self {
        Self::with_linear(dimensions, capacity, LINEAR)
    }

    fn with_linear(dimensions: usize, capacity: usize, linear: usize) -> Self {
        Self {
            dimensions,
            linear,
            capacity: capacity.max(1),
            len: AtomicUsize::new(0),
            scopes: RwLock::default(),
            turns: Mutex::default(),
        }
    }

    /// Keeps `vector` under `id` in `scope`, in place of an older one under the same two.
    ///
    /// A vector without a direction (zero, or with a number that is not finite) is near nothing: it is not
    /// kept, and an older one goes.
    ///
    /// # Errors
    /// [`Error::Dimensions`] if `vector` has another length than the index is for.
    pub fn insert(&self, scope: Fingerprint, id: Fingerprint, vector: &[f32]) -> Result<()> {
        Self::check(self.dimensions, vector.len())?;
        let Some(vector) = unit(vector) else {
            self.remove(&scope, &id);
            return Ok(());
        };
        let mut turns = self.turns.lock();
        let turn = turns.take((scope, id));
        let held = self.scope_or_new(scope);
        if let Some(replaced) = held.put(id, &vector, turn) {
            turns.entries.remove(&replaced);
        }
        while turns.entries.len() > self.capacity {
            self.evict(&mut turns);
        }
        self.len.store(turns.entries.len(), Relaxed);
        held.tend();
        Ok(())
    }

    /// The `count` vectors of `scope` nearest to `query`, nearest first; fewer if there are fewer.
    ///
    /// A query without a direction finds nothing. Finding a vector as the nearest of all counts as a use of it.
    ///
    /// # Errors
    /// [`Error::Dimensions`] if `query` has another length than the index is for.
    pub fn nearest(&self, scope: &Fingerprint, query: &[f32], count: usize) -> Result<Vec<Neighbour>> {
        Self::check(query.len(), self.dimensions)?;
        let (Some(query), Some(scope)) = (unit(query), self.scope(scope)) else { return Ok(Vec::new()) };
        Ok(scope.nearest(&query, count))
    }

    /// Removes what is kept under `id` in `scope`; whether there was something.
    pub fn remove(&self, scope: &Fingerprint, id: &Fingerprint) -> bool {
        let mut turns = self.turns.lock();
        let removed = self.remove_from(scope, id);
        if let Some(turn) = removed {
            turns.entries.remove(&turn);
            self.len.store(turns.entries.len(), Relaxed);
        }
        removed.is_some()
    }

    /// How many vectors are kept, in all scopes.
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Whether no vector is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn check(query: usize, vector: usize) -> Result<()> {
        if query == vector { Ok(()) } else { Err(Error::Dimensions { query, vector }) }
    }

    fn scope(&self, scope: &Fingerprint) -> Option<Arc<Scope>> {
        self.scopes.read().get(scope).cloned()
    }

    fn scope_or_new(&self, scope: Fingerprint) -> Arc<Scope> {
        self.scope(&scope).unwrap_or_else(|| {
            let new = Arc::new(Scope::new(self.dimensions, self.linear));
            self.scopes.write().insert(scope, new.clone());
            new
        })
    }

    /// Makes room for one vector.
    fn evict(&self, turns: &mut Turns) {
        for chance in 0.. {
            let Some((_, (scope, id))) = turns.entries.pop_first() else { return };
            // the turn it will have if it is spared
            let turn = turns.next;
            let spared =
                chance < SECOND_CHANCES && self.scope(&scope).is_some_and(|held| held.renew(&id, turn));
            if !spared {
                self.remove_from(&scope, &id);
                return;
            }
            turns.take((scope, id));
        }
    }

    fn remove_from(&self, scope: &Fingerprint, id: &Fingerprint) -> Option<u64> {
        let held = self.scope(scope)?;
        let removed = held.remove(id);
        if held.is_empty() {
            self.scopes.write().remove(scope);
        } else {
            held.tend();
        }
        removed
    }
}

impl Turns {
    fn take(&mut self, entry: (Fingerprint, Fingerprint)) -> u64 {
        let turn = self.next;
        self.next += 1;
        self.entries.insert(turn, entry);
        turn
    }
}

#[cfg(test)]
mod tests;
