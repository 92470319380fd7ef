//! Short stories in which the asked-for animal and name must be kept.

use super::{
    Example, Grade, Kind,
    words::{self, ANIMALS, COLOURS, NUMBERS, PLACES, THINGS, article, fill},
};
use crate::dice::Dice;

const REQUESTS: &[&str] = &[
    "Write a short story about {d} {a} named {n}.",
    "Tell me a story about {d} {a} called {n}.",
    "Tell me a short story about {n} the {a}.",
    "Write a story about {n}, {d} {a}.",
    "Please write a tale about {d} {a} whose name is {n}.",
    "I would like a story about {d} {a} named {n}.",
    "Invent a story with {d} {a} called {n}.",
    "Make up a short story about {d} {a} named {n}.",
];
const OPENINGS: &[&str] = &[
    "Once upon a time there was {d} {m} {a} named {n}.",
    "There once was {d} {m} {a} called {n}.",
    "Long ago there lived {d} {m} {a} named {n}.",
];
const MOODS: &[&str] = &["small", "brave", "shy", "happy", "clever", "lazy", "kind", "curious"];
const HOMES: &[&str] = &[
    "{n} lived near the old {p} with {k} friends.",
    "{n} had a little house by the {p}.",
    "Every morning {n} walked to the {p}.",
    "{n} loved the quiet {p}.",
];
const EVENTS: &[&str] = &[
    "One day {n} found a {c} box full of {t}.",
    "One evening {n} saw a {c} light behind the {p}.",
    "One morning {n} met a {b} who had lost {k} {t}.",
    "One night {n} heard a {b} cry for help.",
];
const ENDINGS: &[&str] = &[
    "{n} shared everything with a {b}, and they became friends.",
    "{n} helped the others, and all of them were glad.",
    "{n} went home and told the {b} about it.",
    "Then {n} made a wish, and it came true.",
];

pub(super) fn example(dice: &mut Dice) -> Example {
    let (name, animal) = (words::name(dice), dice.pick(ANIMALS));
    let request = fill(dice.pick(REQUESTS), &[("a", animal), ("n", &name), ("d", article(animal))]);
    let answer = story(dice, &name, animal);
    Example {
        grade: Grade::Keeps(vec![name, animal.to_owned(), "The end.".to_owned()]),
        ..Example::exact(Kind::Creative, request, answer)
    }
}

/// A story without a request: plain text.
pub(super) fn text(dice: &mut Dice) -> String {
    let (name, animal) = (words::name(dice), dice.pick(ANIMALS));
    story(dice, &name, animal)
}

fn story(dice: &mut Dice, name: &str, animal: &str) -> String {
    let mood = dice.pick(MOODS);
    let sentences: Vec<String> = [OPENINGS, HOMES, EVENTS, ENDINGS]
        .into_iter()
        .map(|templates| sentence(dice, templates, name, animal, mood))
        .collect();
    format!("{} The end.", sentences.join(" "))
}

fn sentence(dice: &mut Dice, templates: &[&str], name: &str, animal: &str, mood: &str) -> String {
    fill(
        dice.pick(templates),
        &[
            ("n", name),
            ("a", animal),
            ("m", mood),
            ("d", article(mood)),
            ("p", dice.pick(PLACES)),
            ("k", dice.pick(NUMBERS)),
            ("c", dice.pick(COLOURS)),
            ("t", dice.pick(THINGS)),
            ("b", dice.pick(ANIMALS)),
        ],
    )
    .replace(" a owl", " an owl")
}
