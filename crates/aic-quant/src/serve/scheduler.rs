use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::failure::Failure;
use super::key::Key;
use super::pages::Pages;
use super::queue::Queue;
use super::request::Request;
use super::sequence::Sequence;
use super::shares::shares;
use super::{ServeOptions, ServeStatistics};
use crate::engine::{Slice, Step};
use crate::{Error, Result};

/// Decides which tokens of which requests go through the model together.
///
/// Requests start in the order they came, each when there are pages for its tokens and one more. Every step runs the next token
/// of each answer being written, and as much of the prompts as the budget allows, in equal shares. When pages run out, the
/// youngest request gives its own back and is run again later from its first token that is in no page; what was answered stays.
/// A prompt that begins like another uses the pages of that, also while it is still being filled.
///
/// Continuous batching is that of Orca (Yu et al. 2022), pages those of vLLM ([Kwon et al. 2023](https://arxiv.org/abs/2309.06180)),
/// steps of prompts and answers together those of Sarathi-Serve ([Agrawal et al. 2024](https://arxiv.org/abs/2403.02310)).
pub(super) struct Scheduler {
    model: Box<dyn Step>,
    options: ServeOptions,
    page_size: usize,
    /// Whether full pages are published.
    sharing: bool,
    pages: Pages,
    /// Oldest first.
    running: Vec<Sequence>,
    /// Requests that gave their pages back, oldest first; all are older than those in the queue.
    preempted: VecDeque<Request>,
    /// Counts sequences; a request gets a new number each time it starts.
    sequences: u64,
    counts: ServeStatistics,
}

/// What a step runs of one sequence.
#[derive(Clone, Copy)]
struct Part {
    /// Index among those running.
    index: usize,
    tokens: usize,
}

impl Scheduler {
    /// A scheduler for `model`, and the queue that feeds it with requests of up to `max_context` tokens, answer included.
    ///
    /// # Errors
    /// [`Error::Option`] if an option is out of its range.
    pub(super) fn new(
        model: Box<dyn Step>,
        max_context: usize,
        options: ServeOptions,
    ) -> Result<(Self, Queue)> {
        options.check()?;
        let (page_size, sharing) = (model.page_size().max(1), model.shares_pages());
        let pages = Pages::new(model.pages());
        let capacity = pages.available().saturating_mul(page_size);
        let queue = Queue::new(&options, capacity.min(max_context));
        let scheduler = Self {
            model,
            options,
            page_size,
            sharing,
            pages,
            running: Vec::new(),
            preempted: VecDeque::new(),
            sequences: 0,
            counts: ServeStatistics::default(),
        };
        Ok((scheduler, queue))
    }

