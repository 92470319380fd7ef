use std::collections::{BTreeMap, HashMap};

use super::key::Key;

/// The pages of keys and values: how many sequences hold each, and which full ones can be used again.
///
/// A page is free, held, or cached: published and held by nobody. Of the cached, the one that was let go first is the first to be
/// taken for something else.
pub(super) struct Pages {
    pages: Vec<Page>,
    free: Vec<u32>,
    /// Published pages, held or not.
    published: HashMap<Key, u32>,
    /// Published pages that nobody holds, by when they were let go.
    cached: BTreeMap<u64, u32>,
    /// Counts what was let go.
    releases: u64,
}

#[derive(Clone, Copy, Default)]
struct Page {
    /// Sequences that hold it.
    holders: u32,
    /// What it holds, once published.
    key: Option<Key>,
    /// When it was let go; its key in `cached`.
    released: u64,
    /// Whether it has been written to since its memory was given back.
    used: bool,
}

impl Pages {
    /// Pages numbered from 0, all free.
    pub(super) fn new(count: usize) -> Self {
        let numbers = u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            pages: vec![Page::default(); numbers as usize],
            free: (0..numbers).rev().collect(),
            published: HashMap::new(),
            cached: BTreeMap::new(),
            releases: 0,
        }
    }

    /// Pages that can be taken.
    pub(super) fn available(&self) -> usize {
        self.free.len() + self.cached.len()
    }

    /// Pages that hold nothing of use.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// Pages that nobody holds and that could be used again.
    pub(super) fn cached(&self) -> usize {
        self.cached.len()
    }

    /// Pages that somebody holds.
    pub(super) fn held(&self) -> usize {
        self.pages.len() - self.available()
    }

    /// A page to write to, held once; `None` if all are held.
    pub(super) fn take(&mut self) -> Option<u32> {
        let number = self.free.pop().or_else(|| self.evict())?;
        let page = self.page(number);
        (page.holders, page.used) = (1, true);
        Some(number)
    }

    /// The page published under `key`, held once more.
    pub(super) fn share(&mut self, key: &Key) -> Option<u32> {
        let number = *self.published.get(key)?;
        let page = self.page(number);
        page.holders += 1;
        if page.holders == 1 {
            let released = page.released;
            self.cached.remove(&released);
        }
        Some(number)
    }

    /// Lets others use the full page `number` under `key`. Returns the page to hold from now on: another, if the same was
    /// published before.
    pub(super) fn publish(&mut self, number: u32, key: Key) -> u32 {
        if self.page(number).key.is_some() {
            return number;
        }
        if let Some(same) = self.share(&key) {
            self.release(number);
            return same;
        }
        self.page(number).key = Some(key);
        self.published.insert(key, number);
        number
    }

    /// One holder less.
    pub(super) fn release(&mut self, number: u32) {
        self.releases += 1;
        let released = self.releases;
        let page = self.page(number);
        page.holders -= 1;
        if page.holders > 0 {
            return;
        }
        page.released = released;
        if page.key.is_some() {
            self.cached.insert(released, number);
        } else {
            self.free.push(number);
        }
    }

    /// One holder less for each of a sequence's pages. The last are let go first: without the first of a chain the others are
    /// never found.
    pub(super) fn release_all(&mut self, numbers: &[u32]) {
        numbers.iter().rev().for_each(|number| self.release(*number));
    }

    /// Free pages that have memory; the caller gives it back.
    pub(super) fn trim(&mut self) -> Vec<u32> {
        let free = std::mem::take(&mut self.free);
        let trimmed =
            free.iter().copied().filter(|number| std::mem::take(&mut self.page(*number).used)).collect();
        self.free = free;
        trimmed
    }

    fn evict(&mut self) -> Option<u32> {
        let (_, number) = self.cached.pop_first()?;
        if let Some(key) = self.page(number).key.take() {
            self.published.remove(&key);
        }
        Some(number)
    }

    fn page(&mut self, number: u32) -> &mut Page {
        &mut self.pages[number as usize]
    }

    /// Checks that everything agrees with everything, where `held` lists the pages of all sequences.
    #[cfg(test)]
    pub(super) fn check(&self, held: impl IntoIterator<Item = u32>) {
        let mut holders = vec![0; self.pages.len()];
        held.into_iter().for_each(|number| holders[number as usize] += 1);
        let mut free = self.free.clone();
        free.sort_unstable();
        for (number, page) in (0..).zip(&self.pages) {
            assert_eq!(page.holders, holders[number as usize], "holders of page {number}");
            let is_free = free.binary_search(&number).is_ok();
            let is_cached = self.cached.get(&page.released) == Some(&number);
            let is_held = page.holders > 0;
            assert_eq!(u8::from(is_free) + u8::from(is_cached) + u8::from(is_held), 1, "page {number}");
            assert!(!(is_free && page.key.is_some()), "free page {number} is published");
            if let Some(key) = page.key {
                assert_eq!(self.published.get(&key), Some(&number));
            }
        }
        let keys = self.pages.iter().filter(|page| page.key.is_some()).count();
        assert_eq!(self.published.len(), keys);
        free.dedup();
        assert_eq!((free.len(), self.held()), (self.free.len(), holders.iter().filter(|n| **n > 0).count()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tokens: &[u32]) -> Vec<Key> {
        let mut keys = Vec::new();
        Key::extend(&mut keys, tokens, 1);
        keys
    }

    /// A chain of pages, published and let go.
    fn cached_chain(pages: &mut Pages, keys: &[Key]) -> Vec<u32> {
        let chain: Vec<u32> = keys.iter().map(|_| pages.take().unwrap()).collect();
        chain.iter().zip(keys).for_each(|(page, key)| assert_eq!(pages.publish(*page, *key), *page));
        pages.release_all(&chain);
        chain
    }

    #[test]
    fn pages_run_out_and_come_back() {
        let mut pages = Pages::new(2);
        let (a, b) = (pages.take().unwrap(), pages.take().unwrap());
        assert_ne!(a, b);
        assert_eq!(pages.take(), None);

        pages.release(a);

        assert_eq!(pages.take(), Some(a));
        pages.check([a, b]);
    }

    #[test]
    fn free_pages_are_trimmed_once_for_each_use() {
        let mut pages = Pages::new(4);
        let (held, free) = (pages.take().unwrap(), pages.take().unwrap());
        let cached = cached_chain(&mut pages, &keys(&[1]))[0];
        pages.release(free);

        assert_eq!(pages.trim(), [free], "not {held}, which is held, nor {cached}, which can be used again");
        assert_eq!(pages.trim(), [0; 0]);
        assert_eq!(pages.take(), Some(free));
        pages.release(free);
        assert_eq!(pages.trim(), [free]);
        pages.check([held]);
    }

    #[test]
    fn shared_page_is_free_of_holders_only_after_the_last() {
        let mut pages = Pages::new(1);
        let key = keys(&[1])[0];
        let page = pages.take().unwrap();
        pages.publish(page, key);
        assert_eq!(pages.share(&key), Some(page));

        pages.release(page);
        assert_eq!((pages.available(), pages.take()), (0, None));
        pages.release(page);

        assert_eq!((pages.available(), pages.cached()), (1, 1));
        assert_eq!(pages.share(&key), Some(page));
        pages.check([page]);
    }

    #[test]
    fn cached_pages_go_oldest_first_and_each_chain_from_its_end() {
        let mut pages = Pages::new(4);
        let (old, new) = (keys(&[1, 2]), keys(&[3, 4]));
        let old_chain = cached_chain(&mut pages, &old);
        let new_chain = cached_chain(&mut pages, &new);

        assert_eq!(pages.take(), Some(old_chain[1]));
        assert_eq!(pages.share(&old[1]), None, "what was evicted is not found");
        assert_eq!(pages.take(), Some(old_chain[0]));
        assert_eq!(pages.take(), Some(new_chain[1]));
        assert_eq!(pages.share(&new[0]), Some(new_chain[0]));
        assert_eq!(pages.take(), None, "what is held is not evicted");
    }

    #[test]
    fn use_makes_a_cached_chain_the_newest() {
        let mut pages = Pages::new(2);
        let keys = [keys(&[1])[0], keys(&[2])[0]];
        let [first, second] = keys.map(|key| cached_chain(&mut pages, &[key])[0]);

        pages.share(&keys[0]);
        pages.release(first);

        assert_eq!(pages.take(), Some(second));
    }

    #[test]
    fn page_published_before_takes_the_place_of_the_second() {
        let mut pages = Pages::new(2);
        let key = keys(&[1])[0];
        let (first, second) = (pages.take().unwrap(), pages.take().unwrap());

        assert_eq!(pages.publish(first, key), first);
        assert_eq!(pages.publish(second, key), first);

        assert_eq!(pages.free(), 1);
        pages.check([first, first]);
    }
}
