use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use parking_lot::RwLock;
use twox_hash::XxHash3_64;

use super::{
    code::{Codes, OwnCode},
    graph::{Change, Graph},
    rows::Rows,
    walk::View,
};
use crate::{
    Fingerprint,
    semantic::{Neighbour, nearest},
};

/// Candidates of a walk that are measured exactly (ef of the paper).
const WIDTH: usize = 64;

/// Vectors that join the graph with each change of a scope that has grown past `linear`.
const JOINS: usize = 4;

/// Nodes that are led around removed ones with each change.
const MENDS: u32 = 8;

/// One part in this many of the nodes may be removed ones before they are led around.
const REMOVED_SHARE: usize = 8;

/// The vectors of one scope, each in a slot: in the graph, or in a tail that is searched one by one.
///
/// Searches share the lock. One writer at a time, which the index sees to, works out a change while searches
/// go on, and holds them up only while it writes the change down.
#[derive(Debug)]
pub(super) struct Scope {
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    slots: HashMap<Fingerprint, u32>,
    owners: Vec<Owner>,
    places: Vec<Place>,
    vectors: Rows<f32>,
    codes: Codes,
    free: Vec<u32>,
    tail: Vec<u32>,
    graph: Graph,
    removed: usize,
    /// The node at which leading around the condemned goes on.
    mending: Option<u32>,
    dimensions: usize,
    linear: usize,
}

#[derive(Debug)]
struct Owner {
    id: Fingerprint,
    turn: u64,
    useful: AtomicBool,
}

/// Where the vector in a slot is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The slot is empty.
    Free,
    /// One by one.
    Tail,
    /// By the graph.
    Graph,
    /// Nowhere, but walks still lead over it.
    Removed,
    /// Nowhere, and no list will lead to it when the mending that goes on is over.
    Condemned,
}

/// One bounded piece of work that a change of the scope leaves behind.
enum Task {
    Join(u32, Change),
    Mend(u32, Change),
}

impl Scope {
    /// Up to `linear` vectors are searched by looking at each.
    pub(super) fn new(dimensions: usize, linear: usize) -> Self {
        Self { state: RwLock::new(State::new(dimensions, linear)) }
    }

    pub(super) fn nearest(&self, query: &[f32], count: usize) -> Vec<Neighbour> {
        self.state.read().nearest(query, count)
    }

    /// Keeps `vector`, of length 1, and returns the turn of the one it replaces.
    pub(super) fn put(&self, id: Fingerprint, vector: &[f32], turn: u64) -> Option<u64> {
        let code = OwnCode::of(vector);
        let mut state = self.state.write();
        let replaced = state.remove(&id);
        state.put(id, vector, &code, turn);
        replaced
    }

    /// Returns the turn of the removed.
    pub(super) fn remove(&self, id: &Fingerprint) -> Option<u64> {
        self.state.write().remove(id)
    }

    /// Gives `id` another turn if it was of use since its last one.
    pub(super) fn renew(&self, id: &Fingerprint, turn: u64) -> bool {
        let mut state = self.state.write();
        let Some(slot) = state.slots.get(id).copied() else { return false };
        let owner = &mut state.owners[slot as usize];
        let useful = std::mem::take(owner.useful.get_mut());
        if useful {
            owner.turn = turn;
        }
        useful
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.read().slots.is_empty()
    }

    /// Does the share of the upkeep that falls to one change: a few vectors join the graph, a few lists are led
    /// around removed ones.
    pub(super) fn tend(&self) {
        for _ in 0..JOINS {
            self.work(State::next_join);
        }
        self.state.write().condemn();
        self.work(State::next_mend);
        let compact = self.state.read().compacted();
        if let Some(mut state) = compact {
            std::mem::swap(&mut *self.state.write(), &mut state);
        }
    }

    fn work(&self, next: impl FnOnce(&State) -> Option<Task>) {
        let task = next(&self.state.read());
        if let Some(task) = task {
            self.state.write().carry_out(task);
        }
    }
}

impl State {
    fn new(dimensions: usize, linear: usize) -> Self {
        Self {
            slots: HashMap::new(),
            owners: Vec::new(),
            places: Vec::new(),
            vectors: Rows::new(dimensions),
            codes: Codes::new(dimensions),
            free: Vec::new(),
            tail: Vec::new(),
            graph: Graph::new(),
            removed: 0,
            mending: None,
            dimensions,
            linear,
        }
    }

    fn nearest(&self, query: &[f32], count: usize) -> Vec<Neighbour> {
        let width = WIDTH.max(count.saturating_mul(2)).min(self.slots.len());
        let walked = self.graph.search(&self.view(), OwnCode::of(query).as_code(), width);
        let slots = self.tail.iter().chain(&walked).map(|&slot| (slot, self.vectors.row(slot)));
        let found =
            nearest(query, slots, count).expect("queries and vectors have the dimensions of the index");
        if let Some(first) = found.first() {
            self.owners[first.id as usize].useful.store(true, Relaxed);
        }
        let id = |slot: u32| self.owners[slot as usize].id;
        found.into_iter().map(|near| Neighbour { id: id(near.id), similarity: near.similarity }).collect()
    }

