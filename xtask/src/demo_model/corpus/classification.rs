//! Sentiment and topic of a short text: the mix of words is new, the label follows from them.

use super::{
    Example, Kind,
    words::{self, NUMBERS, fill},
};
use crate::dice::Dice;

const SENTIMENT_FRAMES: &[&str] = &[
    "Classify the sentiment of this text as positive, negative or neutral: {t}",
    "Is this text positive, negative or neutral? {t}",
    "What is the sentiment of this sentence? {t}",
    "Sentiment: {t}",
    "Classify this review: {t}",
    "Is the following review positive or negative? {t}",
    "Classify the sentiment: {t}",
];
const TOPIC_FRAMES: &[&str] = &[
    "Classify the topic of this text as sport, weather, food, music or travel: {t}",
    "Which topic is this text about? {t}",
    "Topic: {t}",
    "What is this text about: sport, weather, food, music or travel? {t}",
    "Classify the topic: {t}",
];

const SUBJECTS: &[&str] = &[
    "film", "book", "hotel", "soup", "phone", "concert", "trip", "teacher", "service", "room", "song",
    "game", "coffee", "show", "car", "lamp", "shop", "dinner", "story", "app", "music", "train", "cake",
    "chair",
];
const GOOD: &[&str] = &[
    "wonderful",
    "great",
    "excellent",
    "lovely",
    "fantastic",
    "perfect",
    "brilliant",
    "delightful",
    "amazing",
    "superb",
    "good",
    "beautiful",
    "pleasant",
    "very nice",
];
const BAD: &[&str] = &[
    "terrible",
    "awful",
    "horrible",
    "boring",
    "dreadful",
    "bad",
    "disappointing",
    "ugly",
    "broken",
    "poor",
    "useless",
    "annoying",
    "really bad",
    "far too expensive",
];
const GOOD_CLAUSES: &[&str] = &[
    "I loved it",
    "I would come again",
    "we were very happy",
    "everybody smiled",
    "I enjoyed every minute",
    "I recommend it to all my friends",
    "it made my day",
];
const BAD_CLAUSES: &[&str] = &[
    "I hated it",
    "I want my money back",
    "we were very unhappy",
    "everybody complained",
    "it was a waste of time",
    "I warn all my friends",
    "it ruined my day",
];
const NEUTRAL: &[&str] = &[
    "The {s} starts at {n}.",
    "The {s} has {n} parts.",
    "{p} talked about the {s} on Monday.",
    "The {s} is next to the door.",
    "There are {n} pictures of the {s}.",
    "{p} will look at the {s} tomorrow.",
    "The {s} was made in {c}.",
];
const OPINIONS: &[&str] = &[
    "The {s} was {a} and {k}.",
    "What a {a} {s}, {k}!",
    "{K}, because the {s} was {a}.",
    "The {s} in {c} was {a}.",
    "{p} showed me a {a} {s}. {K}.",
    "I think the {s} is {a}.",
];

const TOPICS: &[(&str, &[&str])] = &[
    (
        "sport",
        &[
            "{p} scored {n} goals in the final match.",
            "The team from {c} won the cup.",
            "{p} runs the marathon in {c}.",
            "The coach was proud of the players.",
            "{p} kicked the ball into the goal.",
            "After {n} rounds the tennis match was over.",
            "The striker {p} joins a new club in {c}.",
        ],
    ),
    (
        "weather",
        &[
            "It will rain in {c} for {n} days.",
            "A cold wind blows over {c}.",
            "Tomorrow the sun shines in {c}.",
            "Snow and ice are expected near {c}.",
            "The storm brought thick clouds.",
            "In {c} it is {n} degrees and foggy.",
        ],
    ),
    (
        "food",
        &[
            "{p} cooks a soup with {n} carrots.",
            "Bake the bread for {n} minutes.",
            "The restaurant in {c} serves fresh fish.",
            "Add salt and pepper to the sauce.",
            "{p} eats {n} pancakes for breakfast.",
            "The best cheese comes from {c}.",
        ],
    ),
    (
        "music",
        &[
            "{p} plays the piano in {c}.",
            "The orchestra gave {n} concerts.",
            "The singer {p} wrote a new song.",
            "A guitar and a drum are all the band needs.",
            "{p} sings in the choir of {c}.",
            "The album has {n} songs.",
        ],
    ),
    (
        "travel",
        &[
            "{p} takes the night train to {c}.",
            "The flight to {c} leaves at {n}.",
            "We booked a hotel in {c} for {n} nights.",
            "Pack your suitcase and your passport.",
            "The ship sails from {c} in {n} days.",
            "{p} visits the old town of {c}.",
        ],
    ),
];

pub(super) fn example(dice: &mut Dice) -> Example {
    if dice.chance(60) { sentiment(dice) } else { topic(dice) }
}

fn sentiment(dice: &mut Dice) -> Example {
    let (label, text) = match dice.below(5) {
        0 | 1 => ("positive", opinion(dice, GOOD, GOOD_CLAUSES)),
        2 | 3 => ("negative", opinion(dice, BAD, BAD_CLAUSES)),
        _ => ("neutral", neutral(dice)),
    };
    labelled(dice, SENTIMENT_FRAMES, &text, label)
}

fn opinion(dice: &mut Dice, adjectives: &[&str], clauses: &[&str]) -> String {
    let clause = dice.pick(clauses);
    let template = dice.pick(OPINIONS);
    let adjective = dice.pick(adjectives);
    let text = fill(
        template,
        &[
            ("s", dice.pick(SUBJECTS)),
            ("k", clause),
            ("K", &words::capitalized(clause)),
            ("p", &words::name(dice)),
            ("c", &words::city(dice)),
            ("a", adjective),
        ],
    );
    if adjective.starts_with(['a', 'e', 'u']) {
        text.replace(&format!(" a {adjective}"), &format!(" an {adjective}"))
    } else {
        text
    }
}

fn neutral(dice: &mut Dice) -> String {
    scene(dice, NEUTRAL)
}

fn topic(dice: &mut Dice) -> Example {
    let (label, sentences) = dice.pick(TOPICS);
    let mut text = scene(dice, sentences);
    if dice.chance(40) {
        text = format!("{text} {}", scene(dice, sentences));
    }
    labelled(dice, TOPIC_FRAMES, &text, label)
}

fn scene(dice: &mut Dice, sentences: &[&str]) -> String {
    let template = dice.pick(sentences);
    let (person, city) = (words::name(dice), words::city(dice));
    fill(template, &[("p", &person), ("c", &city), ("n", dice.pick(NUMBERS)), ("s", dice.pick(SUBJECTS))])
}

fn labelled(dice: &mut Dice, frames: &[&str], text: &str, label: &str) -> Example {
    Example::exact(Kind::Classification, fill(dice.pick(frames), &[("t", text)]), label.to_owned())
}
