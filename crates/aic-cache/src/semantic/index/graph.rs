use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use super::{
    code::Code,
    rows::Rows,
    walk::{Candidate, Nearest, View, Visited},
};

/// Links of a node on the levels above the lowest (M of the paper).
const LINKS: usize = 16;

/// Links on the lowest level, twice as many, as the paper recommends (M_max0).
const BASE_LINKS: usize = 2 * LINKS;

/// Candidates kept while a new node looks for its neighbours (efConstruction).
const BUILD_WIDTH: usize = 100;

/// A place for a link that holds none.
const NONE: u32 = u32::MAX;

/// A hierarchical navigable small world: a graph in which walking to whichever neighbour is nearest to a query
/// leads to the nodes nearest to it.
///
/// After [Malkov and Yashunin 2018](https://arxiv.org/abs/1603.09320), algorithms 1, 2, 4 and 5. A node lies on
/// the lowest level, and on each higher one with a sixteenth of the chance. Changes are worked out from `&self`
/// as [`Change`]s and carried out afterwards, so that searches wait for the writing of a few lists only.
///
/// The paper has no removal. Here a removed node goes on leading searches, without being found, until
/// [`mended`](Self::mended) has led every list around it: the neighbours of the removed take its place
/// (as deletes are consolidated in FreshDiskANN, [Singh et al. 2021](https://arxiv.org/abs/2105.09613), but
/// with the selection above, and a few nodes at a time).
#[derive(Debug)]
pub(super) struct Graph {
    /// Links on the lowest level, [`NONE`] after the last.
    base: Rows<u32>,
    nodes: usize,
    /// Links on the levels above, of the few nodes that have any.
    upper: HashMap<u32, Vec<Vec<u32>>>,
    /// Where every walk begins: a node on the highest level.
    entry: Option<u32>,
}

/// New lists of links, not yet in the graph.
#[derive(Debug, Default)]
pub(super) struct Change {
    lists: Vec<(u32, usize, Vec<u32>)>,
    joins: Option<Joiner>,
}

/// A node that comes into the graph.
#[derive(Clone, Copy, Debug)]
struct Joiner {
    node: u32,
    level: usize,
    /// Whether no live node was found that could lead to it.
    alone: bool,
}

impl Change {
    pub(super) fn append(&mut self, other: Change) {
        self.lists.extend(other.lists);
        self.joins = self.joins.or(other.joins);
    }
}

impl Graph {
    pub(super) fn new() -> Self {
        Self { base: Rows::new(BASE_LINKS), nodes: 0, upper: HashMap::new(), entry: None }
    }

    /// Makes room for one more node, which is not linked yet.
    pub(super) fn push(&mut self) {
        self.base.push(&[NONE; BASE_LINKS]);
        self.nodes += 1;
    }

    /// Up to `width` of the live nodes nearest to `query`, nearest first.
    pub(super) fn search<L: Fn(u32) -> bool>(
        &self,
        view: &View<'_, L>,
        query: Code<'_>,
        width: usize,
    ) -> Vec<u32> {
        let Some(entry) = self.entry else { return Vec::new() };
        let nearest = self.descend(view, query, entry, 0);
        self.search_level(view, query, &[nearest], width, 0).into_iter().map(|found| found.node).collect()
    }

    /// Walks greedily from the entry down to the level above `level`.
    fn descend<L: Fn(u32) -> bool>(
        &self,
        view: &View<'_, L>,
        query: Code<'_>,
        entry: u32,
        level: usize,
    ) -> Candidate {
        let mut nearest = view.candidate(query, entry);
        for level in (level + 1..=self.top(entry)).rev() {
            while let Some(nearer) = self.step(view, query, nearest, level) {
                nearest = nearer;
            }
        }
        nearest
    }

