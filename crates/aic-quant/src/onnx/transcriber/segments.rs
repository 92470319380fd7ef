use std::time::Duration;

/// What was said from one moment to another.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Segment {
    /// When it starts, from the start of the sound.
    pub start: Duration,
    /// When it ends.
    pub end: Duration,
    /// The words.
    pub text: String,
    /// Their tokens.
    pub tokens: Vec<u32>,
}

/// A segment's tokens and its times, in steps of timestamps from the window's start.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) tokens: Vec<u32>,
}

/// Divides the answer to a window of `steps` at its timestamps, tokens from `first` on, and says where the next window starts.
///
/// Two timestamps in a row end one segment and start the next. If the answer ends with the two, or breaks off after them, the
/// next window starts there, so that a sentence that the window cut is heard again whole; if it ends with one, or has none, all of
/// the window has been heard.
pub(super) fn divide(answer: &[u32], first: u32, steps: usize) -> (Vec<Span>, usize) {
    let stamp =
        |at: usize| answer.get(at).filter(|token| **token >= first).map(|token| (token - first) as usize);
    let mut ends: Vec<usize> =
        (1..answer.len()).filter(|at| stamp(at - 1).is_some() && stamp(*at).is_some()).collect();
    let len = answer.len();
    let ends_with_one = len > 0 && stamp(len - 1).is_some() && (len < 2 || stamp(len - 2).is_none());
    if ends.is_empty() {
        let last = (0..len).rev().find_map(stamp).filter(|step| *step > 0);
        let span = span(answer, first, 0, last.unwrap_or(steps).min(steps));
        return (span.into_iter().collect(), steps);
    }
    let mut next = stamp(ends[ends.len() - 1] - 1).unwrap_or(steps);
    if ends_with_one {
        ends.push(len);
        next = steps;
    }
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let spans =
        starts.zip(&ends).filter_map(|(start, end)| span(&answer[start..*end], first, 0, steps)).collect();
    // A window that starts where the last did would never end.
    (spans, if next == 0 { steps } else { next.min(steps) })
}

/// A segment of `tokens` with the times that stand at its ends, else those given; `None` if there are no words in it.
fn span(tokens: &[u32], first: u32, start: usize, end: usize) -> Option<Span> {
    let stamp =
        |token: Option<&u32>| token.filter(|token| **token >= first).map(|token| (token - first) as usize);
    let words: Vec<u32> = tokens.iter().copied().filter(|token| *token < first).collect();
    let start = stamp(tokens.first()).unwrap_or(start);
    let end = stamp(tokens.last().filter(|_| tokens.len() > 1)).unwrap_or(end).max(start);
    (!words.is_empty()).then_some(Span { start, end, tokens: words })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(start: usize, end: usize, tokens: &[u32]) -> Span {
        Span { start, end, tokens: tokens.to_vec() }
    }

    #[test]
    fn segments_end_at_pairs_and_the_next_window_starts_at_the_last() {
        let answer = [100, 1, 2, 130, 130, 3, 160, 160, 4];
        assert_eq!(divide(&answer, 100, 1500), (vec![span(0, 30, &[1, 2]), span(30, 60, &[3])], 60));
    }

    #[test]
    fn answer_that_ends_with_one_timestamp_has_heard_all() {
        let answer = [100, 1, 130, 135, 2, 190];
        assert_eq!(divide(&answer, 100, 1500), (vec![span(0, 30, &[1]), span(35, 90, &[2])], 1500));
        assert_eq!(divide(&[100, 1, 2, 190], 100, 1500), (vec![span(0, 90, &[1, 2])], 1500));
    }

    #[test]
    fn answer_without_timestamps_is_one_segment_and_an_empty_one_none() {
        assert_eq!(divide(&[1, 2], 100, 1500), (vec![span(0, 1500, &[1, 2])], 1500));
        assert_eq!(divide(&[], 100, 1500), (vec![], 1500));
        assert_eq!(divide(&[100, 100], 100, 1500), (vec![], 1500));
    }

    proptest! {
        #[test]
        fn windows_always_go_on_and_no_word_within_segments_is_lost(answer in prop::collection::vec(90_u32..120, 0..12)) {
            let (spans, next) = divide(&answer, 100, 20);
            prop_assert!((1..=20).contains(&next));
            let found: Vec<u32> = spans.iter().flat_map(|span| span.tokens.clone()).collect();
            let words: Vec<u32> = answer.iter().copied().filter(|token| *token < 100).collect();
            prop_assert!(words.starts_with(&found));
            prop_assert!(spans.iter().all(|span| span.start <= span.end));
        }
    }
}
