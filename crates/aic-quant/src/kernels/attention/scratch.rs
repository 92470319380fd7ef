use std::cell::RefCell;

use super::softmax::Seen;

/// A line of the processor's caches.
#[repr(C, align(64))]
#[derive(Clone, Copy, Default)]
struct Line([f32; 16]);

/// Numbers that begin at a line of the processor's caches, kept from one use to the next.
#[derive(Default)]
pub(super) struct Buffer(Vec<Line>);

impl Buffer {
    /// Room for `length` numbers, with whatever was there.
    pub(super) fn room(&mut self, length: usize) -> &mut [f32] {
        let lines = length.div_ceil(16);
        if self.0.len() < lines {
            self.0.resize(lines, Line::default());
        }
        // SAFETY: lines are nothing but numbers, one after the other, and there are at least `length` of these.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), length) }
    }
}

/// What a thread needs while it attends; some hundred kilobytes at most.
#[derive(Default)]
pub(super) struct Scratch {
    /// Scaled queries, `[rows, key_size]`.
    pub(super) queries: Buffer,
    /// Keys or values of a page.
    pub(super) tile: Buffer,
    /// Scores of a page, then the shares made of them, `[rows, 32]`.
    pub(super) scores: Buffer,
    /// Values added up so far, `[rows, stride]`.
    pub(super) mixed: Buffer,
    /// What to multiply older sums of each row with.
    pub(super) fade: Buffer,
    pub(super) seen: Vec<Seen>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// Calls `work` with this thread's.
    pub(super) fn with<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        SCRATCH.with_borrow_mut(work)
    }
}
