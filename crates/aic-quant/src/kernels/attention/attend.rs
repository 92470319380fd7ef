use std::ops::Range;

use super::plan::{self, Sight, Span, Task};
use super::scratch::Scratch;
use super::softmax::{self, Seen};
use super::source::{Passing, Place, Shares, Source, Stored};
use super::{KvStore, LayerShape, PAGE};
use crate::kernels::Parts;
use crate::kernels::vectors::{LANES, Vectors};

/// How a layer attends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionOptions {
    /// Query heads; a multiple of the key-value heads, which neighbours share.
    pub(crate) heads: usize,
    /// What scores are multiplied with, usually one over the root of the key size.
    pub(crate) scale: f32,
    /// Scores become `softcap · tanh(score / softcap)`, as in Gemma 2.
    pub(crate) softcap: Option<f32>,
    /// A token sees itself and this many less one before it; all before it if absent.
    pub(crate) window: Option<usize>,
}

/// Causal attention of `queries`, `[rows, heads · key_size]`, over what `layer` of `store` keeps of their sequences, the keys
/// and values of these rows included; fills `out`, `[rows, heads · value_size]`, where a span has rows.
///
/// # Panics
/// If the lengths contradict each other, the key-value heads do not divide the heads, pages are missing, or the rows of `spans`
/// are out of order.
pub(crate) fn attend(
    vectors: &Vectors<'_>,
    store: &KvStore,
    layer: usize,
    spans: &[Span<'_>],
    queries: &[f32],
    options: &AttentionOptions,
    out: &mut [f32],
) {
    Attention::new(
        vectors,
        Stored { store, layer, instructions: vectors.instructions() },
        spans,
        Sight::Back(options.window),
        queries,
        options,
    )
    .run(out);
}

/// Attention of the tokens of one text over each other in both directions; `keys` is `[tokens, kv_heads · key_size]` and
/// `values` `[tokens, kv_heads · value_size]`. The window of `options` is not used. Otherwise like [`attend`].
///
/// # Panics
/// As [`attend`].
pub(crate) fn attend_all(
    vectors: &Vectors<'_>,
    shape: LayerShape,
    queries: &[f32],
    keys: &[f32],
    values: &[f32],
    options: &AttentionOptions,
    out: &mut [f32],
) {
    let rows = keys.len() / (shape.kv_heads * shape.key_size);
    let spans = [Span { first_row: 0, rows, start: 0, pages: &[] }];
    let source = Passing { shape, keys, values, instructions: vectors.instructions() };
    Attention::new(vectors, source, &spans, Sight::All, queries, options).run(out);
}

struct Attention<'a, S> {
    vectors: &'a Vectors<'a>,
    source: S,
    spans: &'a [Span<'a>],
    sight: Sight,
    queries: &'a [f32],
    options: &'a AttentionOptions,
    shape: LayerShape,
    /// Query heads that share a key-value head.
    group: usize,
    /// From one row of mixed values to the next: a value, rounded up to whole vectors.
    stride: usize,
}

