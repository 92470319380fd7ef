//! What has to be taken letter for letter: addresses, paths, code, identifiers.

use super::lexer::in_word;

/// Whether `chunk`, which has no spaces and is not empty, is no word of a sentence.
pub(super) fn is_literal(chunk: &[char]) -> bool {
    let is_number = chunk[0].is_ascii_digit() && !chunk.iter().any(|c| c.is_alphabetic());
    !is_number && (is_address(chunk) || is_path(chunk) || is_code(chunk) || is_versioned(chunk))
}

/// "https://a.example", "a@b.example", "site.example", "@name", "#tag".
fn is_address(chunk: &[char]) -> bool {
    let dotted =
        joints(chunk, '.').any(|at| at > 1 && in_word(chunk[at - 2]) && chunk[at + 1].is_alphabetic());
    let marked = matches!(chunk, ['@' | '#' | '$', letter, ..] if letter.is_alphabetic());
    dotted || marked || contains(chunk, "://") || joints(chunk, '@').next().is_some()
}

/// "/usr", "a/b/c", "C:\\x".
fn is_path(chunk: &[char]) -> bool {
    let slashes = chunk.iter().filter(|c| **c == '/').count();
    slashes > 1 || (chunk[0] == '/' && chunk.len() > 1) || chunk.contains(&'\\')
}

/// "a_b", "a::b", "a()", "a=b", "<a>", "--a".
fn is_code(chunk: &[char]) -> bool {
    let joined = ['_', '='].into_iter().any(|mark| joints(chunk, mark).next().is_some());
    let flag = matches!(chunk, ['-', next, _, ..] if *next == '-' || next.is_alphabetic());
    let tag = chunk.len() > 2 && chunk.contains(&'<') && chunk.contains(&'>');
    joined || flag || tag || contains(chunk, "::") || contains(chunk, "()")
}

/// "v1.2.3".
fn is_versioned(chunk: &[char]) -> bool {
    chunk[0].is_alphabetic() && joints(chunk, '.').filter(|at| chunk[at + 1].is_ascii_digit()).count() > 1
}

/// Where `mark` stands between letters or digits.
fn joints(chunk: &[char], mark: char) -> impl Iterator<Item = usize> {
    let inner = 1..chunk.len().max(2) - 1;
    inner.filter(move |&at| chunk[at] == mark && in_word(chunk[at - 1]) && in_word(chunk[at + 1]))
}

fn contains(chunk: &[char], needle: &str) -> bool {
    chunk.windows(needle.len()).any(|window| window.iter().copied().eq(needle.chars()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_are_not_literal() {
        let literal = |chunk: &str| is_literal(&chunk.chars().collect::<Vec<_>>());

        for word in
            ["word", "and/or", "km/h", "12/24/2026", "3.5", "well-known", "U.S", "C++", "C#", "-5", "a", "$5"]
        {
            assert!(!literal(word), "{word}");
        }
        for text in
            ["site.example", "x/y/z", "v1.2.3", "--all", "-rf", "$HOME", "#tag", "a=b", "f()", "<p>", "\\n"]
        {
            assert!(literal(text), "{text}");
        }
    }
}
