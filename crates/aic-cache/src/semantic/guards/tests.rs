use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Conflict, conflict};

struct Pair {
    kind: &'static str,
    a: &'static str,
    b: &'static str,
}

impl Pair {
    fn is_same(&self) -> bool {
        matches!(self.kind, "paraphrase" | "typo" | "filler")
    }
}

fn pairs(file: &'static str) -> Vec<Pair> {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    let columns = lines.map(|line| line.split('\t').collect::<Vec<_>>());
    columns.map(|c| Pair { kind: c[0], a: c[1], b: c[2] }).collect()
}

/// How many pairs of each kind pass, of how many; prints those the guards judge wrongly.
fn passes(pairs: &[Pair]) -> BTreeMap<&'static str, (u32, u32)> {
    let mut passes = BTreeMap::<_, (u32, u32)>::new();
    for pair @ Pair { kind, a, b } in pairs {
        let conflict = conflict(a, b);
        let (passed, total) = passes.entry(*kind).or_default();
        *passed += u32::from(conflict.is_none());
        *total += 1;
        if conflict.is_none() != pair.is_same() {
            println!("{kind}: {a} | {b} -> {conflict:?}");
        }
    }
    passes
}

/// Checks that no pair with different answers passes, and that at least this share of the others does.
fn check_all(file: &'static str, paraphrases: f64, typos: f64, fillers: f64) {
    let passes = passes(&pairs(file));

    println!("passed, of how many: {passes:?}");
    for (kind, (passed, total)) in passes {
        let share = f64::from(passed) / f64::from(total);
        match kind {
            "paraphrase" => assert!(share >= paraphrases, "{kind}: {share}"),
            "typo" => assert!(share >= typos, "{kind}: {share}"),
            "filler" => assert!(share >= fillers, "{kind}: {share}"),
            _ => assert_eq!(passed, 0, "{kind}"),
        }
    }
}

#[test]
fn of_the_pairs_the_guards_were_made_with_no_wrong_one_passes_and_most_others_do() {
    check_all(include_str!("similar_questions.tsv"), 0.78, 0.95, 0.95);
}

/// Written after the guards were done, in two rounds; after each they were mended, so the floors are not blind.
/// When first met:
///
/// | pairs that passed, of how many | first round | second round |
/// |---|---|---|
/// | negated, renumbered, renamed, redated | 0 of 114 | 0 of 33 |
/// | others with different answers | 3 of 49 ("Do you love me?") | 0 of 11 |
/// | paraphrases | 19 of 34 | 11 of 18 |
/// | with typos | 11 of 12 | 5 of 5 |
/// | with fillers | 5 of 12 | 4 of 6 |
#[test]
fn of_the_pairs_held_out_no_wrong_one_passes_and_most_others_do() {
    check_all(include_str!("similar_questions_heldout.tsv"), 0.6, 0.9, 0.9);
}

#[test]
fn long_hostile_texts_take_no_longer_than_their_length() {
    for unit in [
        "'a ",
        "x's ",
        "five hundred ",
        "\" ",
        "A's B ",
        "- ",
        "and ",
        "1,",
        "not ",
        "ab.c/",
        "Name ",
        "(",
        "- ,",
    ] {
        let text = unit.repeat(3_000);

        assert_eq!(conflict(&text, &format!("{text}.")), None, "{unit}");
    }
}

fn check(a: &str, b: &str, expected: Option<Conflict>) {
    assert_eq!(conflict(a, b), expected, "{a} | {b}");
    assert_eq!(conflict(b, a), expected, "{b} | {a}");
}

#[test]
fn conflict_says_what_differs() {
    check("Can dogs eat grapes?", "Can dogs not eat grapes?", Some(Conflict::Negation));
    check("What is 2+2?", "What is 2+3?", Some(Conflict::Number));
    check("capital of france", "capital of spain", Some(Conflict::Word));
    check("What is the capital of France?", "What is the capital of Spain?", Some(Conflict::Name));
    check("What does `ls` do?", "What does `cd` do?", Some(Conflict::Literal));
    check("Is it open on Monday?", "Is it open on Tuesday?", Some(Conflict::Date));
    check("Who is the king of Spain?", "Who was the king of Spain?", Some(Conflict::Date));
    check("How do I open a file?", "How do I close a file?", Some(Conflict::Antonym));
    check("Where is the sea?", "Why is the sea?", Some(Conflict::Question));
    check("What is your name?", "What is my name?", Some(Conflict::Person));
    check("Trains from Rome to Bari", "Trains from Bari to Rome", Some(Conflict::Order));
    check("What's the capital of France?", "Tell me france's capital", None);
}

proptest! {
    #[test]
    fn question_never_conflicts_with_itself_in_other_spacing_and_punctuation(
        words in prop::collection::vec("[a-z]{1,9}|[0-9]{1,4}|not|from|two|hundred", 1..12),
    ) {
        let (tight, loose) = (words.join(" "), format!("  {} ?", words.join("  ")));
        prop_assert_eq!(conflict(&tight, &loose), None);
    }

    #[test]
    fn any_two_texts_are_judged_without_panic_and_alike_from_both_sides(a in "\\PC{0,40}", b in "\\PC{0,40}") {
        prop_assert_eq!(conflict(&a, &b).is_none(), conflict(&b, &a).is_none());
    }

    #[test]
    fn texts_of_known_words_are_judged_alike_from_both_sides(
        a in prop::collection::vec("is|the|not|France|france|from|to|password|pasword|passwords|'s|,|how|2|two|and", 0..8),
        b in prop::collection::vec("is|the|not|France|france|from|to|password|pasword|passwords|'s|,|how|2|two|and", 0..8),
    ) {
        let (a, b) = (a.join(" "), b.join(" "));
        prop_assert_eq!(conflict(&a, &b).is_none(), conflict(&b, &a).is_none());
    }
}
