//! Tool calls as one line of JSON, with the arguments copied from the request.

use super::{
    Example, Kind,
    words::{self, ANIMALS, DAYS, ROOMS, fill},
};
use crate::dice::Dice;

const LEADS: &[&str] = &[
    "Use a tool: {r}",
    "Call a tool: {r}",
    "Answer with a tool call: {r}",
    "Tool call, please: {r}",
    "Which tool call does this? {r}",
];

/// The tool's name, ways to ask for it, and its arguments; `{c}` a city, `{n}` a name, `{m}` minutes, `{r}` a room, `{d}` a day, `{a}` an animal.
const TOOLS: &[(&str, &[&str], &str)] = &[
    (
        "get_weather",
        &[
            "What is the weather in {c}?",
            "How is the weather in {c} today?",
            "Get the weather for {c}.",
            "Will it rain in {c}?",
        ],
        r#"{"city": "{c}"}"#,
    ),
    (
        "get_time",
        &["What time is it in {c}?", "Tell me the time in {c}.", "Get the time for {c}."],
        r#"{"city": "{c}"}"#,
    ),
    (
        "set_timer",
        &["Set a timer for {m} minutes.", "Start a timer of {m} minutes.", "Wake me in {m} minutes."],
        r#"{"minutes": {m}}"#,
    ),
    (
        "send_message",
        &["Send {n} a message on {d}.", "Write to {n} on {d}.", "On {d}, write a message to {n}."],
        r#"{"to": "{n}", "day": "{d}"}"#,
    ),
    (
        "turn_on_light",
        &["Turn on the light in the {r}.", "Switch the light in the {r} on.", "Make light in the {r}."],
        r#"{"room": "{r}"}"#,
    ),
    (
        "turn_off_light",
        &["Turn off the light in the {r}.", "Switch the light in the {r} off.", "Make it dark in the {r}."],
        r#"{"room": "{r}"}"#,
    ),
    (
        "add_event",
        &["Plan a meeting with {n} on {d}.", "Add a meeting with {n} to {d}.", "I meet {n} on {d}, note it."],
        r#"{"with": "{n}", "day": "{d}"}"#,
    ),
    (
        "find_hotel",
        &["Find a hotel in {c} for {d}.", "I need a hotel in {c} on {d}.", "Look for a room in {c} for {d}."],
        r#"{"city": "{c}", "day": "{d}"}"#,
    ),
    (
        "book_train",
        &[
            "Book a train to {c} on {d}.",
            "I need a train ticket to {c} for {d}.",
            "Reserve a seat to {c} on {d}.",
        ],
        r#"{"to": "{c}", "day": "{d}"}"#,
    ),
    (
        "show_picture",
        &["Show me a picture of a {a}.", "I want to see a {a}.", "Open a picture of a {a}."],
        r#"{"of": "{a}"}"#,
    ),
];

pub(super) fn example(dice: &mut Dice) -> Example {
    let (tool, requests, arguments) = dice.pick(TOOLS);
    let (city, name, minutes) = (words::city(dice), words::name(dice), (5 + 5 * dice.below(12)).to_string());
    let values = [
        ("c", city.as_str()),
        ("n", &name),
        ("m", &minutes),
        ("r", dice.pick(ROOMS)),
        ("d", dice.pick(DAYS)),
        ("a", dice.pick(ANIMALS)),
    ];
    let request = fill(dice.pick(requests), &values);
    let call = format!(r#"{{"name": "{tool}", "arguments": {}}}"#, fill(arguments, &values));
    Example::exact(Kind::Tools, fill(dice.pick(LEADS), &[("r", &request)]), call)
}
