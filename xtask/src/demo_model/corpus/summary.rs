//! Summaries: one sentence matters, the ones around it do not.

use super::{
    Example, Kind,
    words::{self, DAYS, NUMBERS, PLACES, THINGS, fill},
};
use crate::dice::Dice;

const REQUESTS: &[&str] = &[
    "Summarize this text in one sentence: {t}",
    "Summarise in one sentence: {t}",
    "Give me a short summary: {t}",
    "Summary of this text, please: {t}",
    "What happens in this text? {t}",
    "Summarize: {t}",
];
const BEFORE: &[&str] = &[
    "It was a {w} {d}.",
    "{n} got up early.",
    "The sun had just come up.",
    "Nobody expected much of this {d}.",
    "{n} had been waiting for this {d}.",
    "Breakfast was over and the {p} was quiet.",
];
const AFTER: &[&str] = &[
    "In the evening everybody was tired.",
    "Then it began to rain.",
    "It was a good {d}.",
    "After that {n} went home.",
    "The walk back took a long time.",
    "{o} only laughed about it.",
];
const WEATHERS: &[&str] = &["sunny", "cold", "rainy", "windy", "warm", "grey"];

/// How the text tells it, and how the summary does.
const EVENTS: &[(&str, &str)] = &[
    ("{n} went to the {p} and bought {k} {t}.", "{n} bought {k} {t} at the {p}."),
    ("On the way to the {p} {n} found {k} {t}.", "{n} found {k} {t} near the {p}."),
    ("At the {p} {n} lost {k} {t} and did not notice.", "{n} lost {k} {t} at the {p}."),
    ("{n} met {o} at the {p} and gave away {k} {t}.", "{n} gave {o} {k} {t} at the {p}."),
    ("{o} was at the {p} too, and {n} sold {o} {k} {t}.", "{n} sold {o} {k} {t} at the {p}."),
    ("With the help of {o}, {n} carried {k} {t} to the {p}.", "{n} and {o} carried {k} {t} to the {p}."),
];

pub(super) fn example(dice: &mut Dice) -> Example {
    let (name, other) = (words::name(dice), words::name(dice));
    let values = [
        ("n", name.as_str()),
        ("o", &other),
        ("p", dice.pick(PLACES)),
        ("k", dice.pick(NUMBERS)),
        ("t", dice.pick(THINGS)),
        ("d", dice.pick(DAYS)),
        ("w", dice.pick(WEATHERS)),
    ];
    let (told, summary) = dice.pick(EVENTS);
    let mut text = fill(&[dice.pick(BEFORE), told].join(" "), &values);
    if dice.chance(70) {
        text = fill(&[text.as_str(), dice.pick(AFTER)].join(" "), &values);
    }
    Example::exact(Kind::Summary, fill(dice.pick(REQUESTS), &[("t", &text)]), fill(summary, &values))
}