impl<'a, S: Source> Attention<'a, S> {
    fn new(
        vectors: &'a Vectors<'a>,
        source: S,
        spans: &'a [Span<'a>],
        sight: Sight,
        queries: &'a [f32],
        options: &'a AttentionOptions,
    ) -> Self {
        let shape = source.shape();
        let group = options.heads / shape.kv_heads;
        assert_eq!(group * shape.kv_heads, options.heads, "{} key-value heads", shape.kv_heads);
        let in_order = spans.windows(2).all(|pair| pair[0].first_row + pair[0].rows <= pair[1].first_row);
        assert!(in_order, "the rows of spans overlap or are out of order");
        let stride = shape.value_size.next_multiple_of(LANES);
        Self { vectors, source, spans, sight, queries, options, shape, group, stride }
    }

    fn run(&self, out: &mut [f32]) {
        let tasks = plan::tasks(self.spans, self.shape, self.group, self.sight);
        let mut partial =
            vec![0.0; self.part_length(&tasks) * tasks.iter().filter_map(|task| task.part).count()];
        self.run_tasks(&tasks, &Parts::new(out), &Parts::new(&mut partial));
        for split in tasks.chunk_by(Task::continues) {
            if split.len() > 1 {
                self.merge(split, &partial, self.part_length(&tasks), out);
            }
        }
    }

    fn run_tasks(&self, tasks: &[Task], out: &Parts<'_, f32>, partial: &Parts<'_, f32>) {
        let length = self.part_length(tasks);
        self.vectors.pool().run(tasks.len(), |index| {
            let task = &tasks[index];
            Scratch::with(|scratch| {
                self.look(task, scratch);
                let Some(part) = task.part else {
                    return self.finish(task, scratch, out);
                };
                // SAFETY: no two tasks have the same part.
                self.save(scratch, unsafe { partial.part(part * length..(part + 1) * length) });
            });
        });
    }

    /// Numbers that any task may leave for [`merge`](Self::merge).
    fn part_length(&self, tasks: &[Task]) -> usize {
        let tokens = tasks.iter().filter(|task| task.part.is_some()).map(|task| task.tokens.len()).max();
        tokens.unwrap_or(0) * self.group * (self.stride + 2)
    }

    /// Goes over the pages of `task`; leaves the mixed values and what its rows have seen in `scratch`.
    fn look(&self, task: &Task, scratch: &mut Scratch) {
        let (span, rows) = (&self.spans[task.span], task.tokens.len() * self.group);
        self.take_queries(task, scratch.queries.room(rows * self.shape.key_size));
        scratch.mixed.room(rows * self.stride).fill(0.0);
        scratch.seen.clear();
        scratch.seen.resize(rows, Seen::NOTHING);
        let pages = task.positions.start / PAGE..task.positions.end.div_ceil(PAGE);
        for page in pages.clone() {
            let place = Place { span, head: task.head, page, next: (page + 1).min(pages.end - 1) };
            let (queries, scores) =
                (scratch.queries.room(rows * self.shape.key_size), scratch.scores.room(rows * PAGE));
            self.source.scores(place, queries, scratch.tile.room(PAGE * self.shape.key_size), scores);
            let fade = scratch.fade.room(rows);
            self.soften(task, page, scores, &mut scratch.seen, fade);
            let count = (task.positions.end - page * PAGE).min(PAGE);
            let shares = Shares { shares: scores, count, fade, stride: self.stride };
            let tile = scratch.tile.room(PAGE * self.stride);
            self.source.mix(place, shares, tile, scratch.mixed.room(rows * self.stride));
        }
    }

    /// The rows of `task`, those of a token next to each other.
    fn take_queries(&self, task: &Task, queries: &mut [f32]) {
        let (size, first) = (self.shape.key_size, self.spans[task.span].first_row + task.tokens.start);
        let width = self.group * size;
        for (token, out) in queries.chunks_exact_mut(width).enumerate() {
            let from = (first + token) * self.options.heads * size + task.head * width;
            for (out, x) in out.iter_mut().zip(&self.queries[from..from + width]) {
                *out = x * self.options.scale;
            }
        }
    }

    /// Turns scores into shares.
    fn soften(&self, task: &Task, page: usize, scores: &mut [f32], seen: &mut [Seen], fade: &mut [f32]) {
        let span = &self.spans[task.span];
        let first = span.start + task.tokens.start;
        let rows = scores.as_chunks_mut::<PAGE>().0.chunks_mut(self.group);
        let rows = rows.zip(seen.chunks_mut(self.group)).zip(fade.chunks_mut(self.group));
        for (token, ((scores, seen), fade)) in rows.enumerate() {
            let visible = self.sight.of(first + token, span.start + span.rows);
            let visible = within_page(visible, &task.positions, page);
            for ((scores, seen), fade) in scores.iter_mut().zip(seen).zip(fade) {
                let (instructions, softcap) = (self.vectors.instructions(), self.options.softcap);
                *fade = softmax::shares(instructions, scores, visible.clone(), softcap, seen);
            }
        }
    }

    /// Writes the result of a task that worked alone.
    fn finish(&self, task: &Task, scratch: &mut Scratch, out: &Parts<'_, f32>) {
        let size = self.shape.value_size;
        let mixed = scratch.mixed.room(scratch.seen.len() * self.stride);
        for (row, (mixed, seen)) in mixed.chunks_exact(self.stride).zip(&scratch.seen).enumerate() {
            let at = self.place(task, row);
            // SAFETY: no two tasks that work alone have the same tokens and head, and rows of spans do not overlap.
            let out = unsafe { out.part(at..at + size) };
            let inverse = seen.sum.recip();
            out.iter_mut().zip(mixed).for_each(|(out, x)| *out = x * inverse);
        }
    }

    /// Where the result of a row of `task` begins.
    fn place(&self, task: &Task, row: usize) -> usize {
        let token = self.spans[task.span].first_row + task.tokens.start + row / self.group;
        let head = task.head * self.group + row % self.group;
        (token * self.options.heads + head) * self.shape.value_size
    }

    /// Puts what a task has found into `part`: each row's mixed values, largest score and sum.
    fn save(&self, scratch: &mut Scratch, part: &mut [f32]) {
        let mixed = scratch.mixed.room(scratch.seen.len() * self.stride).chunks_exact(self.stride);
        for ((part, mixed), seen) in part.chunks_exact_mut(self.stride + 2).zip(mixed).zip(&scratch.seen) {
            part[..self.stride].copy_from_slice(mixed);
            part[self.stride..].copy_from_slice(&[seen.largest, seen.sum]);
        }
    }

    /// Adds up what the tasks of `split`, which looked at different positions for the same rows, have saved.
    fn merge(&self, split: &[Task], partial: &[f32], length: usize, out: &mut [f32]) {
        let task = &split[0];
        for row in 0..task.tokens.len() * self.group {
            let at = self.place(task, row);
            let found = split.iter().filter_map(|task| task.part).map(|part| {
                let (mixed, seen) = partial[part * length..][row * (self.stride + 2)..][..self.stride + 2]
                    .split_at(self.stride);
                (mixed, Seen { largest: seen[0], sum: seen[1] })
            });
            softmax::merge(found, &mut out[at..at + self.shape.value_size]);
        }
    }
}

/// The part of `visible` that is in `positions` and in `page`, counted from the page's start.
fn within_page(visible: Range<usize>, positions: &Range<usize>, page: usize) -> Range<usize> {
    let relative = |position: usize| position.saturating_sub(page * PAGE).min(PAGE);
    relative(visible.start.max(positions.start))..relative(visible.end.min(positions.end))
}
