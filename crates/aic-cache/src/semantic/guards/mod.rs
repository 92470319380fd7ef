//! Whether two similar questions may share an answer at all.

mod contraction;
mod lexer;
mod lexicon;
mod literal;
mod number;
mod order;
mod person;
mod possession;
mod reading;
mod spelling;
#[cfg(test)]
mod tests;
mod words;

use self::{
    lexicon::Role,
    reading::{Kind, Reading},
};

/// Why two questions cannot have the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Conflict {
    /// A quotation, code, an address, a path or an identifier differs.
    Literal,
    /// A number differs, or there is one too many.
    Number,
    /// One denies what the other does not.
    Negation,
    /// One asks who, the other where; one asks for something the other takes for granted.
    Question,
    /// One speaks of the one who asks, the other of the one who is asked.
    Person,
    /// They are in different languages, so the answers should be.
    Language,
    /// A day, a month or a length of time differs, or one asks for what was or will be.
    Date,
    /// One has the opposite of a word of the other.
    Antonym,
    /// A name differs.
    Name,
    /// Another word differs, and is not known to say the same.
    Word,
    /// The words are the same, but not who does what to whom.
    Order,
}

/// Tells why `a` and `b` must not share an answer, whatever their similarity; `None` if nothing speaks against it.
///
/// Embeddings place "Can my dog eat grapes?" beside "Can my dog not eat grapes?" and Iran beside Iraq. This
/// compares what they blur: negations, numbers (also in words and in other digits), names, dates, quoted and
/// other literal texts, opposites, question words, languages, and who does what to whom. Each word that carries
/// meaning must have a counterpart in the other question: the same word, a plural or an "-ing" of it, a slip of
/// the pen, or one of a few known to say the same. Politeness, fillers, case, punctuation and the order of
/// phrases do not matter. When in doubt, there is a conflict: a reworded question computed anew costs money,
/// a wrong answer costs trust. About two in three paraphrases pass, and nearly all typos and fillers.
///
/// It is a veto, not a proof. It takes "turkey" and "Turkey" for one word, "you" for anyone in "how do you", and
/// knows nothing of what was said before the question.
///
/// Knows the small words of English, German, French, Spanish, Italian, Portuguese and Dutch, and negations
/// of several others; in any other language nearly every difference of words is a conflict. Takes some
/// microseconds for short questions, and n log n for long ones. Symmetric.
///
/// ```
/// use aic_cache::semantic::{Conflict, conflict};
///
/// assert_eq!(conflict("Can dogs eat grapes?", "Can dogs not eat grapes?"), Some(Conflict::Negation));
/// assert_eq!(conflict("What's the capital of France?", "Please tell me France's captial"), None);
/// ```
pub fn conflict(a: &str, b: &str) -> Option<Conflict> {
    if a == b {
        return None;
    }
    let (a, mut b) = (Reading::of(a), Reading::of(b));
    let guards = [
        (Kind::Literal, Conflict::Literal),
        (Kind::Known(Role::Number), Conflict::Number),
        (Kind::Known(Role::Negation), Conflict::Negation),
        (Kind::Known(Role::Question), Conflict::Question),
        (Kind::Known(Role::Tense), Conflict::Date),
    ];
    let differing = guards.into_iter().find(|(kind, _)| !a.texts(*kind).eq(b.texts(*kind)));
    differing
        .map(|(_, conflict)| conflict)
        .or_else(|| words::conflict(&a, &mut b))
        .or_else(|| speaks_another_language(&a, &b).then_some(Conflict::Language))
        .or_else(|| person::differs(&a, &b).then_some(Conflict::Person))
        .or_else(|| order::differs(&a, &b).then_some(Conflict::Order))
        .or_else(|| (a.plain != b.plain).then_some(Conflict::Word))
}

/// Whether the small words of one are of no language the other may be in: their answers should not be either.
fn speaks_another_language(a: &Reading, b: &Reading) -> bool {
    let (a, b) = (a.languages(), b.languages());
    a != 0 && b != 0 && a & b == 0
}
