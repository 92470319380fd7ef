//! Whether the same words stand in the same relation to each other.

use super::{
    lexicon::Role,
    reading::{Kind, Reading, Token},
};

/// A preposition and the words that follow it, or no preposition and the words of the clause.
type Phrase<'a> = (&'a str, Vec<&'a str>);

/// Whether two questions of the same words differ in who does what to whom, or from where to where.
///
/// A question is taken apart into phrases: the clause, and one for each preposition up to the next. Phrases may
/// stand in any order ("in Python, how do I sort a list"), the words of one may not ("is Python faster than
/// Java"), but for two words joined by "and" or "or", and "not" where it is contracted ("why isn't my code").
pub(super) fn differs(a: &Reading, b: &Reading) -> bool {
    let contracted = a.contracted || b.contracted;
    // One that leaves out who asks still asks the same.
    let pronouns = a.pronouns().eq(b.pronouns());
    phrases(&a.tokens, contracted, pronouns) != phrases(&b.tokens, contracted, pronouns)
}

fn phrases(tokens: &[Token], contracted: bool, pronouns: bool) -> Vec<Phrase<'_>> {
    let floats = contracted && is_simple(tokens);
    let mut phrases: Vec<Phrase<'_>> = vec![("", Vec::new())];
    let mut current = 0;
    for token in tokens {
        match token.kind {
            Kind::Known(Role::Place) => {
                phrases.push((&token.text, Vec::new()));
                current = phrases.len() - 1;
            }
            Kind::Break | Kind::Known(Role::Verb | Role::Question | Role::Tense) => current = 0,
            Kind::Known(Role::Empty) if !pronouns || token.text.is_empty() => {}
            Kind::Known(Role::Negation) if floats => {}
            _ => phrases[current].1.push(&token.text),
        }
    }
    phrases.iter_mut().for_each(|(_, words)| sort_joined(words));
    // Stable: of two phrases with one preposition, the first belongs to what came first.
    phrases.sort_by_key(|(place, _)| *place);
    phrases
}

/// Whether there is but one thing to deny.
fn is_simple(tokens: &[Token]) -> bool {
    let count = |role| tokens.iter().filter(|token| token.kind == Kind::Known(role)).count();
    count(Role::Verb) < 2 && count(Role::Question) < 2 && count(Role::Joiner) == 0
}

/// Puts the two words around each "and" and "or" in order.
fn sort_joined(words: &mut [&str]) {
    for at in 1..words.len().saturating_sub(1) {
        if matches!(words[at], "and" | "or" | "vs") && words[at - 1] > words[at + 1] {
            words.swap(at - 1, at + 1);
        }
    }
}
