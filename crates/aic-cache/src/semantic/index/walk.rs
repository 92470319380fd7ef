use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::code::{Code, Codes};

/// A node and how similar it is to what is looked for; the more similar is the greater.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) similarity: f32,
    pub(super) node: u32,
}

/// What the graph has to know of its nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a, L> {
    pub(super) codes: &'a Codes,
    /// Whether the node may be found and linked to.
    pub(super) live: L,
}

impl<L: Fn(u32) -> bool> View<'_, L> {
    pub(super) fn candidate(&self, query: Code<'_>, node: u32) -> Candidate {
        Candidate { similarity: query.similarity(self.codes.get(node)), node }
    }

    pub(super) fn is_live(&self, node: u32) -> bool {
        (self.live)(node)
    }
}

/// The nearest live nodes seen so far, up to `width` of them.
pub(super) struct Nearest {
    width: usize,
    found: BinaryHeap<Reverse<Candidate>>,
}

impl Nearest {
    pub(super) fn new(width: usize) -> Self {
        Self { width, found: BinaryHeap::with_capacity(width + 1) }
    }

    /// Whether everything sought is nearer than `candidate`.
    pub(super) fn is_beyond(&self, candidate: Candidate) -> bool {
        self.found.len() >= self.width && self.found.peek().is_some_and(|farthest| candidate < farthest.0)
    }

    /// Whether `candidate` is among the nearest if it is live.
    pub(super) fn admits(&self, candidate: Candidate) -> bool {
        self.found.len() < self.width || self.found.peek().is_some_and(|farthest| candidate > farthest.0)
    }

    pub(super) fn offer<L: Fn(u32) -> bool>(&mut self, candidate: Candidate, view: &View<'_, L>) {
        if view.is_live(candidate.node) {
            self.found.push(Reverse(candidate));
            if self.found.len() > self.width {
                self.found.pop();
            }
        }
    }

    pub(super) fn into_sorted(self) -> Vec<Candidate> {
        self.found.into_sorted_vec().into_iter().map(|Reverse(candidate)| candidate).collect()
    }
}

/// A bit for each node, 12 KB for 100,000: quicker to clear than a list of stamps is to read.
pub(super) struct Visited(Vec<u64>);

impl Visited {
    pub(super) fn new(nodes: usize) -> Self {
        Self(vec![0; nodes.div_ceil(64)])
    }

    /// Whether `node` was not visited before.
    pub(super) fn insert(&mut self, node: u32) -> bool {
        let (word, bit) = (&mut self.0[node as usize / 64], 1 << (node % 64));
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.similarity.total_cmp(&other.similarity).then_with(|| other.node.cmp(&self.node))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}