    /// Whether there is nothing to do but what waits in the queue.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.preempted.is_empty()
    }

    /// Stops what nobody waits for, then starts what there is room for.
    pub(super) fn admit(&mut self, queue: &mut Queue, now: Instant) {
        self.cancel();
        queue.purge(now);
        while self.running.len() < self.options.running && self.admit_one(queue, now) {}
    }

    /// Runs one step, if there is anything to run.
    pub(super) fn step(&mut self, now: &dyn Fn() -> Instant) {
        self.adopt();
        self.grow();
        let batch = self.batch();
        if batch.is_empty() {
            return;
        }
        self.counts.steps += 1;
        match self.run(&batch) {
            Ok(logits) => self.advance(&batch, logits, now()),
            Err(error) => self.fail(&batch, error),
        }
    }

    /// Gives back the memory of pages that hold nothing of use.
    pub(super) fn trim(&mut self) {
        let pages = self.pages.trim();
        if !pages.is_empty() {
            tracing::debug!(pages = pages.len(), "memory of free pages goes back to the system");
            self.model.trim(&pages);
        }
    }

    /// How things stand; what only the queue knows is left out.
    pub(super) fn statistics(&self) -> ServeStatistics {
        ServeStatistics {
            waiting: self.preempted.len(),
            running: self.running.len(),
            pages_used: self.pages.held(),
            pages_cached: self.pages.cached(),
            pages_free: self.pages.free(),
            ..self.counts
        }
    }

    fn cancel(&mut self) {
        for index in (0..self.running.len()).rev() {
            if !self.running[index].request.speaker.wanted() {
                self.remove(index);
                self.counts.cancelled += 1;
            }
        }
        let before = self.preempted.len();
        self.preempted.retain(|request| request.speaker.wanted());
        self.counts.cancelled += (before - self.preempted.len()) as u64;
    }

    /// Starts the oldest request that is not running, if there is one and there is room.
    fn admit_one(&mut self, queue: &mut Queue, now: Instant) -> bool {
        let resumed = !self.preempted.is_empty();
        let Some(request) = (if resumed { self.preempted.front_mut() } else { queue.front() }) else {
            return false;
        };
        if self.sharing {
            Key::extend(&mut request.keys, &request.tokens, self.page_size);
        }
        let Some(pages) = reserve(&mut self.pages, request, self.page_size) else { return false };
        let popped = if resumed { self.preempted.pop_front() } else { queue.pop() };
        let mut request = popped.expect("it was at the front");
        request.speaker.started(now);
        self.sequences += 1;
        self.running.push(Sequence { request, number: self.sequences, done: 0, pages });
        true
    }

    /// Uses pages that others have filled: before the sequence started, or since the last step.
    fn adopt(&mut self) {
        for sequence in &mut self.running {
            self.counts.prefix_hit_tokens += sequence.adopt(&mut self.pages, self.page_size) as u64;
        }
    }

    /// Sees to it that every sequence has pages for its tokens; only the last token of an answer can lack one.
    fn grow(&mut self) {
        let mut index = 0;
        while index < self.running.len() {
            let needed = self.running[index].request.tokens.len().div_ceil(self.page_size);
            if self.running[index].pages.len() >= needed {
                index += 1;
            } else if let Some(page) = self.pages.take() {
                self.running[index].pages.push(page);
            } else {
                // The youngest may be this one; then the loop ends here.
                self.preempt_youngest();
            }
        }
    }

    fn preempt_youngest(&mut self) {
        let Some(index) = self.running.len().checked_sub(1) else { return };
        let request = self.remove(index);
        tracing::debug!(tokens = request.tokens.len(), running = self.running.len(), "preempted a request");
        self.preempted.push_front(request);
        self.counts.preemptions += 1;
    }

    /// What the next step runs, oldest first. Empty only if nothing runs: there are at least as many tokens to give away as
    /// sequences.
    fn batch(&self) -> Vec<Part> {
        let (last, prompts): (Vec<usize>, Vec<usize>) =
            (0..self.running.len()).partition(|index| self.running[*index].pending() == 1);
        let prompts = self.without_followers(prompts);
        let wanted: Vec<usize> = prompts.iter().map(|index| self.running[*index].pending()).collect();
        let shares = shares(self.options.step_tokens - last.len(), &wanted);
        let prompts = prompts.into_iter().zip(shares).map(|(index, tokens)| Part { index, tokens });
        let mut batch: Vec<Part> =
            last.into_iter().map(|index| Part { index, tokens: 1 }).chain(prompts).collect();
        batch.sort_unstable_by_key(|part| part.index);
        batch
    }

    /// Of prompts that need the same page next only the oldest fills it; the others wait for it.
    fn without_followers(&self, mut prompts: Vec<usize>) -> Vec<usize> {
        let mut filling = HashSet::new();
        prompts.retain(|index| {
            let sequence = &self.running[*index];
            let first = sequence.next_key(self.page_size).is_none_or(|key| filling.insert(*key));
            first || !sequence.may_adopt(self.page_size)
        });
        prompts
    }

    fn run(&mut self, batch: &[Part]) -> Result<Vec<Vec<f32>>> {
        let slices: Vec<Slice<'_>> =
            batch.iter().map(|part| self.running[part.index].slice(part.tokens)).collect();
        let wanted = slices.iter().filter(|slice| slice.logits).count();
        let model = &mut self.model;
        let logits = catch_unwind(AssertUnwindSafe(|| model.step(&slices)))
            .unwrap_or(Err(Error::Panicked { what: "the model" }))?;
        if logits.len() != wanted {
            let source = format!("{} logits came back for {wanted} sequences", logits.len()).into();
            return Err(Error::Compute { during: "running the model", source });
        }
        Ok(logits)
    }

    fn advance(&mut self, batch: &[Part], logits: Vec<Vec<f32>>, now: Instant) {
        let mut logits = logits.into_iter();
        let mut over = Vec::new();
        for part in batch {
            self.count(*part);
            let sequence = &mut self.running[part.index];
            sequence.advance(part.tokens, &mut self.pages, self.page_size);
            if sequence.pending() > 0 {
                continue;
            }
            let logits = logits.next().expect("as many as asked for");
            match speak(&mut sequence.request, logits, now) {
                Ok(true) if self.sharing => {
                    Key::extend(&mut sequence.request.keys, &sequence.request.tokens, self.page_size);
                }
                Ok(true) => {}
                Ok(false) => over.push((part.index, None)),
                Err(error) => over.push((part.index, Some(error))),
            }
        }
        for (index, error) in over.into_iter().rev() {
            self.end(index, error);
        }
    }

    fn count(&mut self, part: Part) {
        let decoding = self.running[part.index].is_decoding();
        let counts = &mut self.counts;
        *(if decoding { &mut counts.decode_tokens } else { &mut counts.prefill_tokens }) +=
            part.tokens as u64;
    }

    /// Ends the requests of a step that failed. The others, and the model, go on.
    fn fail(&mut self, batch: &[Part], error: Error) {
        tracing::warn!(error = &error as &dyn std::error::Error, requests = batch.len(), "a step failed");
        let cause = Arc::new(error);
        for part in batch.iter().rev() {
            let source = Box::new(Failure(cause.clone()));
            self.end(part.index, Some(Error::Compute { during: "answering requests together", source }));
        }
    }

    fn end(&mut self, index: usize, error: Option<Error>) {
        let mut request = self.remove(index);
        match error {
            None => self.counts.finished += 1,
            Some(error) => {
                self.counts.failed += 1;
                request.speaker.fail(error);
            }
        }
    }

    /// Takes a sequence out, and gives its pages back.
    fn remove(&mut self, index: usize) -> Request {
        let sequence = self.running.remove(index);
        self.pages.release_all(&sequence.pages);
        let model = &mut self.model;
        if catch_unwind(AssertUnwindSafe(|| model.end(sequence.number))).is_err() {
            tracing::error!(sequence = sequence.number, "the model panicked while it forgot a sequence");
        }
        sequence.request
    }
}

