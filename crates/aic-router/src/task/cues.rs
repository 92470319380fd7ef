use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::Task;

/// A word or a phrase that speaks for a task.
#[derive(Debug)]
struct Cue {
    task: Task,
    weight: u32,
    /// Asks for the beginning of a sentence.
    begins: bool,
    /// Lets the last word go on.
    stem: bool,
}

/// All cues of all languages, and one automaton that finds them in one pass.
struct Cues {
    cues: Vec<Cue>,
    automaton: AhoCorasick,
}

static CUES: LazyLock<Cues> =
    LazyLock::new(|| Cues::parse(include_str!("cues.txt")).expect("cues.txt is checked by a test"));

/// Calls `found` with each cue in `text`, which is in lower case, once: its task, its weight, and where the
/// text first has it.
pub(super) fn find(text: &str, mut found: impl FnMut(Task, u32, usize)) {
    let Cues { cues, automaton } = &*CUES;
    // A text has few of them, so looking through these beats a table of all.
    let mut seen = Vec::new();
    for hit in automaton.find_overlapping_iter(text) {
        let index = hit.pattern().as_usize();
        if cues[index].fits(text, hit.start(), hit.end()) && !seen.contains(&index) {
            seen.push(index);
            found(cues[index].task, cues[index].weight, hit.start());
        }
    }
}

impl Cues {
    fn parse(table: &str) -> Result<Self, String> {
        let mut cues = Vec::new();
        let mut patterns = Vec::new();
        let is_row = |line: &&str| !line.is_empty() && !line.starts_with(['#', '[']);
        for line in table.lines().filter(is_row) {
            let wrong = || format!("`{line}` is not `task weight: cue | cue`");
            let (head, words) = line.split_once(": ").ok_or_else(wrong)?;
            let (task, weight) = head.split_once(' ').ok_or_else(wrong)?;
            let task = Task::named(task).ok_or_else(wrong)?;
            let weight = weight.parse().map_err(|_| wrong())?;
            for word in words.split(" | ") {
                let (begins, word) = word.strip_prefix('^').map_or((false, word), |rest| (true, rest));
                let (stem, word) = word.strip_suffix('*').map_or((false, word), |rest| (true, rest));
                cues.push(Cue { task, weight, begins, stem });
                patterns.push(word.to_owned());
            }
        }
        let automaton = AhoCorasick::new(&patterns).map_err(|error| error.to_string())?;
        Ok(Self { cues, automaton })
    }
}

impl Cue {
    fn fits(&self, text: &str, start: usize, end: usize) -> bool {
        let first = text[start..end].chars().next();
        let last = text[start..end].chars().next_back();
        let before = text[..start].chars().next_back();
        let after = text[end..].chars().next();
        !joined(before, first)
            && (self.stem || !joined(last, after))
            && (!self.begins || begins(&text[..start]))
    }
}

/// Whether two neighbours belong to one word. Scripts without spaces between words have no such bounds, and in
/// Korean what follows a word is most often its particle.
fn joined(left: Option<char>, right: Option<char>) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !spaceless(c));
    in_word(left) && in_word(right)
}

/// Han, Kana and Hangul.
fn spaceless(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11FF}' | '\u{2E80}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}')
}

/// Whether a sentence begins after `before`.
fn begins(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '"', '\'', '“', '„', '«', '¿', '¡', '-', '*', '(']);
    before.is_empty() || before.ends_with(['.', '!', '?', ':', '\n', '…'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(text: &str) -> Vec<Task> {
        let mut tasks = Vec::new();
        find(text, |task, _, _| tasks.push(task));
        tasks
    }

    #[test]
    fn table_is_whole_lower_case_and_without_doubles_in_a_language() {
        let table = include_str!("cues.txt");
        assert!(CUES.cues.len() > 500);
        assert_eq!(table.lines().filter(|line| line.starts_with('[')).count(), 14);
        for part in table.split("\n[").skip(1) {
            let rows = part.lines().skip(1).filter_map(|line| line.split_once(": "));
            let mut words: Vec<&str> = rows.flat_map(|(_, words)| words.split(" | ")).collect();
            assert!(
                words
                    .iter()
                    .all(|word| *word == word.to_lowercase() && word.trim() == *word && !word.is_empty())
            );
            let count = words.len();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), count, "{}", &part[..3]);
        }
    }

    #[test]
    fn words_end_where_the_word_ends_and_stems_go_on() {
        assert!(tasks("the encoder decodes").is_empty());
        assert_eq!(tasks("refactoring"), [Task::Code]);
        assert!(tasks("把代码改短").contains(&Task::Code));
    }

    #[test]
    fn question_words_count_more_at_the_beginning_of_a_sentence() {
        let inside = tasks("the man who left").len();

        assert!(tasks("well. who left?").len() > inside);
        assert!(tasks("¿quién llegó?").contains(&Task::Factual));
    }
}
