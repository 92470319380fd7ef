use std::ops::Range;

use super::{LayerShape, PAGE};

/// Rows of queries that meet a page together: enough that making a tile of it is a small part, few enough for the cache.
const ROWS: usize = 64;

/// The long look back of a single token is split into parts of at least this many positions.
const SPLIT: usize = 8 * PAGE;

/// Consecutive tokens of one sequence among the rows of a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    /// The row of its first token.
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    /// Position of the first token in its sequence.
    pub(crate) start: usize,
    /// The sequence's pages, from its beginning on; those that no token sees may hold anything.
    pub(crate) pages: &'a [u32],
}

/// Which positions a token sees.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sight {
    /// Itself and those before, or the last so many of these, itself included.
    Back(Option<usize>),
    /// All there are.
    All,
}

/// The work of one thread at a time: some tokens, one key-value head, some positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) span: usize,
    pub(super) head: usize,
    /// Of the span.
    pub(super) tokens: Range<usize>,
    pub(super) positions: Range<usize>,
    /// Where the result goes if others work on the same tokens and head: a number counted over all such tasks.
    pub(super) part: Option<usize>,
}

impl Task {
    /// Whether `next` works on the same rows.
    pub(super) fn continues(&self, next: &Self) -> bool {
        self.part.is_some()
            && (self.span, self.head, self.tokens.start) == (next.span, next.head, next.tokens.start)
    }
}

impl Sight {
    /// What the token at `position` sees, where there are `length` positions.
    pub(super) fn of(self, position: usize, length: usize) -> Range<usize> {
        match self {
            Self::All => 0..length,
            Self::Back(window) => {
                let end = position + 1;
                end.saturating_sub(window.unwrap_or(end).max(1))..end
            }
        }
    }
}

/// The tasks of one layer; those of the same tokens and head follow each other, by position.
///
/// How a span is split depends on nothing but itself, and so does how its sums are rounded: an answer is the same alone, in
/// company, and on any number of threads.
pub(super) fn tasks(spans: &[Span<'_>], shape: LayerShape, group: usize, sight: Sight) -> Vec<Task> {
    let tokens = (ROWS / group).max(1);
    let mut tasks = Vec::new();
    let mut parts = 0;
    for (index, span) in spans.iter().enumerate() {
        let splits = if span.rows == 1 { usize::MAX } else { 1 };
        for head in 0..shape.kv_heads {
            for first in (0..span.rows).step_by(tokens) {
                let task = Task {
                    span: index,
                    head,
                    tokens: first..(first + tokens).min(span.rows),
                    positions: 0..0,
                    part: None,
                };
                push(&mut tasks, &mut parts, span, sight, splits, task);
            }
        }
    }
    tasks
}

/// Adds `task`, once its positions are known, in up to `splits` parts.
fn push(tasks: &mut Vec<Task>, parts: &mut usize, span: &Span<'_>, sight: Sight, splits: usize, task: Task) {
    let length = span.start + span.rows;
    let seen = sight.of(span.start + task.tokens.start, length).start
        ..sight.of(span.start + task.tokens.end - 1, length).end;
    let splits = splits.min(seen.len() / SPLIT).max(1);
    if splits == 1 {
        return tasks.push(Task { positions: seen, ..task });
    }
    let step = seen.len().div_ceil(splits).next_multiple_of(PAGE);
    let mut start = seen.start;
    while start < seen.end {
        // Parts end where a page does.
        let end = ((start + step) / PAGE * PAGE).min(seen.end);
        tasks.push(Task { positions: start..end, part: Some(*parts), ..task.clone() });
        *parts += 1;
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_token_and_head_sees_each_position_once(
            spans in prop::collection::vec((0_usize..3000, 1_usize..100), 1..4),
            kv_heads in 1_usize..4,
            group in 1_usize..70,
            window in prop::option::of(1_usize..2000),
        ) {
            let spans: Vec<_> = spans
                .into_iter()
                .map(|(start, rows)| Span { first_row: 0, rows, start, pages: &[] })
                .collect();
            let (shape, sight) = (LayerShape { kv_heads, key_size: 1, value_size: 1 }, Sight::Back(window));
            let tasks = tasks(&spans, shape, group, sight);
            for (index, span) in spans.iter().enumerate() {
                for (head, token) in (0..kv_heads).flat_map(|head| (0..span.rows).map(move |token| (head, token))) {
                    let seen = sight.of(span.start + token, span.start + span.rows);
                    let mine = tasks.iter().filter(|task| {
                        (task.span, task.head) == (index, head) && task.tokens.contains(&token)
                    });
                    let mut end = None;
                    for task in mine {
                        prop_assert!(end.is_none_or(|end| end == task.positions.start && end % PAGE == 0));
                        prop_assert!(end.is_some() || task.positions.start <= seen.start);
                        prop_assert!(!task.positions.is_empty());
                        end = Some(task.positions.end);
                    }
                    prop_assert!(end >= Some(seen.end));
                }
            }
            let parts: Vec<usize> = tasks.iter().filter_map(|task| task.part).collect();
            prop_assert_eq!(&parts, &(0..parts.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn look_back_of_one_token_is_split_alike_alone_and_in_company() {
        let span = |rows, start| Span { first_row: 0, rows, start, pages: &[] };
        let shape = LayerShape { kv_heads: 1, key_size: 1, value_size: 1 };
        let first = |spans: &[Span<'_>]| {
            let tasks = tasks(spans, shape, 4, Sight::Back(None));
            tasks.into_iter().filter(|task| task.span == 0).collect::<Vec<_>>()
        };

        let alone = first(&[span(1, 8191)]);

        assert_eq!(alone.len(), 32);
        assert_eq!(alone, first(&[span(1, 8191), span(1, 100), span(90, 0)]));
        assert_eq!(first(&[span(1, 500)]).len(), 1);
    }

    #[test]
    fn a_window_of_one_sees_only_itself() {
        assert_eq!(Sight::Back(Some(1)).of(7, 100), 7..8);
        assert_eq!(Sight::Back(Some(100)).of(7, 100), 0..8);
        assert_eq!(Sight::All.of(7, 100), 0..100);
    }
}
