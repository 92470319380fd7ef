use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// A stretch of a text that grows by merging with its right neighbour.
#[derive(Clone, Debug)]
pub(super) struct Symbol {
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
    /// The token that spells it, if one does.
    pub(super) token: Option<u32>,
    previous: Option<usize>,
    /// `None` for the last one, and for one that was merged into its left neighbour.
    next: Option<usize>,
}

/// What two neighbours become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    /// The lowest goes first; of two alike, the one further to the left.
    pub(super) order: u32,
    pub(super) token: u32,
}

/// A merge of a symbol and its right neighbour: order, symbol, end of the neighbour, token.
///
/// Symbols only grow, so the end tells whether both are still what they were.
type Candidate = Reverse<(u32, usize, usize, u32)>;

/// Merges neighbours until none can be, always the pair of the lowest order first, and hands out what is left.
///
/// `parts` are the lengths in bytes and the tokens of the smallest stretches of the text; `pair` says what two neighbours
/// become. Takes n log n steps, whatever the text.
///
/// Algorithm 1 of [Sennrich et al. 2016](https://arxiv.org/abs/1508.07909), with a heap as in SentencePiece.
pub(super) fn merge(
    parts: impl Iterator<Item = (usize, Option<u32>)>,
    pair: impl Fn(&Symbol, &Symbol) -> Option<Merge>,
    mut visit: impl FnMut(&Symbol),
) {
    let mut symbols = link(parts);
    let mut heap: BinaryHeap<Candidate> =
        (0..symbols.len()).filter_map(|left| candidate(&symbols, left, &pair)).collect();
    while let Some(Reverse((_, left, end, token))) = heap.pop() {
        let Some(right) = symbols[left].next.filter(|right| symbols[*right].range.end == end) else {
            continue;
        };
        absorb(&mut symbols, left, right, token);
        let before = symbols[left].previous;
        heap.extend(before.and_then(|before| candidate(&symbols, before, &pair)));
        heap.extend(candidate(&symbols, left, &pair));
    }
    let mut at = (!symbols.is_empty()).then_some(0);
    while let Some(symbol) = at.map(|at| &symbols[at]) {
        visit(symbol);
        at = symbol.next;
    }
}

fn link(parts: impl Iterator<Item = (usize, Option<u32>)>) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::with_capacity(parts.size_hint().0);
    let mut start = 0;
    for (length, token) in parts {
        let index = symbols.len();
        let (previous, next) = (index.checked_sub(1), Some(index + 1));
        symbols.push(Symbol { range: start..start + length, token, previous, next });
        start += length;
    }
    if let Some(last) = symbols.last_mut() {
        last.next = None;
    }
    symbols
}

fn candidate(
    symbols: &[Symbol],
    left: usize,
    pair: impl Fn(&Symbol, &Symbol) -> Option<Merge>,
) -> Option<Candidate> {
    let right = &symbols[symbols[left].next?];
    let Merge { order, token } = pair(&symbols[left], right)?;
    Some(Reverse((order, left, right.range.end, token)))
}

fn absorb(symbols: &mut [Symbol], left: usize, right: usize, token: u32) {
    let after = symbols[right].next.take();
    let end = symbols[right].range.end;
    let grown = &mut symbols[left];
    (grown.range.end, grown.next, grown.token) = (end, after, Some(token));
    if let Some(after) = after {
        symbols[after].previous = Some(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges the letters of `text` where two neighbours together are one of `pieces`, earlier pieces first.
    fn merged(text: &str, pieces: &[&str]) -> Vec<String> {
        let mut out = Vec::new();
        let pair = |left: &Symbol, right: &Symbol| {
            let order = pieces.iter().position(|piece| *piece == &text[left.range.start..right.range.end])?;
            Some(Merge { order: order as u32, token: order as u32 })
        };
        merge(text.bytes().map(|_| (1, None)), pair, |symbol| {
            out.push(text[symbol.range.clone()].to_owned());
        });
        out
    }

    #[test]
    fn lowest_order_goes_first_and_then_the_leftmost() {
        assert_eq!(merged("abc", &["bc", "ab"]), ["a", "bc"]);
        assert_eq!(merged("aaa", &["aa"]), ["aa", "a"]);
        assert_eq!(merged("aaaaa", &["aa", "aaaa"]), ["aaaa", "a"]);
        assert_eq!(merged("abcd", &["bc", "abc", "abcd"]), ["abcd"]);
        assert_eq!(merged("abcd", &["ab", "cd", "bc"]), ["ab", "cd"]);
        assert!(merged("", &["a"]).is_empty());
    }
}