    /// The neighbour nearest to `query`, if it is nearer than `from`.
    fn step<L: Fn(u32) -> bool>(
        &self,
        view: &View<'_, L>,
        query: Code<'_>,
        from: Candidate,
        level: usize,
    ) -> Option<Candidate> {
        let neighbours = self.links(from.node, level).map(|node| view.candidate(query, node));
        neighbours.max().filter(|nearest| *nearest > from)
    }

    /// Algorithm 2: from `starts`, looks at the neighbours of the nearest until `width` live nodes are known and
    /// what is left to look at is farther than all of them.
    fn search_level<L: Fn(u32) -> bool>(
        &self,
        view: &View<'_, L>,
        query: Code<'_>,
        starts: &[Candidate],
        width: usize,
        level: usize,
    ) -> Vec<Candidate> {
        let mut visited = Visited::new(self.nodes);
        let mut nearest = Nearest::new(width);
        let mut frontier = BinaryHeap::new();
        for start in starts.iter().filter(|start| visited.insert(start.node)) {
            nearest.offer(*start, view);
            frontier.push(*start);
        }
        let mut fresh = Vec::with_capacity(BASE_LINKS);
        while let Some(next) = frontier.pop().filter(|next| !nearest.is_beyond(*next)) {
            fresh.clear();
            fresh.extend(self.links(next.node, level).filter(|node| visited.insert(*node)));
            view.codes.touch(&fresh);
            for &node in &fresh {
                let candidate = view.candidate(query, node);
                if nearest.admits(candidate) {
                    nearest.offer(candidate, view);
                    frontier.push(candidate);
                }
            }
        }
        nearest.into_sorted()
    }

    /// Algorithm 1: the lists that change when `node` joins on the lowest level and `level` above it.
    pub(super) fn joined<L: Fn(u32) -> bool>(&self, view: &View<'_, L>, node: u32, level: usize) -> Change {
        let mut joiner = Joiner { node, level, alone: true };
        let mut lists = Vec::new();
        if let Some(entry) = self.entry {
            let query = view.codes.get(node);
            let mut starts = vec![self.descend(view, query, entry, level)];
            for level in (0..=level.min(self.top(entry))).rev() {
                let found = self.search_level(view, query, &starts, BUILD_WIDTH, level);
                let neighbours = select(view, &found, LINKS);
                lists.extend(
                    neighbours.iter().map(|&near| (near, level, self.with_link(view, near, node, level))),
                );
                lists.push((node, level, neighbours));
                joiner.alone = found.is_empty();
                starts = if joiner.alone { starts } else { found };
            }
        }
        Change { lists, joins: Some(joiner) }
    }

    /// The links of `node` with one to `other`, the least useful left out if there are too many.
    fn with_link<L: Fn(u32) -> bool>(
        &self,
        view: &View<'_, L>,
        node: u32,
        other: u32,
        level: usize,
    ) -> Vec<u32> {
        let links: Vec<u32> = self.links(node, level).chain([other]).collect();
        if links.len() <= capacity(level) {
            return links;
        }
        let links = links.into_iter().filter(|&link| link == other || view.is_live(link));
        select(view, &ranked(view, node, links), capacity(level))
    }

    /// The lists of `node` that lead to a `condemned` one, led around it.
    pub(super) fn mended<L: Fn(u32) -> bool>(
        &self,
        view: &View<'_, L>,
        node: u32,
        condemned: impl Fn(u32) -> bool,
    ) -> Change {
        let mut change = Change::default();
        for level in 0..=self.top(node) {
            if self.links(node, level).any(&condemned) {
                let around = self.links(node, level).flat_map(|link| self.instead(&condemned, link, level));
                let around = around.filter(|&link| link != node && view.is_live(link));
                let mut links = select(view, &ranked(view, node, around), capacity(level));
                // What was linked stays if there is room: the selection among more leaves fewer.
                let others =
                    self.links(node, level).filter(|&link| view.is_live(link) && !links.contains(&link));
                let others: Vec<u32> = others.take(capacity(level) - links.len()).collect();
                links.extend(others);
                change.lists.push((node, level, links));
            }
        }
        change
    }

