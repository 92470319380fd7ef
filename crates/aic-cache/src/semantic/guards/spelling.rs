//! Whether two spellings are one word.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::lexicon::LEXICON;

/// Whether `a` and `b`, which differ, are forms or misspellings of one word.
pub(super) fn is_same_word(a: &str, b: &str) -> bool {
    let slip = || !(LEXICON.knows(a) && LEXICON.knows(b)) && is_slip(a, b);
    !LEXICON.are_distinct(a, b) && (is_form(a, b) || is_form(b, a) || unaccented(a, b) || slip())
}

/// Whether `long` is a plural of `short`, or its "-ing".
fn is_form(short: &str, long: &str) -> bool {
    let Some(stem) = long.strip_suffix('s') else { return is_participle(short, long) };
    let plural = short.len() > 2 && !short.ends_with('s') && stem == short;
    let hissing = stem.strip_suffix('e').is_some_and(|stem| {
        stem == short && ["s", "x", "z", "ch", "sh", "o"].iter().any(|end| stem.ends_with(end))
    });
    let ies = stem.strip_suffix("ie").is_some_and(|stem| short.strip_suffix('y') == Some(stem));
    plural || hissing || ies
}

fn is_participle(short: &str, long: &str) -> bool {
    let Some(stem) = long.strip_suffix("ing").filter(|stem| stem.len() > 2) else { return false };
    let doubled = stem
        .strip_suffix(|c: char| stem.len() > 3 && c.is_ascii_alphabetic())
        .filter(|s| s.ends_with(&stem[s.len()..]));
    stem == short || short.strip_suffix('e') == Some(stem) || doubled == Some(short)
}

/// Whether only accents differ, as when typed without. Umlauts and ñ make other words.
fn unaccented(a: &str, b: &str) -> bool {
    let bare = |text: &str| -> String {
        text.nfd().filter(|c| !is_combining_mark(*c) || matches!(c, '\u{308}' | '\u{303}')).collect()
    };
    !(a.is_ascii() && b.is_ascii()) && a.chars().count() > 4 && bare(a) == bare(b)
}

/// Whether one letter was left out or put in too many, or two were swapped, behind the first letter and not at
/// the end, in a word long enough for that to be a slip rather than another word.
///
/// A letter put in place of another is none: "nitrate" and "nitrite", "Iran" and "Iraq" are two things.
fn is_slip(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let alphabetic = a.iter().chain(&b).all(|c| c.is_alphabetic());
    let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    if !alphabetic || same == 0 || a.len().min(b.len()) < 4 || a.len().max(b.len()) < 5 {
        return false;
    }
    let (rest_a, rest_b) = (&a[same..], &b[same..]);
    match (rest_a, rest_b) {
        ([_, rest @ ..], rest_b) if !rest.is_empty() && rest == rest_b => true,
        (rest_a, [_, rest @ ..]) if !rest.is_empty() && rest == rest_a => true,
        ([x, y, rest @ ..], [v, w, others @ ..]) => x == w && y == v && rest == others,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_slips_are_the_same_word() {
        for (a, b) in [
            ("password", "passwords"),
            ("city", "cities"),
            ("box", "boxes"),
            ("bake", "baking"),
            ("run", "running"),
            ("capital", "captial"),
            ("photosynthesis", "photosyntesis"),
            ("recipe", "reciipe"),
            ("fotosintesis", "fotosíntesis"),
        ] {
            assert!(is_same_word(a, b) && is_same_word(b, a), "{a} {b}");
        }
    }

    #[test]
    fn words_a_letter_apart_are_two_words() {
        for (a, b) in [
            ("iran", "iraq"),
            ("nitrate", "nitrite"),
            ("austria", "australia"),
            ("adapt", "adopt"),
            ("county", "country"),
            ("train", "trainer"),
            ("affect", "effect"),
            ("casual", "causal"),
            ("schon", "schön"),
            ("campana", "campaña"),
            ("cat", "car"),
            ("mp3", "mp4"),
            ("planet", "plane"),
        ] {
            assert!(!is_same_word(a, b) && !is_same_word(b, a), "{a} {b}");
        }
    }
}
