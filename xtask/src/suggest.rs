//! "Did you mean …?"

/// `", did you mean `x`?"` for the candidate nearest to `word`, or nothing where none is near.
///
/// Near is half the word's length in single-letter edits, at least one, or a word not yet typed to its end.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let limit = (word.chars().count() / 2).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit || candidate.starts_with(word))
        .min()
        .map_or_else(String::new, |(_, candidate)| format!(", did you mean `{candidate}`?"))
}

/// Levenshtein's distance: insertions, deletions and replacements of one character.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn slip_of_the_finger_finds_the_command() {
        assert_eq!(did_you_mean("tset", ["test", "ci"]), ", did you mean `test`?");
        assert_eq!(did_you_mean("tests", ["test", "ci"]), ", did you mean `test`?");
        assert_eq!(did_you_mean("docter", ["doctor", "bench"]), ", did you mean `doctor`?");
        assert_eq!(did_you_mean("demo", ["demo-model", "bench"]), ", did you mean `demo-model`?");
    }

    #[test]
    fn far_word_suggests_nothing() {
        assert_eq!(did_you_mean("deploy", ["test", "ci", "bench"]), "");
    }
}
