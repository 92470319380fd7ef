//! Small sums, differences and products. What is held out is the pair of numbers, in every phrasing.

use super::{
    Example, Kind,
    phrasing::asked,
    words::{self, THINGS, fill},
};
use crate::dice::Dice;

const LARGEST: usize = 20;
const LARGEST_FACTOR: usize = 10;

const SYMBOLS: &[&str] = &[
    "What is {a} {o} {b}?",
    "{a} {o} {b}",
    "{a} {o} {b} =",
    "{a}{o}{b}",
    "Calculate {a} {o} {b}.",
    "How much is {a} {o} {b}?",
];
const WORDS: &[&str] =
    &["What is {a} {w} {b}?", "How much is {a} {w} {b}?", "Calculate {a} {w} {b}.", "{a} {w} {b}"];
const GAINS: &[&str] = &[
    "{n} has {a} {t} and gets {b} more. How many {t} does {n} have?",
    "There are {a} {t} in one box and {b} in another. How many {t} are there?",
];
const LOSSES: &[&str] = &[
    "{n} has {a} {t} and gives away {b}. How many {t} are left?",
    "There are {a} {t} on the table. {n} takes {b}. How many {t} are left?",
];

pub(super) fn example(dice: &mut Dice) -> Example {
    match dice.below(20) {
        0..9 => sum(dice),
        9..18 => difference(dice),
        _ => product(dice),
    }
}

fn sum(dice: &mut Dice) -> Example {
    let (a, b) = (dice.below(LARGEST + 1), dice.below(LARGEST + 1));
    exercise(dice, [a, b, a + b], '+', "plus", GAINS)
}

fn difference(dice: &mut Dice) -> Example {
    let a = dice.below(LARGEST + 1);
    let b = dice.below(a + 1);
    exercise(dice, [a, b, a - b], '-', "minus", LOSSES)
}

fn product(dice: &mut Dice) -> Example {
    let (a, b) = (dice.below(LARGEST_FACTOR + 1), dice.below(LARGEST_FACTOR + 1));
    exercise(dice, [a, b, a * b], '*', "times", &[])
}

fn exercise(
    dice: &mut Dice,
    [a, b, result]: [usize; 3],
    operator: char,
    word: &str,
    tales: &[&str],
) -> Example {
    let template = match dice.below(10) {
        0..5 => dice.pick(SYMBOLS),
        8.. if !tales.is_empty() => dice.pick(tales),
        _ => dice.pick(WORDS),
    };
    let question = fill(
        template,
        &[
            ("a", &a.to_string()),
            ("b", &b.to_string()),
            ("o", &operator.to_string()),
            ("w", word),
            ("t", dice.pick(THINGS)),
            ("n", &words::name(dice)),
        ],
    );
    let prompt = if dice.chance(30) { asked(dice, &question) } else { question };
    Example::exact(Kind::Arithmetic, prompt, format!("{a} {operator} {b} = {result}"))
        .split_by(&format!("{a}{operator}{b}"))
}
