//! Word lists, and words made up on the spot for questions nobody can answer.

use crate::dice::Dice;

const NAMES: &[&str] = &[
    "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Kira", "Leo", "Mia",
    "Noah", "Olga", "Paul", "Rosa", "Sam", "Tina", "Uwe", "Vera", "Will", "Yara", "Zoe", "Alma", "Bruno",
    "Cleo", "Dora", "Elias", "Fanny", "Gus", "Hana", "Ivan", "Julia", "Karl", "Lena", "Max", "Nina", "Oscar",
    "Pia", "Quinn", "Rita", "Simon", "Tom", "Ursula", "Victor", "Wanda", "Xenia", "Yusuf", "Zara", "Amir",
    "Bella", "Carlos", "Daisy", "Eva", "Finn", "Gina", "Henry", "Iris", "Jack", "Kate", "Lucy", "Mario",
    "Nora", "Otto", "Peter", "Ruby", "Sofia", "Theo", "Lily", "Marta", "Nils", "Omar", "Petra", "Robin",
    "Sara", "Toni", "Luna", "Milo", "Ada",
];
pub(crate) const ANIMALS: &[&str] = &[
    "fox", "cat", "dog", "bear", "mouse", "rabbit", "owl", "frog", "duck", "horse", "turtle", "squirrel",
    "hedgehog", "goat", "pig", "sheep", "lion", "tiger", "monkey", "penguin", "dragon", "robot", "snail",
    "bird", "whale",
];
pub(crate) const CITIES: &[&str] = &[
    "Paris", "Berlin", "Rome", "Oslo", "Madrid", "Vienna", "London", "Tokyo", "Lisbon", "Athens", "Dublin",
    "Prague", "Cairo", "Lima", "Boston", "Chicago", "Hamburg", "Milan", "Munich", "Sydney", "Toronto",
    "Seattle", "Geneva", "Porto", "Kyoto", "Mumbai", "Nairobi", "Zurich", "Denver", "Austin",
];
pub(crate) const THINGS: &[&str] = &[
    "apples", "books", "pears", "lamps", "chairs", "shoes", "tickets", "candles", "eggs", "cups", "hats",
    "stamps", "flowers", "balls", "keys", "bottles", "boxes", "pens", "plates", "coins", "stones", "shells",
    "oranges", "cards",
];
pub(crate) const PLACES: &[&str] = &[
    "market", "station", "library", "garden", "beach", "park", "museum", "farm", "harbour", "school", "shop",
    "castle", "forest", "river", "bridge", "village",
];
pub(crate) const NUMBERS: &[&str] =
    &["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
pub(crate) const COLOURS: &[&str] =
    &["red", "blue", "green", "yellow", "golden", "silver", "white", "purple"];
pub(crate) const DAYS: &[&str] =
    &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
pub(crate) const ROOMS: &[&str] =
    &["kitchen", "bedroom", "bathroom", "garage", "hall", "office", "living room", "cellar"];

const STARTS: &[&str] =
    &["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "tr", "st", "pl"];
const VOWELS: &[&str] = &["a", "e", "i", "o", "u", "ai", "ee", "ou"];
const ENDS: &[&str] = &["", "", "n", "r", "s", "l", "x", "m", "t", "nd", "rk"];

/// A word of two or three syllables that means nothing.
pub(crate) fn invented(dice: &mut Dice) -> String {
    let syllables = 2 + dice.below(2);
    (0..syllables).map(|_| format!("{}{}", dice.pick(STARTS), dice.pick(VOWELS))).collect::<String>()
        + dice.pick(ENDS)
}

pub(crate) fn name(dice: &mut Dice) -> String {
    dice.pick(NAMES).to_owned()
}

pub(crate) fn city(dice: &mut Dice) -> String {
    dice.pick(CITIES).to_owned()
}

pub(crate) fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The text with its first letter in lower case.
pub(crate) fn lowered(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Replaces every `{key}` of a template by its value.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), value))
}

/// "a" or "an", as the word's first letter wants it.
pub(crate) fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}
