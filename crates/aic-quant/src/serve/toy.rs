//! A toy language model, whose next token depends on every token before it, as it stands in the pages.
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::engine::{Slice, Step};
use crate::{Error, Result};

/// Tokens the toy knows; the first ends an answer.
pub(super) const VOCABULARY: u64 = 13;
pub(super) const END: u32 = 0;

/// What goes wrong at the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    Error,
    Panic,
    TooFewLogits,
    PanicAndPanicAtEnd,
}

/// What the toy did, and what it shall do.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) mishap: Option<Mishap>,
    /// For each step, each sequence's number and how many tokens were run.
    pub(super) steps: Vec<Vec<(u64, usize)>>,
    /// Pages whose memory was given back.
    pub(super) trimmed: Vec<u32>,
    broken: bool,
    ended: HashSet<u64>,
}

pub(super) struct Toy {
    page_size: usize,
    /// One number for each position of each page: a hash of its token and all before.
    pages: Vec<Vec<u64>>,
    /// Without sharing: such numbers for each sequence.
    sequences: Option<HashMap<u64, Vec<u64>>>,
    log: Arc<Mutex<Log>>,
}

impl Toy {
    pub(super) fn new(page_size: usize, pages: usize, sharing: bool) -> (Self, Arc<Mutex<Log>>) {
        let log = Arc::<Mutex<Log>>::default();
        let toy = Self {
            page_size,
            pages: vec![vec![0; page_size]; pages],
            sequences: (!sharing).then(HashMap::new),
            log: log.clone(),
        };
        (toy, log)
    }

    /// Up to `count` tokens that follow `prompt`, the end not among them, as the toy says them alone.
    pub(super) fn alone(prompt: &[u32], count: usize) -> Vec<u32> {
        Self::endless(prompt, count).into_iter().take_while(|token| *token != END).collect()
    }

    /// `count` tokens that follow `prompt`, where the end is a token like any other.
    pub(super) fn endless(prompt: &[u32], count: usize) -> Vec<u32> {
        let mut states = Vec::new();
        let mut push = |token| {
            states.push(next_state(states.last(), token));
            next_token(states.iter().copied())
        };
        let mut next = prompt.iter().fold(END, |_, token| push(*token));
        let mut answer = Vec::new();
        while answer.len() < count {
            answer.push(next);
            next = push(next);
        }
        answer
    }

    fn run(&mut self, slice: &Slice<'_>) -> Vec<f32> {
        assert!(!slice.tokens.is_empty());
        match &mut self.sequences {
            Some(sequences) => assert_eq!(sequences.entry(slice.sequence).or_default().len(), slice.start),
            None => assert!(slice.pages.len() * self.page_size >= slice.start + slice.tokens.len()),
        }
        for (position, token) in (slice.start..).zip(slice.tokens) {
            let before = position.checked_sub(1).map(|before| self.read(slice, before));
            self.write(slice, position, next_state(before.as_ref(), *token));
        }
        let next =
            next_token((0..slice.start + slice.tokens.len()).map(|position| self.read(slice, position)));
        (0..VOCABULARY as u32).map(|token| f32::from(u8::from(token == next))).collect()
    }

    fn read(&self, slice: &Slice<'_>, position: usize) -> u64 {
        match &self.sequences {
            Some(sequences) => sequences[&slice.sequence][position],
            None => self.pages[slice.pages[position / self.page_size] as usize][position % self.page_size],
        }
    }

    fn write(&mut self, slice: &Slice<'_>, position: usize, state: u64) {
        match &mut self.sequences {
            Some(sequences) => sequences.entry(slice.sequence).or_default().push(state),
            None => {
                let page = slice.pages[position / self.page_size] as usize;
                self.pages[page][position % self.page_size] = state;
            }
        }
    }
}

impl Step for Toy {
    fn page_size(&self) -> usize {
        self.page_size
    }

    fn pages(&self) -> usize {
        self.pages.len()
    }

    fn shares_pages(&self) -> bool {
        self.sequences.is_none()
    }

    fn step(&mut self, slices: &[Slice<'_>]) -> Result<Vec<Vec<f32>>> {
        let mishap = {
            let mut log = self.log.lock().unwrap();
            log.steps.push(slices.iter().map(|slice| (slice.sequence, slice.tokens.len())).collect());
            assert!(slices.iter().all(|slice| !log.ended.contains(&slice.sequence)), "an ended sequence");
            log.mishap.take()
        };
        let mut logits = Vec::new();
        for slice in slices {
            let after = self.run(slice);
            logits.extend(slice.logits.then_some(after));
        }
        match mishap {
            None => Ok(logits),
            Some(Mishap::Error) => Err(Error::Empty { what: "toy" }),
            Some(Mishap::Panic) => panic!("the toy was told to panic"),
            Some(Mishap::TooFewLogits) => Ok(Vec::new()),
            Some(Mishap::PanicAndPanicAtEnd) => {
                self.log.lock().unwrap().broken = true;
                panic!("the toy was told to panic")
            }
        }
    }

    fn end(&mut self, sequence: u64) {
        let mut log = self.log.lock().unwrap();
        let (new, broken) = (log.ended.insert(sequence), std::mem::take(&mut log.broken));
        drop(log);
        assert!(new, "sequence {sequence} ended twice");
        assert!(!broken, "the toy was told to panic");
        if let Some(sequences) = &mut self.sequences {
            sequences.remove(&sequence);
        }
    }

    fn trim(&mut self, pages: &[u32]) {
        for page in pages {
            self.pages[*page as usize].fill(0);
        }
        self.log.lock().unwrap().trimmed.extend(pages);
    }
}

fn next_state(before: Option<&u64>, token: u32) -> u64 {
    mix(before.copied().unwrap_or(7) ^ mix(u64::from(token) + 1))
}

fn next_token(states: impl Iterator<Item = u64>) -> u32 {
    (states.fold(0, |sum, state| mix(sum ^ state)) % VOCABULARY) as u32
}

/// The finalizer of SplitMix64 (Steele et al. 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