    /// `link`, or the links of it if it is condemned.
    fn instead(&self, condemned: &impl Fn(u32) -> bool, link: u32, level: usize) -> Vec<u32> {
        if condemned(link) { self.links(link, level).collect() } else { vec![link] }
    }

    /// Carries out `change`.
    pub(super) fn apply(&mut self, change: Change) {
        if let Some(joiner) = change.joins {
            self.admit(joiner);
        }
        for (node, level, links) in change.lists {
            self.set_links(node, level, links);
        }
    }

    fn admit(&mut self, Joiner { node, level, alone }: Joiner) {
        self.set_links(node, 0, Vec::new());
        if level > 0 {
            self.upper.insert(node, vec![Vec::new(); level]);
        }
        if alone || self.entry.is_none_or(|entry| level > self.top(entry)) {
            self.entry = Some(node);
        }
    }

    /// Forgets `nodes`, to which no list leads any more; if walks began at one, they begin at another, or at
    /// `rest` if none is on a higher level.
    pub(super) fn forget(&mut self, nodes: &[u32], rest: Option<u32>) {
        for node in nodes {
            self.upper.remove(node);
        }
        if self.entry.is_some_and(|entry| nodes.contains(&entry)) {
            let highest = self
                .upper
                .iter()
                .max_by_key(|(node, levels)| (levels.len(), Reverse(**node)))
                .map(|(&node, _)| node);
            self.entry = highest.or(rest);
        }
    }

    fn top(&self, node: u32) -> usize {
        self.upper.get(&node).map_or(0, Vec::len)
    }

    fn links(&self, node: u32, level: usize) -> impl Iterator<Item = u32> + '_ {
        let links = match level {
            0 => self.base.row(node),
            _ => {
                self.upper.get(&node).and_then(|levels| levels.get(level - 1)).map_or(&[][..], Vec::as_slice)
            }
        };
        links.iter().copied().take_while(|&link| link != NONE)
    }

    fn set_links(&mut self, node: u32, level: usize, links: Vec<u32>) {
        if level > 0 {
            if let Some(list) = self.upper.get_mut(&node).and_then(|levels| levels.get_mut(level - 1)) {
                *list = links;
            }
            return;
        }
        let row = self.base.row_mut(node);
        row.fill(NONE);
        row[..links.len()].copy_from_slice(&links);
    }
}

fn capacity(level: usize) -> usize {
    if level == 0 { BASE_LINKS } else { LINKS }
}

/// `links` as candidates for `node`, nearest first, each once.
fn ranked<L: Fn(u32) -> bool>(
    view: &View<'_, L>,
    node: u32,
    links: impl Iterator<Item = u32>,
) -> Vec<Candidate> {
    let mut links: Vec<u32> = links.collect();
    links.sort_unstable();
    links.dedup();
    let code = view.codes.get(node);
    let mut candidates: Vec<_> = links.into_iter().map(|link| view.candidate(code, link)).collect();
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    candidates
}

/// Algorithm 4: the nearest of `candidates`, but none that is nearer to one already chosen than to the node, so
/// that links lead in different directions. Places may stay empty: filling them with the others made searches
/// slower and found no more.
fn select<L: Fn(u32) -> bool>(view: &View<'_, L>, candidates: &[Candidate], count: usize) -> Vec<u32> {
    let mut chosen: Vec<u32> = Vec::with_capacity(count);
    for candidate in candidates {
        let code = view.codes.get(candidate.node);
        let hidden =
            chosen.iter().any(|&other| code.similarity(view.codes.get(other)) > candidate.similarity);
        if !hidden {
            chosen.push(candidate.node);
        }
        if chosen.len() == count {
            break;
        }
    }
    chosen
}

#[cfg(test)]
impl Graph {
    /// The links of `node` on all levels.
    pub(super) fn all_links(&self, node: u32) -> Vec<u32> {
        (0..=self.top(node)).flat_map(|level| self.links(node, level)).collect()
    }
}
