use super::key::Key;
use super::pages::Pages;
use super::request::Request;
use crate::engine::Slice;

/// A request being answered: how far the model has come, and the pages that it fills.
pub(super) struct Sequence {
    pub(super) request: Request,
    /// Its name for the model.
    pub(super) number: u64,
    /// Tokens whose keys and values are in the pages.
    pub(super) done: usize,
    /// Room for all tokens of the request.
    pub(super) pages: Vec<u32>,
}

impl Sequence {
    /// Tokens the model has to run before the next can be chosen; at least one.
    pub(super) fn pending(&self) -> usize {
        self.request.tokens.len() - self.done
    }

    /// Whether the model runs the answer now, and not the prompt or, after a preemption, everything again.
    pub(super) fn is_decoding(&self) -> bool {
        self.pending() == 1 && self.request.tokens.len() > self.request.prompt
    }

    /// The next `count` tokens, as the model sees them.
    pub(super) fn slice(&self, count: usize) -> Slice<'_> {
        Slice {
            sequence: self.number,
            tokens: &self.request.tokens[self.done..][..count],
            start: self.done,
            pages: &self.pages,
            logits: count == self.pending(),
        }
    }

    /// The key of the page to be filled next; `None` if the tokens do not fill it.
    pub(super) fn next_key(&self, page_size: usize) -> Option<&Key> {
        self.request.keys.get(self.done / page_size)
    }

    /// Whether the page to be filled next may come from another sequence. The last token is always run, for its logits.
    pub(super) fn may_adopt(&self, page_size: usize) -> bool {
        self.done / page_size < (self.request.tokens.len() - 1) / page_size
    }

    /// Exchanges pages to be filled for those that others have filled meanwhile. Returns how many tokens that spares.
    pub(super) fn adopt(&mut self, pages: &mut Pages, page_size: usize) -> usize {
        let before = self.done;
        while self.may_adopt(page_size) {
            let Some(filled) = self.next_key(page_size).and_then(|key| pages.share(key)) else { break };
            let at = self.done / page_size;
            pages.release(std::mem::replace(&mut self.pages[at], filled));
            self.done = (at + 1) * page_size;
        }
        self.done - before
    }

    /// `count` more tokens are done; pages that they filled are published.
    pub(super) fn advance(&mut self, count: usize, pages: &mut Pages, page_size: usize) {
        let full_before = self.done / page_size;
        self.done += count;
        for at in full_before..self.done / page_size {
            if let Some(key) = self.request.keys.get(at) {
                self.pages[at] = pages.publish(self.pages[at], *key);
            }
        }
    }
}
