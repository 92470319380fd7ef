//! What is known of words: `lexicon.txt`, read once.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use super::lexer::lex;

/// What a word or phrase is to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Role {
    /// Carries nothing.
    Empty,
    /// Carries nothing, unless it is what is asked about: "please", "hello".
    Courtesy,
    /// Carries nothing, and ends the phrase before it.
    Verb,
    Question,
    Negation,
    /// Tells the time spoken of: "was", "will".
    Tense,
    /// A day, a month, a length of time.
    Calendar,
    /// A preposition or another word that relates what follows.
    Place,
    /// "and", "or".
    Joiner,
    Number,
    /// Anything else.
    Word,
}

/// A role, and the spelling that stands for all that say the same.
pub(super) type Meaning = (Role, &'static str);

/// The languages a word may belong to, as bits.
pub(super) type Languages = u8;
pub(super) const LANGUAGES: [&str; 7] = ["en", "de", "fr", "es", "it", "pt", "nl"];

#[derive(Default)]
pub(super) struct Lexicon {
    words: HashMap<&'static str, Meaning>,
    /// By first word; longer ones first.
    phrases: HashMap<String, Vec<(Vec<String>, Meaning)>>,
    /// Of empty words.
    languages: HashMap<&'static str, Languages>,
    persons: HashMap<&'static str, &'static str>,
    sayings: HashSet<&'static str>,
    opposites: HashSet<(&'static str, &'static str)>,
    distinct: HashSet<(&'static str, &'static str)>,
    /// Every word the lexicon has, in whatever line.
    known: HashSet<&'static str>,
}

pub(super) static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut lexicon = Lexicon::default();
    let lines = include_str!("lexicon.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).for_each(|(role, items)| lexicon.add(role, items));
    lexicon
        .phrases
        .values_mut()
        .for_each(|phrases| phrases.sort_by_key(|(words, _)| std::cmp::Reverse(words.len())));
    lexicon
});

impl Lexicon {
    fn add(&mut self, role: &str, items: &'static str) {
        let head = items.split_whitespace().next().unwrap_or_default();
        let words = || items.split_whitespace().filter(|word| *word != "|");
        self.known.extend(words());
        let meaning = match role {
            "person" => return self.persons.extend(words().map(|word| (word, head))),
            "say" => return self.sayings.extend(words()),
            "opposite" => return self.oppose(items),
            "distinct" => return self.distinguish(items),
            "courtesy" => (Role::Courtesy, ""),
            "phrase" => (Role::Empty, ""),
            "verb" => (Role::Verb, ""),
            "how" => (Role::Question, "how"),
            "question" => (Role::Question, head),
            "negation" => (Role::Negation, "not"),
            "past" | "future" => (Role::Tense, head),
            "calendar" => (Role::Calendar, head),
            "place" => (Role::Place, head),
            "and" | "or" => (Role::Joiner, head),
            "number" | "ordinal" => (Role::Number, head),
            "same" => (Role::Word, head),
            empty => {
                self.speak(empty.trim_start_matches("empty-"), words());
                (Role::Empty, "")
            }
        };
        words().for_each(|item| self.mean(item, meaning));
    }

    /// The first line that has a word decides.
    fn mean(&mut self, item: &'static str, meaning: Meaning) {
        let texts: Vec<String> = lex(&item.replace('_', " ")).into_iter().map(|lexeme| lexeme.text).collect();
        match texts.as_slice() {
            [_] => _ = self.words.entry(item).or_insert(meaning),
            [first, ..] => self.phrases.entry(first.clone()).or_default().push((texts, meaning)),
            [] => {}
        }
    }

    fn speak(&mut self, language: &str, words: impl Iterator<Item = &'static str>) {
        let bit = LANGUAGES.iter().position(|known| *known == language).map_or(0, |at| 1 << at);
        words.for_each(|word| *self.languages.entry(word).or_default() |= bit);
    }

    fn distinguish(&mut self, groups: &'static str) {
        for group in groups.split(" | ") {
            let pairs = group.split(' ').flat_map(|a| group.split(' ').map(move |b| (a, b)));
            self.distinct.extend(pairs);
        }
    }

    fn oppose(&mut self, pairs: &'static str) {
        for pair in pairs.split(" | ") {
            if let Some((a, b)) = pair.split_once(' ') {
                let (a, b) = (self.canonical(a), self.canonical(b));
                self.opposites.extend([(a, b), (b, a)]);
            }
        }
    }

    fn canonical(&self, word: &'static str) -> &'static str {
        self.words.get(word).map(|(_, canonical)| *canonical).filter(|word| !word.is_empty()).unwrap_or(word)
    }

    /// The longest phrase that `words` begins with, or their first word: its meaning and how many words it has.
    pub(super) fn meaning<'a>(
        &self,
        words: &(impl Iterator<Item = &'a str> + Clone),
    ) -> Option<(Meaning, usize)> {
        let first = words.clone().next()?;
        let starts = |phrase: &[String]| {
            let mut words = words.clone();
            phrase.iter().all(|word| words.next() == Some(word))
        };
        let phrases = self.phrases.get(first).into_iter().flatten();
        let phrase =
            phrases.filter(|(phrase, _)| starts(phrase)).map(|(p, meaning)| (*meaning, p.len())).next();
        phrase.or_else(|| self.words.get(first).map(|meaning| (*meaning, 1)))
    }

    pub(super) fn languages(&self, word: &str) -> Languages {
        self.languages.get(word).copied().unwrap_or_default()
    }

    /// "i", "me", "my", "you" or "your", in whatever language.
    pub(super) fn person(&self, word: &str) -> Option<&'static str> {
        self.persons.get(word).copied()
    }

    /// Whether what follows may be a word spoken of: "say", "translate".
    pub(super) fn is_saying(&self, word: &str) -> bool {
        self.sayings.contains(word)
    }

    /// Whether two words that look like forms of one are known to be two.
    pub(super) fn are_distinct(&self, a: &str, b: &str) -> bool {
        self.distinct.contains(&(a, b))
    }

    pub(super) fn are_opposites(&self, a: &str, b: &str) -> bool {
        self.opposites.contains(&(a, b))
    }

    pub(super) fn knows(&self, word: &str) -> bool {
        self.known.contains(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(text: &str) -> Option<(Meaning, usize)> {
        LEXICON.meaning(&text.split(' '))
    }

    #[test]
    fn longest_phrase_comes_before_the_word() {
        assert_eq!(meaning("how do i reset"), Some(((Role::Question, "how"), 3)));
        assert_eq!(meaning("how many are there"), Some(((Role::Question, "how_many"), 2)));
        assert_eq!(meaning("how tall"), Some(((Role::Question, "how"), 1)));
        assert_eq!(meaning("giraffe"), None);
    }

    #[test]
    fn opposites_are_found_by_what_they_stand_for() {
        assert!(LEXICON.are_opposites("buy", "sell") && LEXICON.are_opposites("with", "without"));
        assert!(!LEXICON.are_opposites("buy", "get"));
    }

    #[test]
    fn every_line_has_a_role() {
        const ROLES: &str = "courtesy phrase verb how question person say negation past future calendar place and or \
            number ordinal same opposite distinct";
        for line in
            include_str!("lexicon.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (role, items) = line.split_once(' ').unwrap();
            let known = ROLES.split_whitespace().any(|known| known == role) || role.starts_with("empty-");
            assert!(known && !items.is_empty(), "{line}");
        }
    }
}