/// Pages for all tokens of `request`, first those that others have filled; `None` if there is no room for one page more, or for
/// all it can ever need if that is less.
fn reserve(pages: &mut Pages, request: &Request, page_size: usize) -> Option<Vec<u32>> {
    let needed = request.tokens.len().div_ceil(page_size);
    let wanted = (needed + 1).min(request.limit.div_ceil(page_size));
    // The last token is always run, for its logits.
    let most = (request.tokens.len() - 1) / page_size;
    let mut held: Vec<u32> = request.keys.iter().take(most).map_while(|key| pages.share(key)).collect();
    let shared = held.len();
    if pages.available() < wanted - shared {
        pages.release_all(&held);
        return None;
    }
    held.extend((shared..needed).map(|_| pages.take().expect("counted above")));
    Some(held)
}

/// Lets the next token be chosen; says whether the answer goes on.
fn speak(request: &mut Request, logits: Vec<f32>, now: Instant) -> Result<bool> {
    let last = request.tokens.len() + 1 >= request.limit;
    let speaker = &mut request.speaker;
    let next = catch_unwind(AssertUnwindSafe(|| speaker.next(logits, last, now)))
        .unwrap_or(Err(Error::Panicked { what: "the choice of a token" }))?;
    let next = next.filter(|_| !last);
    request.tokens.extend(next);
    Ok(next.is_some())
}

#[cfg(test)]
impl Scheduler {
    /// Checks that pages and sequences agree, and that nobody is before an older one.
    pub(super) fn check(&self) {
        self.pages.check(self.running.iter().flat_map(|sequence| sequence.pages.iter().copied()));
        for sequence in &self.running {
            assert!(sequence.pending() > 0);
            assert!(sequence.done <= sequence.pages.len() * self.page_size);
        }
        let running = self.running.iter().map(|sequence| &sequence.request);
        assert!(running.chain(&self.preempted).is_sorted_by(|a, b| a.submitted < b.submitted));
    }
}