    fn view(&self) -> View<'_, impl Fn(u32) -> bool> {
        View { codes: &self.codes, live: |node: u32| self.places[node as usize] == Place::Graph }
    }

    fn put(&mut self, id: Fingerprint, vector: &[f32], code: &OwnCode, turn: u64) {
        let owner = Owner { id, turn, useful: AtomicBool::new(false) };
        let slot = match self.free.pop() {
            Some(slot) => self.reuse(slot, owner, vector, code),
            None => self.append(owner, vector, code),
        };
        self.tail.push(slot);
        self.slots.insert(id, slot);
    }

    fn reuse(&mut self, slot: u32, owner: Owner, vector: &[f32], code: &OwnCode) -> u32 {
        self.owners[slot as usize] = owner;
        self.places[slot as usize] = Place::Tail;
        self.vectors.row_mut(slot).copy_from_slice(vector);
        self.codes.set(slot, code.as_code());
        slot
    }

    fn append(&mut self, owner: Owner, vector: &[f32], code: &OwnCode) -> u32 {
        self.owners.push(owner);
        self.places.push(Place::Tail);
        self.vectors.push(vector);
        self.codes.push(code.as_code());
        self.graph.push();
        u32::try_from(self.places.len() - 1).expect("2³² vectors do not fit into memory")
    }

    fn remove(&mut self, id: &Fingerprint) -> Option<u64> {
        let slot = self.slots.remove(id)?;
        let place = &mut self.places[slot as usize];
        if *place == Place::Tail {
            *place = Place::Free;
            self.tail.retain(|&other| other != slot);
            self.free.push(slot);
        } else {
            *place = Place::Removed;
            self.removed += 1;
        }
        Some(self.owners[slot as usize].turn)
    }

    fn next_join(&self) -> Option<Task> {
        let slot = *self.tail.last().filter(|_| self.slots.len() > self.linear)?;
        let id = &self.owners[slot as usize].id;
        Some(Task::Join(slot, self.graph.joined(&self.view(), slot, level(id))))
    }

    /// Begins to lead around the removed if they have become many.
    fn condemn(&mut self) {
        if self.mending.is_none() && self.removed > self.places.len() / REMOVED_SHARE {
            self.exchange(Place::Removed, Place::Condemned);
            self.mending = Some(0);
        }
    }

    fn next_mend(&self) -> Option<Task> {
        let first = self.mending?;
        let end = first.saturating_add(MENDS).min(self.places.len() as u32);
        let mut change = Change::default();
        for node in (first..end).filter(|&node| self.in_graph(node)) {
            change.append(self.graph.mended(&self.view(), node, |link| self.is_condemned(link)));
        }
        Some(Task::Mend(end, change))
    }

    fn in_graph(&self, node: u32) -> bool {
        matches!(self.places[node as usize], Place::Graph | Place::Removed)
    }

    fn is_condemned(&self, node: u32) -> bool {
        self.places[node as usize] == Place::Condemned
    }

    fn carry_out(&mut self, task: Task) {
        match task {
            Task::Join(slot, change) => {
                self.graph.apply(change);
                self.places[slot as usize] = Place::Graph;
                self.tail.retain(|&other| other != slot);
            }
            Task::Mend(end, change) => {
                self.graph.apply(change);
                self.mending = Some(end);
                if end as usize == self.places.len() {
                    self.bury();
                }
            }
        }
    }

    /// Empties the slots of the condemned, to which no list leads any more.
    fn bury(&mut self) {
        self.mending = None;
        let buried = self.exchange(Place::Condemned, Place::Free);
        self.removed -= buried.len();
        let rest = (0..).zip(&self.places).find(|(_, place)| **place == Place::Graph);
        self.graph.forget(&buried, rest.map(|(slot, _)| slot));
        self.free.extend(buried);
    }

    /// Moves everything in one place to another.
    fn exchange(&mut self, from: Place, to: Place) -> Vec<u32> {
        let slots = (0..).zip(&mut self.places).filter(|(_, place)| **place == from);
        slots.map(|(slot, place)| (*place = to, slot).1).collect()
    }

    /// The same vectors without the room of others, if that is more than half; all in the tail.
    fn compacted(&self) -> Option<State> {
        if self.places.len() <= 2 * self.slots.len() + self.linear / 4 {
            return None;
        }
        let mut state = State::new(self.dimensions, self.linear);
        for (&id, &slot) in &self.slots {
            let (vector, owner) = (self.vectors.row(slot), &self.owners[slot as usize]);
            state.put(id, vector, &OwnCode::of(vector), owner.turn);
            state.owners.last_mut().expect("one was just put").useful =
                AtomicBool::new(owner.useful.load(Relaxed));
        }
        Some(state)
    }
}

/// The highest level of a vector: one more with a sixteenth of the chance, drawn from its identity so that a
/// graph is the same each time.
fn level(id: &Fingerprint) -> usize {
    XxHash3_64::oneshot(id.as_bytes()).leading_zeros() as usize / 4
}

#[cfg(test)]
impl Scope {
    /// Slots in use or not.
    pub(super) fn slots(&self) -> usize {
        self.state.read().places.len()
    }

    /// Panics unless every slot is where the others say it is, and no list leads out of the graph.
    pub(super) fn assert_sound(&self) {
        let state = self.state.read();
        let count = |place| state.places.iter().filter(|other| **other == place).count();
        assert_eq!(state.slots.len(), count(Place::Tail) + count(Place::Graph));
        assert_eq!(state.tail.len(), count(Place::Tail));
        assert_eq!(state.free.len(), count(Place::Free));
        assert_eq!(state.removed, count(Place::Removed) + count(Place::Condemned));
        assert!(state.tail.iter().all(|&slot| state.places[slot as usize] == Place::Tail));
        assert!(state.free.iter().all(|&slot| state.places[slot as usize] == Place::Free));
        assert!(state.slots.iter().all(|(id, &slot)| state.owners[slot as usize].id == *id));
        for node in (0..state.places.len() as u32).filter(|&node| state.in_graph(node)) {
            for link in state.graph.all_links(node) {
                assert!(
                    state.in_graph(link) || state.is_condemned(link),
                    "{node} leads to {link}, which is gone"
                );
            }
        }
    }
}
